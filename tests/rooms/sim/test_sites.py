"""The site files say what the street says: addresses, speeds, paths and ports."""

import tomllib
from pathlib import Path

from device_profiles.profiles import LineSettings
from device_profiles.tables import CENTRE_TABLES, SITE_TABLES
from edge_agent.config import load_config as agent_config
from firmware_sim.clock import SystemClock
from firmware_sim.ports import settle_ports
from firmware_sim.running import RunningStreet
from firmware_sim.sites import Centre, write_sites
from firmware_sim.street import Street, TcpPlan
from firmware_sim.street_file import load_street
from gateway.config import load_config as gateway_config
from tests.rooms.sim.bench import write_street


def test_site_files_match_the_street(tmp_path: Path) -> None:
    street = settle_ports(load_street("demo"), tmp_path)
    *sites, centre = write_sites(street, tmp_path, Centre(mqtt="mqtt://127.0.0.1:19999"))
    for pole, path in zip(street.poles, sites, strict=True):
        site = tomllib.loads(path.read_text(encoding="utf-8"))
        assert set(site) <= SITE_TABLES
        assert site["site"]["name"] == pole.name
        assert site["uplink"]["url"] == "mqtt://127.0.0.1:19999"
        assert [link["name"] for link in site["links"]] == [link.name for link in pole.links]
        wanted = [
            (unit.device, unit.profile.model, link.name, unit.address) for link in pole.links for unit in link.units
        ]
        assert [(d["name"], d["profile"], d["link"], d["unit"]) for d in site["devices"]] == wanted
        assert site["links"][0]["url"] == f"serial://{tmp_path}/{pole.name}-rs485-1?baud=9600&parity=N&stop=1"
    assert set(tomllib.loads(centre.read_text(encoding="utf-8"))) == CENTRE_TABLES


def test_a_port_is_chosen_once_and_served(tmp_path: Path) -> None:
    street = load_street(str(write_street(tmp_path, "tcp")))
    first = settle_ports(street, tmp_path / "run")
    assert first == settle_ports(street, tmp_path / "run")
    with RunningStreet(street, tmp_path / "run", SystemClock()) as served:
        assert served.street == first
        link = first.poles[0].links[0]
        assert isinstance(link, TcpPlan)
        assert served.tcp.links[0].port == link.port


CALLED = """
[street]
name = "called"

[[poles]]
name = "p1"

[[poles.links]]
name = "l1"
kind = "serial"

[[poles.links.units]]
unit = "000012345678"
device = "meter"
profile = "generic-dlt645-single"
baud = 2400
parity = "E"

[[poles.listeners]]
name = "hj"
protocol = "hj212"
unknown = "quarantine"
options = { ack_unasked = true }

[[poles.listeners.callers]]
id = "MN1"
device = "river"
code = "5002360502000102"
title = { zh = "河", en = "River" }
profile = "hj212-surface-water"
period = 3

[[poles.listeners.callers]]
id = "MN2"
device = "outfall"
profile = "hj212-wastewater"
options = { encrypt = true }
secret = "0123456789abcdef"

[[poles.listeners]]
name = "trucks"
protocol = "jt808"
secret = "whence codes come"

[[poles.listeners.callers]]
id = "013912345601"
device = "truck"
profile = "jt808-truck-2019"

[[poles.listeners]]
name = "covers"
protocol = "payload"

[[poles.listeners.callers]]
id = "867643012345601"
device = "cover"
profile = "generic-cover-nb"
"""


def _called(folder: Path) -> tuple[Street, Path]:
    """The street with its ports, and its only pole's site file."""
    (folder / "called.toml").write_text(CALLED, encoding="utf-8")
    street = settle_ports(load_street(str(folder / "called.toml")), folder)
    return street, write_sites(street, folder, Centre())[0]


def test_the_gateway_reads_what_was_written_about_callers(tmp_path: Path) -> None:
    street, path = _called(tmp_path)
    listener, trucks, covers = gateway_config(path).listeners
    plan, *_ = street.poles[0].listeners
    assert (listener.name, listener.protocol, listener.transport) == ("hj", "hj212", "tcp")
    assert (listener.host, listener.port, listener.unknown) == ("127.0.0.1", plan.port, "quarantine")
    assert plan.port > 0
    river, outfall = listener.callers
    assert (river.id, river.device, river.code) == ("MN1", "river", "5002360502000102")
    assert river.title == plan.callers[0].title != {}
    assert (river.report, river.secret) == (3.0, None)
    assert (outfall.profile.model, outfall.secret) == ("hj212-wastewater", "0123456789abcdef")
    assert (trucks.transport, covers.transport) == ("tcp", "udp")
    assert getattr(trucks.options, "secret", None) == "whence codes come"


def test_a_secret_is_not_in_the_site_file_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    _, path = _called(tmp_path)
    site = path.read_text(encoding="utf-8")
    secrets = sorted((path.parent / "secrets").iterdir())
    assert [secret.name for secret in secrets] == ["listener-trucks", "outfall"]
    for secret in secrets:
        assert secret.stat().st_mode & 0o077 == 0
        assert secret.read_text(encoding="utf-8").strip() not in site
    _called(tmp_path)  # written again over an earlier one


def test_the_agent_reads_a_meter_with_its_own_speed(tmp_path: Path) -> None:
    _, path = _called(tmp_path)
    (meter,) = agent_config(path).devices
    assert (meter.unit, meter.profile.protocol) == ("000012345678", "dlt645")
    assert meter.line == LineSettings(baud=2400, parity="E", stop=1)


def test_a_listener_keeps_its_port(tmp_path: Path) -> None:
    first, _ = _called(tmp_path)
    again, _ = _called(tmp_path)
    assert first == again
