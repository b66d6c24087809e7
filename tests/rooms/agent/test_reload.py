"""A new site file under way: changed links start anew, others are not touched, no reading is lost or renamed."""

import asyncio
from pathlib import Path

from edge_agent import service
from edge_agent.assembly import Agent, build_manifest
from edge_agent.config import AgentConfig, load_config
from tests.rooms.agent.sites import LIBRARY, QUIET, FakeGateway, on_memory, start
from tests.rooms.agent.wire import FakeUnit, MemoryLink
from tests.virtual_time import VirtualClock, run_virtual

LINK = '\n[[links]]\nname = "{0}"\nurl = "serial:///dev/{0}?baud=9600"\n'
DEVICE = '\n[[devices]]\nname = "{1}"\nprofile = "agent-louver"\nlink = "{0}"\nunit = {2}\n{3}'


def site(folder: Path, *units: tuple[str, str, int, str], agent: str = QUIET) -> AgentConfig:
    """A site of (link, device, unit, more lines) rows."""
    links = "".join(LINK.format(link) for link in dict.fromkeys(link for link, *_ in units))
    devices = "".join(DEVICE.format(*unit) for unit in units)
    path = folder / "site.toml"
    path.write_text(
        f'[site]\nname = "test-1"\nprofiles = ["{LIBRARY}"]\n\n[gateway]\nsocket = "gw.sock"\n'
        f"\n[agent]\n{agent}{links}{devices}"
    )
    return load_config(path)


def renewed(folder: Path, before: AgentConfig, after: AgentConfig) -> tuple[Agent, FakeGateway, list[MemoryLink]]:
    """An agent that runs a minute on the one configuration and a minute on the other."""
    units = [FakeUnit(1), FakeUnit(2)]

    async def main() -> tuple[Agent, FakeGateway, list[MemoryLink]]:
        gateway = FakeGateway(folder / "gw.sock")
        server = await start(gateway)
        stop, links, renewals = asyncio.Event(), list[MemoryLink](), service.Renewals()
        async with asyncio.TaskGroup() as group:
            open_link = on_memory(units, links)
            running = group.create_task(service.run(before, VirtualClock(), stop, None, open_link, renewals))
            await asyncio.sleep(60)
            renewals.put_nowait(after)
            await asyncio.sleep(60)
            stop.set()
            agent = await running
        gateway.drop_connections()
        server.close()
        await server.wait_closed()
        return agent, gateway, links

    return run_virtual(main())


def test_a_link_that_did_not_change_is_not_touched(tmp_path: Path) -> None:
    before = site(tmp_path, ("one", "a", 1, ""), ("two", "b", 1, ""))
    after = site(tmp_path, ("one", "a", 1, ""), ("two", "b", 1, ""), ("two", "c", 2, ""))
    agent, gateway, links = renewed(tmp_path, before, after)
    assert [link.target.place for link in links] == ["/dev/one", "/dev/two", "/dev/two"]
    assert [link.opened for link in links] == [1, 1, 1]
    assert agent.ledger.pending == 0
    assert agent.ledger.handed == gateway.readings
    assert len(gateway.hellos) == 1  # the same stream: no new epoch


def test_what_is_new_comes_behind_what_was(tmp_path: Path) -> None:
    before = site(tmp_path, ("one", "a", 1, ""))
    after = site(tmp_path, ("one", "c", 2, ""), ("one", "a", 1, ""))
    _, gateway, _ = renewed(tmp_path, before, after)
    first = build_manifest(before)
    assert gateway.manifest is not None
    assert gateway.manifest.series[: len(first.series)] == first.series
    assert [device.name for device in gateway.manifest.devices] == ["a", "c"]
    aliases = {alias for columns in gateway.batches.values() for alias in columns.aliases}
    named = {gateway.manifest.devices[gateway.manifest.series[alias].device].name for alias in aliases}
    assert named == {"a", "c"}


def test_a_device_that_is_taken_away_is_asked_no_more(tmp_path: Path) -> None:
    before = site(tmp_path, ("one", "a", 1, ""), ("two", "b", 2, ""))
    after = site(tmp_path, ("one", "a", 1, ""))
    agent, gateway, links = renewed(tmp_path, before, after)
    assert [poller.name for poller in agent.pollers] == ["one"]
    assert agent.ledger.handed == gateway.readings
    assert len(links) == 2


def test_a_slower_period_is_another_series_and_the_old_one_keeps_its_number(tmp_path: Path) -> None:
    before = site(tmp_path, ("one", "a", 1, ""))
    after = site(tmp_path, ("one", "a", 1, "report = 300\n"))
    agent, gateway, _ = renewed(tmp_path, before, after)
    first = build_manifest(before)
    assert agent.manifest.series[: len(first.series)] == first.series
    assert len(agent.manifest.series) == 2 * len(first.series) - 1  # air pressure is reported every 300 s anyway
    assert agent.ledger.handed == gateway.readings
