"""What the agent says of itself, in virtual time: held against what was on the wire, and against the plan."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from device_profiles.problems import ConfigError
from device_profiles.quality import Reason
from device_profiles.quantities import QUANTITIES, units_of
from edge_agent.config import load_config
from edge_agent.loads import TURNAROUND as PLANNED_TURNAROUND
from edge_agent.loads import link_loads
from edge_agent.own_readings import own_series, point_names
from tests.rooms.agent.sites import FakeGateway, site, write_site
from tests.rooms.agent.test_reload import renewed
from tests.rooms.agent.test_reload import site as linked_site
from tests.rooms.agent.test_service import asleep, run_agent
from tests.rooms.agent.wire import CLEAN, DEAD, TURNAROUND, FakeUnit, Fate, MemoryLink

ON = "own_readings = true\n"
ME = "test-1.agent"
#: Questions to one unit between the last report and the end of these tests, three seconds later, at most.
ASKED_SINCE = 8


def said(gateway: FakeGateway) -> dict[str, list[float]]:
    """The values of the agent's own points, by name, in the order of time."""
    manifest, found = gateway.manifest, dict[str, list[float]]()
    assert manifest is not None
    for _, columns in sorted(gateway.batches.items()):
        for alias, value, code in zip(columns.aliases, columns.values, columns.codes, strict=True):
            entry = manifest.series[alias]
            if manifest.devices[entry.device].name == ME:
                assert code == 0
                found.setdefault(entry.point, []).append(value)
    return found


def last(gateway: FakeGateway) -> dict[str, float]:
    """The newest value of each of its points."""
    return {point: rows[-1] for point, rows in said(gateway).items()}


def test_a_busy_share_is_what_the_plan_promises(tmp_path: Path) -> None:
    config = site(tmp_path, 3, agent=ON)
    (load,) = link_loads(config)
    agent, gateway = run_agent(tmp_path, config, [FakeUnit(n) for n in (1, 2, 3)], asleep(600))
    shares = said(gateway)["line_busy"]
    assert len(shares) == 10
    # The plan assumes a slower unit and counts the silence on both sides of an exchange, of which one is shared with
    # the next; at the end of a minute an exchange may fall on either side.
    reads = sum(1 / job.period for job in agent.pollers[0].jobs)
    silence = config.links[0].target.silence_seconds
    most = 100 * load["busy"]
    least = most - 100 * reads * (PLANNED_TURNAROUND - TURNAROUND + 2 * silence)
    edge = 100 * load["cycle_s"] / 60
    assert all(least - edge <= share <= most + edge for share in shares[1:]), (least, most, shares)
    mean = sum(shares[1:]) / len(shares[1:])
    assert least - edge / 9 <= mean <= most + edge / 9


def test_a_round_trip_is_the_units_own(tmp_path: Path) -> None:
    units = [FakeUnit(1), FakeUnit(2, fate=lambda n: Fate(delay=0.1))]
    agent, gateway = run_agent(tmp_path, site(tmp_path, 2, agent=ON), units, asleep(300))
    found = last(gateway)
    target = agent.config.links[0].target
    # 8 bytes of question; answers of 7 bytes (one register) at least and 5 + 2 x 8 at most
    least, most = ((8 + length) * target.byte_seconds + TURNAROUND for length in (7, 21))
    assert 1000 * least - 0.1 <= found["unit_1_round_trip"] <= 1000 * most + 0.1
    assert found["unit_2_round_trip"] - found["unit_1_round_trip"] == pytest.approx(100, abs=0.2)


def test_a_dead_unit_is_counted_and_has_no_round_trip(tmp_path: Path) -> None:
    units = [FakeUnit(1), FakeUnit(2, fate=lambda n: DEAD)]
    agent, gateway = run_agent(tmp_path, site(tmp_path, 2, agent=ON), units, asleep(599))
    rows = said(gateway)
    assert "unit_2_round_trip" not in rows and len(rows["unit_1_round_trip"]) == 10
    found = last(gateway)
    assert 0 < found["unit_2_timeout"] == found["unit_2_failed"] <= units[1].asked
    assert found["unit_2_answered"] == 0 == found["unit_1_failed"]
    assert 0 < found["unit_1_answered"] <= units[0].asked
    steps = rows["unit_1_answered"]
    assert steps == sorted(set(steps)) and len(steps) == 10
    assert len(rows["unit_1_timeout"]) == 1, "a count that stands still is not repeated each minute"
    assert agent.ledger.answered == agent.ledger.good - agent.ledger.own


