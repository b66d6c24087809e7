"""The live page in a real browser, against the real server and a double of ingest's API.

Time is the double's: a device goes late because the API's `now` moves on, not because the test waits.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.parts import binary, free_port
from tests.rooms.dashboards import street
from tests.rooms.dashboards.conftest import page_server
from tests.rooms.dashboards.upstream import SECOND, Upstream, running_upstream

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 15_000

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = binary("chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of the page's server, and the port where it looks for ingest."""
    port = free_port()
    with page_server(tmp_path_factory.mktemp("page"), f"http://127.0.0.1:{port}") as (url, _):
        yield url, port


@pytest.fixture
def upstream(server: tuple[str, int]) -> Iterator[Upstream]:
    with running_upstream(server[1]) as double:
        street.lay_out(double)
        yield double


@pytest.fixture
def open_page(browser: Browser, server: tuple[str, int], upstream: Upstream) -> Iterator[Open]:
    """Opens the page at an address; afterwards: no script error, no policy violation, no other host asked."""
    errors: list[str] = []
    hosts: set[str] = set()

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            errors.append(message.text)

    url = server[0]
    context = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="Asia/Shanghai")

    def visit(query: str = "", with_clock: bool = False) -> Page:
        page = context.new_page()
        if with_clock:
            page.clock.install()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(f"{url}/{query}")
        return page

    yield visit
    context.close()
    assert not errors
    assert hosts == {urlsplit(url).netloc}


def row(page: Page, series: int) -> Locator:
    return page.locator(f'[data-series="{series}"]')


def in_state(page: Page, series: int, state: str) -> None:
    expect(row(page, series)).to_have_attribute("data-state", state, timeout=PATIENCE_MS)


def test_values_stand_with_unit_and_change_live(open_page: Open, upstream: Upstream) -> None:
    page = open_page()
    expect(page.get_by_role("status")).to_have_text("实时连接")
    value = row(page, street.AIR_TEMPERATURE).locator(".value")
    expect(value).to_have_text("25.3 °C")
    upstream.push_row(street.AIR_TEMPERATURE, 31.25, upstream.now)
    expect(value).to_have_text("31.25 °C")
    expect(row(page, street.NOISE)).to_contain_text("存疑：超出量程")
    expect(row(page, street.NEVER_SEEN)).to_contain_text("从未上报")
    expect(row(page, street.FIRMWARE).locator(".value")).to_have_text("2.4.1")


def test_no_answer_is_a_dash_with_its_reason_and_never_a_zero(open_page: Open, upstream: Upstream) -> None:
    page = open_page()
    in_state(page, street.LAMP_POWER, "bad")
    expect(row(page, street.LAMP_POWER).locator(".value")).to_have_text("—")
    expect(row(page, street.LAMP_POWER)).to_contain_text("设备无应答")
    upstream.push_row(street.LAMP_POWER, 0, upstream.now)
    expect(row(page, street.LAMP_POWER).locator(".value")).to_have_text("0 W")
    upstream.push_row(street.LAMP_POWER, None, upstream.now + 1, "bad", "sensor_open")
    expect(row(page, street.LAMP_POWER).locator(".value")).to_have_text("—")
    expect(row(page, street.LAMP_POWER)).to_contain_text("传感器断线")


def test_a_device_goes_late_and_then_silent(open_page: Open, upstream: Upstream) -> None:
    page = open_page()
    in_state(page, street.HUMIDITY, "fresh")
    began = upstream.now
    upstream.now = began + 7 * SECOND
    upstream.push_row(street.AIR_TEMPERATURE, 25.0, upstream.now)
    in_state(page, street.HUMIDITY, "late")
    in_state(page, street.AIR_TEMPERATURE, "fresh")
    expect(row(page, street.HUMIDITY)).to_contain_text("迟到：应每 2 秒上报一次")
    upstream.now = began + 60 * SECOND
    upstream.push_row(street.AIR_TEMPERATURE, 25.0, upstream.now)
    in_state(page, street.HUMIDITY, "silent")
    expect(row(page, street.HUMIDITY)).to_contain_text("静默")
    upstream.push_row(street.HUMIDITY, 60.0, upstream.now)
    in_state(page, street.HUMIDITY, "fresh")


def test_the_browsers_clock_decides_nothing(open_page: Open, upstream: Upstream) -> None:
    """The double lives in 2023; were ages taken from the browser's clock, all would be silent for years."""
    assert upstream.now < (time.time() - 86_400) * SECOND
    page = open_page()
    in_state(page, street.AIR_TEMPERATURE, "fresh")
    expect(row(page, street.SOIL_PH).locator(".age")).to_have_text("6 分钟")


