"""The site files say what the street says: addresses, speeds, paths and ports."""

import tomllib
from pathlib import Path

from device_profiles.tables import CENTRE_TABLES, SITE_TABLES
from firmware_sim.clock import SystemClock
from firmware_sim.ports import settle_ports
from firmware_sim.running import RunningStreet
from firmware_sim.sites import Centre, write_sites
from firmware_sim.street import TcpPlan
from firmware_sim.street_file import load_street
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