@pytest.mark.parametrize(
    ("reason", "fate"),
    [
        (Reason.TIMEOUT, DEAD),
        (Reason.BAD_CHECKSUM, Fate(flip=3)),
        (Reason.TRUNCATED, Fate(cut=6)),
        (Reason.EXCEPTION, Fate(exception=4)),
    ],
)
def test_every_reason_has_its_count_also_where_a_second_attempt_mended_it(
    tmp_path: Path, reason: Reason, fate: Fate
) -> None:
    unit = FakeUnit(1, fate=lambda n: fate if n % 5 == 0 else CLEAN)
    agent, gateway = run_agent(tmp_path, site(tmp_path, agent=ON), [unit], asleep(601))
    found = last(gateway)
    assert found[f"unit_1_{reason.word}"] == found["unit_1_failed"] == pytest.approx(unit.asked / 5, abs=ASKED_SINCE)
    assert found["unit_1_answered"] == pytest.approx(unit.asked * 4 / 5, abs=ASKED_SINCE)
    mended = reason in (Reason.BAD_CHECKSUM, Reason.TRUNCATED)
    assert (reason.word not in agent.ledger.bad) is mended


def test_late_answers_are_counted_beside_their_time_outs(tmp_path: Path) -> None:
    unit = FakeUnit(1, fate=lambda n: Fate(delay=1.0) if n % 5 == 0 else CLEAN)
    agent, gateway = run_agent(tmp_path, site(tmp_path, agent=ON), [unit], asleep(601))
    found = last(gateway)
    # who answers late is still busy when the next question comes, so more than every fifth is late
    assert found["unit_1_late"] == found["unit_1_timeout"] >= unit.asked / 5 - ASKED_SINCE
    assert agent.ledger.discarded[Reason.LATE.word] > 0


def test_a_link_that_is_down_counts_for_its_units_and_is_not_busy(tmp_path: Path) -> None:
    async def story(gateway: FakeGateway, links: list[MemoryLink]) -> None:
        await asyncio.sleep(61)
        links[0].down = "pulled out"
        links[0].lose("pulled out")
        await asyncio.sleep(240)

    _, gateway = run_agent(tmp_path, site(tmp_path, agent=ON), [FakeUnit(1)], story)
    rows = said(gateway)
    assert rows["unit_1_link_down"][-1] > 3
    assert rows["line_busy"][-1] == 0
    assert len(rows["unit_1_round_trip"]) < len(rows["line_busy"])


def test_the_ledger_keeps_them_apart(tmp_path: Path) -> None:
    unit = FakeUnit(1)
    agent, gateway = run_agent(tmp_path, site(tmp_path, agent=ON), [unit], asleep(600))
    ledger = agent.ledger
    assert ledger.own == sum(len(rows) for rows in said(gateway).values()) > 30
    assert ledger.handed == gateway.readings and gateway.ledger.own == ledger.own
    assert ledger.answered == sum(1 if read.count == 1 else 7 for read in unit.reads)


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    agent, gateway = run_agent(tmp_path, site(tmp_path), [FakeUnit(1)], asleep(200))
    assert agent.ledger.own == 0 and said(gateway) == {}
    assert gateway.manifest is not None and ME not in {device.name for device in gateway.manifest.devices}


def test_a_new_unit_gets_series_behind_the_others_and_counts_go_on(tmp_path: Path) -> None:
    before = linked_site(tmp_path, ("one", "a", 1, ""), agent=ON)
    after = linked_site(tmp_path, ("one", "a", 1, ""), ("one", "c", 2, ""), agent=ON)
    agent, gateway, _ = renewed(tmp_path, before, after)
    manifest = agent.manifest
    assert [device.name for device in manifest.devices] == ["a", ME, "c"]
    own = [entry.point for entry in manifest.series if manifest.devices[entry.device].name == ME]
    assert len(own) == len(set(own)) == 1 + 2 * (len(own_series(before, 0)) - 1)
    assert own[: 1 + len(own) // 2] == [entry.point for entry in own_series(before, 1)]
    rows = said(gateway)
    assert rows["a_answered"][-1] > rows["a_answered"][0] > 0
    assert agent.ledger.handed == gateway.readings and agent.ledger.own == sum(map(len, rows.values()))


def test_switched_on_under_way(tmp_path: Path) -> None:
    before = linked_site(tmp_path, ("one", "a", 1, ""))
    after = linked_site(tmp_path, ("one", "a", 1, ""), agent=ON)
    _, gateway, links = renewed(tmp_path, before, after)
    assert len(links) == 1, "the link is not touched"
    assert said(gateway)["a_answered"][-1] > 20


def test_names_are_points_names_and_tell_units_apart() -> None:
    names = ["kz1-air", "kz1.air", "Kz2", "3", "x" * 64, "x" * 63 + "y", "plain_one"]
    found = point_names(names)
    assert len(set(found.values())) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,48}", name) for name in found.values())
    assert found["Kz2"] == "kz2" and found["plain_one"] == "plain_one"


def test_its_series_are_of_known_quantities(tmp_path: Path) -> None:
    for entry in own_series(site(tmp_path, agent=ON), 0):
        assert entry.unit in units_of(entry.quantity) and not QUANTITIES[entry.quantity].text
        assert entry.title["zh"] and entry.title["en"]
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,62}", entry.point)


def test_a_device_of_the_agents_name_is_a_mistake(tmp_path: Path) -> None:
    path = write_site(tmp_path, agent=ON)
    path.write_text(path.read_text().replace('"unit-1"', f'"{ME}"'))
    with pytest.raises(ConfigError) as wrong:
        load_config(path)
    assert ME in str(wrong.value)