def test_a_gap_is_drawn_as_a_gap(open_page: Open, upstream: Upstream) -> None:
    page = open_page("?lang=en")
    row(page, street.AIR_TEMPERATURE).click()
    chart = page.locator(".chart")
    expect(chart).to_have_attribute("data-breaks", "3")
    expect(page.locator(".gaps")).to_contain_text("the collecting program was killed")
    drawn = {second: _colours(page, second) for second in (-500, -340, -185, -100)}
    assert drawn[-500]["line"] and drawn[-100]["line"], drawn
    assert not drawn[-340]["line"] and drawn[-340]["shade"], "the declared gap is shaded and bare of the line"
    assert not drawn[-185]["line"] and not drawn[-185]["shade"], "the hole nobody declared is bare"


COLOURS = """([second]) => {
  const canvas = document.querySelector('.chart canvas');
  const over = document.querySelector('.chart .u-over');
  const ratio = canvas.width / canvas.clientWidth;
  const left = over.offsetLeft * ratio, width = over.offsetWidth * ratio, top = over.offsetTop * ratio;
  const x = Math.round(left + width * (1 + second / 600));
  const pixels = canvas.getContext('2d').getImageData(x - 4, top, 9, over.offsetHeight * ratio - 12 * ratio).data;
  let line = 0, shade = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    const [r, g, b, a] = pixels.slice(i, i + 4);
    if (a > 128 && g > r + 40 && b > r + 40) line++;
    if (a > 0 && a < 128 && r > g + 60) shade++;
  }
  return { line, shade };
}"""


def _colours(page: Page, second: int) -> dict[str, int]:
    """Pixels of the line's and of the gap's colour in a narrow strip of the chart, ``second`` before its end."""
    found: dict[str, int] = page.evaluate(COLOURS, [second])
    return found


def test_the_chart_follows_live_and_marks_readings_without_a_value(open_page: Open, upstream: Upstream) -> None:
    page = open_page(f"?lang=en&series={street.AIR_TEMPERATURE}")
    summary = page.locator(".summary")
    expect(summary).to_contain_text("1 without a valid value")
    expect(page.get_by_role("status")).to_have_text("Live")
    upstream.push_row(street.AIR_TEMPERATURE, 48.5, upstream.now)
    expect(summary).to_contain_text("maximum 48.5")
    upstream.push_row(street.AIR_TEMPERATURE, None, upstream.now + SECOND, "bad", "truncated")
    expect(summary).to_contain_text("2 without a valid value")
    expect(page.locator(".readout")).to_contain_text("answer cut short")
    page.get_by_text("Latest readings").click()
    expect(page.locator(".readings tbody tr").first).to_contain_text("—")
    page.get_by_role("button", name="24 h").click()
    expect(page).to_have_url(re.compile("range=24h"))


def test_the_language_is_a_click_away_and_in_the_address(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_role("link", name="English").click()
    expect(page).to_have_url(re.compile(r"\?lang=en$"))
    expect(page).to_have_title("Kuimen · Live readings")
    expect(row(page, street.AIR_TEMPERATURE)).to_contain_text("Air temperature")
    expect(row(page, street.LAMP_POWER)).to_contain_text("no answer from the device")
    page.reload()
    expect(page.get_by_role("status")).to_have_text("Live")
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("status")).to_have_text("实时连接")


def test_a_cut_stream_is_told_across_the_page_and_heals(open_page: Open, upstream: Upstream) -> None:
    page = open_page("?lang=en")
    in_state(page, street.AIR_TEMPERATURE, "fresh")
    upstream.stop()
    expect(page.get_by_role("alert")).to_contain_text("The live stream is cut")
    expect(page.get_by_role("alert")).to_contain_text("ingest is not reachable")
    expect(page.locator(".ledger")).to_contain_text("the ledger stands at")
    expect(page.locator(".point[data-state=fresh]")).to_have_count(0)
    upstream.now += 30 * SECOND
    street.lay_out(upstream)
    upstream.rows[street.AIR_TEMPERATURE][1] = 19.5
    upstream.start()
    expect(page.get_by_role("alert")).to_have_count(0, timeout=PATIENCE_MS)
    expect(row(page, street.AIR_TEMPERATURE).locator(".value")).to_have_text("19.5 °C")
    in_state(page, street.AIR_TEMPERATURE, "fresh")


def test_a_stream_without_a_heartbeat_counts_as_cut(open_page: Open, upstream: Upstream) -> None:
    """The connection stands and nothing comes: the page's own time runs on for a quarter of a minute."""
    page = open_page("?lang=en", with_clock=True)
    in_state(page, street.AIR_TEMPERATURE, "fresh")
    upstream.deaf = True
    page.clock.fast_forward(16_000)
    expect(page.get_by_role("alert")).to_contain_text("not a byte on the stream")
    expect(page.locator(".point[data-state=fresh]")).to_have_count(0)


def test_a_pole_that_says_nothing_is_not_online(open_page: Open, upstream: Upstream) -> None:
    page = open_page("?lang=en")
    pole = page.get_by_role("region", name="Pole kz-001")
    expect(pole.locator("header")).to_contain_text("online")
    expect(page.get_by_role("region", name="Pole kz-002").locator("header")).to_contain_text("offline")
    upstream.now += 40 * SECOND
    upstream.push("ledger", {**upstream.ledger, "now": upstream.now})
    expect(pole.locator("header")).to_contain_text("no state for 40 s")


