"""Whole batches through a modem: gateway, CoAP, a simulated NB-IoT modem on a pseudo-terminal, a real ingest worker."""

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from device_profiles.problems import ConfigError
from firmware_sim.modem import IMEI, ModemFaults, SimulatedModem
from gateway.cli import cli
from gateway.coap_client import CoapClient
from gateway.config import load_config
from gateway.modem import Modem
from gateway.modem_config import ModemConfig, Psm
from gateway.uplink_config import CoapOptions
from tests.rooms.gateway.doubles import running
from tests.rooms.gateway.ways import check_spool, check_stored, over_coap, settled, street, told

PATIENCE = 20.0


@pytest.mark.parametrize("kind", ["bc95", "bc28", "bc26"])
def test_batches_are_stored_once_through_a_modem_that_loses_and_interrupts(tmp_path: Path, kind: str) -> None:
    modem = ModemConfig(port=tmp_path / "modem", kind=kind, patience=PATIENCE, watch=0.5)
    options = CoapOptions(ack_seconds=0.2, retransmissions=8, nstart=2, block_bytes=256, modem=modem)
    faults = ModemFaults(echo=True, urc_inside=True, lose_up=11, lose_down=7, pieces=64)

    async def main() -> None:
        async with street(tmp_path) as (centre, wire), SimulatedModem(tmp_path / "modem", kind, faults=faults) as box:
            config = over_coap(tmp_path, wire.port, options)
            async with running(config) as pole:
                agent = await pole.agent()
                await agent.hand(5, count=10)
                await told(centre, settled(50), "50 readings settled")
                box.close_sockets()
                await agent.hand(2, noise=500, count=2)
                ledger = await told(centre, settled(54), "54 readings settled")
                health = ledger["gateways"][0]["health"]["uplink"]["modem"]
                assert health["registration"] == "home" and health["imei"] == IMEI
                assert health["rsrp_dbm"] == (-90.0 if kind == "bc26" else -85.6)
                assert health["sent"] > 10 and health["received"] > 10 and health["restarts"] == 0
                await agent.part()
        check_spool(config, 54)
        check_stored(centre, 7, 54)

    asyncio.run(main())


def test_batches_wait_for_the_network_and_then_leave(tmp_path: Path) -> None:
    modem = ModemConfig(port=tmp_path / "modem", patience=0.5, watch=0.2)
    options = CoapOptions(ack_seconds=0.2, retransmissions=2, nstart=1, block_bytes=512, modem=modem)

    async def main() -> None:
        async with street(tmp_path) as (centre, wire), SimulatedModem(tmp_path / "modem", network=False) as box:
            config = over_coap(tmp_path, wire.port, options)
            async with running(config) as pole:
                agent = await pole.agent()
                await agent.hand(3, count=10)
                box.set_network(True)
                await told(centre, settled(30), "30 readings settled")
                assert box.restarts == 0
                await agent.part()
        check_stored(centre, 3, 30)

    asyncio.run(main())


def test_a_client_sees_that_the_centre_answers(tmp_path: Path) -> None:
    async def main() -> None:
        modem = Modem(ModemConfig(port=tmp_path / "modem", patience=PATIENCE))
        options = CoapOptions(ack_seconds=0.2, nstart=1)
        async with street(tmp_path) as (_, wire), SimulatedModem(tmp_path / "modem"), asyncio.TaskGroup() as group:
            running_modem = group.create_task(modem.run())
            config = over_coap(tmp_path, wire.port, options).uplink
            async with CoapClient(config, modem) as client:
                await client.ping()
            running_modem.cancel()

    asyncio.run(main())


SITE = """
[site]
name = "kz-001"
[uplink]
url = "coap://{host}:{port}"
{first}
[uplink.modem]
port = "modem"
{more}
"""


def written(folder: Path, more: str = "", host: str = "127.0.0.1", port: int = 5683, first: str = "") -> Path:
    path = folder / "site.toml"
    path.write_text(SITE.format(host=host, port=port, more=more, first=first))
    return path


def test_what_a_site_file_says_of_a_modem(tmp_path: Path) -> None:
    config = load_config(written(tmp_path)).uplink.coap
    assert config is not None and config.modem == ModemConfig(port=tmp_path / "modem", kind="bc95", baud=9600)
    assert (config.ack_seconds, config.nstart) == (10.0, 1), "RFC 7252's 2 s are too short for coverage level 2"
    more = 'kind = "bc26"\napn = "cmnbiot"\nedrx = "0010"\npsm = { tau_hours = 12, active_seconds = 20 }'
    modem = dataclasses.replace(
        ModemConfig(port=tmp_path / "modem", kind="bc26", baud=115200, apn="cmnbiot", edrx="0010"),
        psm=Psm(periodic="00101100", active="00001010"),
    )
    config = load_config(written(tmp_path, more)).uplink.coap
    assert config is not None and config.modem == modem


@pytest.mark.parametrize(
    ("more", "host", "named"),
    [
        ('kind = "bc59"', "127.0.0.1", "uplink.modem.kind"),
        ('apn = "a,b"', "127.0.0.1", "uplink.modem.apn"),
        ('edrx = "2"', "127.0.0.1", "uplink.modem.edrx"),
        ("psm = { active_seconds = 1 }", "127.0.0.1", "uplink.modem.psm.active_seconds"),
        ("", "centre.example", "IPv4 address"),
        ('kind = "bc26"', "127.0.0.1", "uplink.block_bytes"),
        ("bauds = 9600", "127.0.0.1", "did you mean 'baud'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, more: str, host: str, named: str) -> None:
    with pytest.raises(ConfigError) as mistake:
        load_config(written(tmp_path, more, host, first="block_bytes = 512"))
    assert named in str(mistake.value)


def test_check_connect_shows_registration_and_signal(tmp_path: Path) -> None:
    async def main() -> None:
        async with street(tmp_path) as (_, wire), SimulatedModem(tmp_path / "modem"):
            site = written(tmp_path, port=wire.port)
            done = await asyncio.to_thread(CliRunner().invoke, cli, ["check", str(site), "--connect", "--json"])
            assert done.exit_code == 0, done.output
            told_of = json.loads(done.stdout)["modems"][str(tmp_path / "modem")]
            assert told_of == f"home, RSRP -85.6 dBm, SNR 4.2 dB, coverage level 1, IMEI {IMEI}"
            done = await asyncio.to_thread(CliRunner().invoke, cli, ["check", str(site), "--connect"])
            assert "modem: home, RSRP -85.6 dBm" in done.stdout

    asyncio.run(main())


def test_check_connect_says_what_is_wrong(tmp_path: Path) -> None:
    async def main() -> None:
        async with SimulatedModem(tmp_path / "modem", network=False):
            site = written(tmp_path, "patience_seconds = 1")
            done = await asyncio.to_thread(CliRunner().invoke, cli, ["check", str(site), "--connect"])
            assert done.exit_code == 1 and "no network (searching)" in done.output

    asyncio.run(main())