def test_opened_while_ingest_is_down_it_says_so_and_recovers(open_page: Open, upstream: Upstream) -> None:
    upstream.stop()
    page = open_page()
    expect(page.get_by_role("alert")).to_contain_text("入库服务未连通")
    expect(page.locator("main")).to_contain_text("还没有读到任何数据")
    upstream.start()
    in_state(page, street.AIR_TEMPERATURE, "fresh")


def test_the_ledger_is_a_sentence_and_turns_red(open_page: Open, upstream: Upstream) -> None:
    page = open_page("?lang=en")
    strip = page.locator(".ledger")
    expect(strip).to_contain_text("3,214 readings: all accounted for; 12 waiting")
    expect(strip).to_have_class(re.compile("is-ok"))
    page.get_by_text("Details").click()
    expect(strip).to_contain_text("no answer from the device 30")
    wrong = street.ledger(upstream.now, differences=("kz-001: spooled = 3,014 but the sum is 3,013",))
    upstream.push("ledger", {**wrong, "now": upstream.now})
    expect(strip).to_have_class(re.compile("is-wrong"))
    expect(page.get_by_role("alert")).to_contain_text("but the sum is 3,013")


def test_a_new_device_appears_by_itself(open_page: Open, upstream: Upstream) -> None:
    page = open_page("?lang=en")
    in_state(page, street.AIR_TEMPERATURE, "fresh")
    points = [street.point(20, "level", "液位", "Level", "m", 2)]
    upstream.devices.append(street.device("kz3-new", "新设备", "Newcomer", "kz-003", points=points))
    upstream.rows[20] = [20, 3.5, upstream.now, "good", "none"]
    upstream.push("devices", {})
    expect(page.get_by_role("heading", name="Newcomer")).to_be_visible()
    expect(row(page, 20).locator(".value")).to_have_text("3.5 m")


def test_skipped_updates_are_told_and_fetched(open_page: Open, upstream: Upstream) -> None:
    page = open_page("?lang=en")
    in_state(page, street.AIR_TEMPERATURE, "fresh")
    upstream.rows[street.HUMIDITY] = [street.HUMIDITY, 12.5, upstream.now, "good", "none"]
    upstream.push("skipped", {"rows": 40})
    expect(page.locator(".banner")).to_contain_text("skipped 40 updates")
    expect(row(page, street.HUMIDITY).locator(".value")).to_have_text("12.5 %")


def test_the_keyboard_reaches_a_chart_and_comes_back(open_page: Open) -> None:
    page = open_page("?lang=en")
    row(page, street.HUMIDITY).focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    panel = page.get_by_role("complementary")
    expect(panel.get_by_role("heading", level=2)).to_be_focused()
    expect(panel.get_by_role("img")).to_have_attribute("aria-label", re.compile("valid readings"))
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(row(page, street.AIR_TEMPERATURE)).to_be_focused()


def test_a_filter_shows_one_state_only(open_page: Open) -> None:
    page = open_page("?lang=en")
    page.get_by_role("group", name="Filter by state").get_by_role("button", name="Silent").click()
    expect(row(page, street.SOIL_PH)).to_be_visible()
    expect(row(page, street.AIR_TEMPERATURE)).to_be_hidden()
    expect(page.get_by_role("heading", name="Silkworm room air")).to_be_hidden()
    expect(page).to_have_url(re.compile("show=silent"))


def test_a_thousand_points_follow(open_page: Open, upstream: Upstream) -> None:
    """50 devices of 20 points, every one of them changed in each of 20 packs: the page ends on the last."""
    upstream.devices = [
        street.device(f"d{n}", f"设备{n}", f"Device {n}", f"kz-{n % 5:03}", points=[
            street.point(n * 20 + k, f"p{k}", f"测点{k}", f"Point {k}", "Cel", 2) for k in range(20)
        ])
        for n in range(50)
    ]  # fmt: skip
    upstream.rows = {n: [n, 0.5, upstream.now, "good", "none"] for n in range(1000)}
    page = open_page()
    expect(page.locator(".point[data-state=fresh]")).to_have_count(1000)
    page.evaluate("""() => { window.gaps = []; let last = performance.now();
      const frame = (now) => { gaps.push(now - last); last = now; requestAnimationFrame(frame); };
      requestAnimationFrame(frame); }""")
    for pack in range(1, 21):
        upstream.now += SECOND // 20
        rows = [[n, pack + 0.25, upstream.now, "good", "none"] for n in range(1000)]
        upstream.push("readings", {"now": upstream.now, "rows": rows})
        expect(row(page, 999).locator(".value")).to_have_text(f"{pack}.25 °C")
    expect(row(page, 0).locator(".value")).to_have_text("20.25 °C")
    gaps = sorted(page.evaluate("gaps"))
    print(f"1,000 points: frames {len(gaps)}, median {gaps[len(gaps) // 2]:.0f} ms, longest {gaps[-1]:.0f} ms")
