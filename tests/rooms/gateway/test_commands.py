"""Commands in the gateway: on disk before anybody is handed one, handed to one only, settled once, whatever is said
twice and whenever the process is killed."""

import asyncio
from pathlib import Path

import pytest

from device_profiles.commands import (
    Command,
    CommandOutcome,
    decode_command,
    encode_commands,
    encode_result,
    no_value,
)
from device_profiles.envelope import unpack_body
from device_profiles.handover import CommandMessage, ResultMessage
from device_profiles.loader import load_library
from device_profiles.profiles import DeviceProfile
from device_profiles.quality import Reason
from device_profiles.receipts import Outcome
from device_profiles.topics import Topics
from gateway import command_rows
from gateway.command_rows import KEPT, Standing
from gateway.commands import ANSWER_SECONDS
from gateway.inspection import read_commands, read_ledger
from tests.parts import BROKERS
from tests.rooms.gateway.doubles import AGENT, CLOCK, SITE, Centre, make_config, running
from tests.rooms.gateway.mailbox import ANNOUNCED, NOON, HandClock, command, desk, done


@pytest.fixture(scope="module")
def lamp() -> DeviceProfile:
    return load_library([Path(__file__).parents[2] / "drills" / "profiles"])["drill-lamp"]


def test_a_command_delivered_twice_is_handed_out_once_and_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as it:
            it.join()
            for _ in range(3):
                it.arrive(command(), command())
            (row,) = await it.until(Standing.HANDED)
            assert (row.holder, row.epoch) == (AGENT, 1)
            for _ in range(2):
                await it.commands.settle(done())
            it.arrive(command())
            (row,) = await it.until(Standing.SETTLED)
            it.arrive(command("b"))
            await it.until(Standing.HANDED)
            assert row.result == done() and await it.heard(2) == ["a", "b"]
            assert await it.told() == [done()]
            assert it.spool.view.ledger().spooled == 0, "no reading, no line in the ledger"

    asyncio.run(main())


def test_it_is_on_disk_before_anybody_hears_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as it:
            seen: list[Standing] = []

            def say(message: CommandMessage) -> None:
                seen.extend(row.standing for row in read_commands(tmp_path / "spool.db", 10))

            it.commands.join(AGENT, 1, ANNOUNCED, say)
            it.arrive(command())
            await it.until(Standing.HANDED)
            assert seen == [Standing.HANDED]

    asyncio.run(main())


def test_an_agent_that_is_not_there_is_waited_for_until_the_command_expires(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as it:
            it.arrive(command(), command("b", seconds=30))
            await it.until(Standing.WAITING, 2)
            it.clock.pass_by(31)
            (row,) = await it.until(Standing.SETTLED)
            assert row.result is not None and row.command.id[0] == "b"
            assert (row.result.outcome, row.result.reason) == (CommandOutcome.EXPIRED, Reason.EXPIRED)
            it.join()
            await it.until(Standing.HANDED)
            assert await it.heard() == ["a"] and it.left == [pytest.approx(29)]

    asyncio.run(main())


async def _killed_while_handed(folder: Path, to_agent: bool, lamp: DeviceProfile) -> None:
    async with desk(folder, callers=None if to_agent else {"air-0": lamp}) as it:
        if to_agent:
            it.join(epoch=1)
        it.arrive(command())
        if not to_agent:
            await it.until(Standing.WAITING)
            assert [one.id[0] for one in await it.commands.mail("air-0")] == ["a"]
            assert await it.commands.mail("air-0") == []
        await it.until(Standing.HANDED)


def test_killed_while_an_agent_had_it_and_the_agent_is_a_new_one(tmp_path: Path, lamp: DeviceProfile) -> None:
    async def main() -> None:
        await _killed_while_handed(tmp_path, True, lamp)
        async with desk(tmp_path) as it:
            it.arrive(command())
            it.join(epoch=2)
            (row,) = await it.until(Standing.SETTLED)
            assert row.result is not None and row.result.outcome is CommandOutcome.UNKNOWN
            assert not it.said, "never executed a second time"
            await it.commands.settle(done())
            assert [result.outcome for result in await it.told()] == [CommandOutcome.UNKNOWN]

    asyncio.run(main())


def test_killed_while_an_agent_had_it_and_the_agent_lives(tmp_path: Path, lamp: DeviceProfile) -> None:
    async def main() -> None:
        await _killed_while_handed(tmp_path, True, lamp)
        async with desk(tmp_path) as it:
            it.join(epoch=1)
            await it.heard()
            await it.commands.settle(done())
            assert await it.told() == [done()]

    asyncio.run(main())


def test_killed_while_a_calling_device_had_it(tmp_path: Path, lamp: DeviceProfile) -> None:
    async def main() -> None:
        await _killed_while_handed(tmp_path, False, lamp)
        async with desk(tmp_path, callers={"air-0": lamp}) as it:
            (row,) = await it.until(Standing.SETTLED)
            assert row.result is not None and row.result.outcome is CommandOutcome.UNKNOWN
            assert await it.commands.mail("air-0") == []

    asyncio.run(main())


def test_handed_out_and_never_answered_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as it:
            it.join()
            it.arrive(command())
            await it.until(Standing.HANDED)
            it.commands.leave(AGENT, it.say)
            it.clock.pass_by(60 + ANSWER_SECONDS - 1)
            it.arrive(command("b", seconds=600))
            await it.until(Standing.WAITING)
            assert (await it.until(Standing.HANDED))[0].command.id[0] == "a", "its answer may still come"
            it.clock.pass_by(2)
            (row,) = await it.until(Standing.SETTLED)
            assert row.result is not None and row.result.outcome is CommandOutcome.UNKNOWN

    asyncio.run(main())


def test_a_command_expires_in_the_mailbox(tmp_path: Path, lamp: DeviceProfile) -> None:
    async def main() -> None:
        async with desk(tmp_path, callers={"air-0": lamp}) as it:
            it.arrive(command())
            await it.until(Standing.WAITING)
            assert it.commands.has_mail("air-0") and not it.commands.has_mail("air-1")
            it.clock.pass_by(61)
            assert await it.commands.mail("air-0") == [], "expired, though nobody has noticed yet"
            (row,) = await it.until(Standing.SETTLED)
            assert row.result is not None and "did not call in time" in row.result.text
            assert not it.commands.has_mail("air-0")

    asyncio.run(main())


def test_the_mailbox_of_a_calling_device(tmp_path: Path, lamp: DeviceProfile) -> None:
    async def main() -> None:
        async with desk(tmp_path, callers={"air-0": lamp}) as it:
            it.arrive(command("a"), command("b", value=7), command("c"), command("d", device="else"))
            (refused,) = await it.until(Standing.SETTLED)
            assert refused.result is not None and refused.result.outcome is CommandOutcome.REFUSED
            assert "outside 10 to 100" in refused.result.text
            assert [one.id[0] for one in await it.commands.mail("air-0")] == ["a", "c"]
            await it.commands.settle(done("a"))
            await it.commands.settle(no_value("c" * 32, NOON, CommandOutcome.FAILED, Reason.EXCEPTION, "no"))
            found = {result.id[0]: result.outcome for result in await it.told()}
            assert found == {"a": CommandOutcome.DONE, "b": CommandOutcome.REFUSED, "c": CommandOutcome.FAILED}

    asyncio.run(main())


def test_a_result_that_the_centre_lost_is_told_again_when_it_asks(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as it:
            it.join()
            it.arrive(command())
            await it.until(Standing.HANDED)
            await it.commands.settle(done())
            it.arrive(command())
            it.arrive(command("b"))
            await it.until(Standing.HANDED)
            assert await it.told() == [done()], "it waits to leave: once is enough"

            def leave(store: object) -> None:
                store.books.remove(1, Outcome.STORED, Reason.NONE)  # type: ignore[attr-defined]  # a store

            await it.spool.change(leave)
            assert await it.told() == []
            it.arrive(command())
            it.arrive(command("c"))
            await it.until(Standing.HANDED, 2)
            assert await it.told() == [done()]

    asyncio.run(main())


def test_a_box_that_does_not_know_the_time_goes_by_what_the_centre_says_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path, HandClock(1_000_000)) as it:
            it.arrive(command(), sent=NOON + 20_000_000)
            await it.until(Standing.WAITING)
            it.clock.pass_by(39)
            it.join()
            await it.heard()
            assert it.left == [pytest.approx(1)]
        async with desk(tmp_path, HandClock(1_000_000)) as it:
            it.arrive(command("b"), sent=NOON + 61_000_000)
            row = (await it.until(Standing.SETTLED))[0]
            assert row.result is not None and row.result.outcome is CommandOutcome.EXPIRED

    asyncio.run(main())


def test_a_message_that_was_held_up_does_not_make_a_command_live_longer(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as it:
            it.clock.pass_by(3600)
            it.arrive(command(), sent=NOON)
            (row,) = await it.until(Standing.SETTLED)
            assert row.result is not None and row.result.outcome is CommandOutcome.EXPIRED

    asyncio.run(main())


def test_noise_on_the_command_topic_is_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with desk(tmp_path) as it:
            for noise in (b"", b"\xff", b"[1,2]", b"[2,0,[]]", b'{"a":1}'):
                it.commands.arrived(noise)
            it.arrive(command())
            await it.until(Standing.WAITING)

    asyncio.run(main())
    assert caplog.text.count("cannot be read") == 5


def test_settled_ones_are_forgotten_in_the_end_but_not_before_they_have_expired(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as it:
            many = [Command(f"{n:032x}", "air-0", "level", 50.0, NOON, NOON + 60_000_000) for n in range(KEPT + 20)]

            def fill(store: object) -> None:
                command_rows.take(store, many, NOON)  # type: ignore[arg-type]  # a store
                for one in many[: KEPT + 10]:
                    end = no_value(one.id, NOON, CommandOutcome.FAILED, Reason.BUSY, "")
                    command_rows.settle(store, end, NOON)  # type: ignore[arg-type]  # a store

            await it.spool.change(fill)
            count = await it.spool.ask(_count)
            assert count == KEPT + 20
            last = no_value(many[-1].id, NOON, CommandOutcome.FAILED, Reason.BUSY, "")
            await it.spool.change(lambda store: command_rows.settle(store, last, NOON + 61_000_000))
            assert await it.spool.ask(_count) == KEPT

    asyncio.run(main())


def _count(store: object) -> int:
    connection = store.books.connection  # type: ignore[attr-defined]  # a store
    found: int = connection.execute("SELECT COUNT(*) FROM commands").fetchone()[0]
    return found


@pytest.mark.parametrize("kind", sorted(BROKERS))
def test_from_the_broker_to_the_agent_and_back(kind: str, tmp_path: Path) -> None:
    """The real gateway, its socket and a real broker; the centre's and the agent's ends are doubles."""
    now = CLOCK.now()
    wanted = Command("a" * 32, "air-0", "level", 50.0, now, now + 60_000_000, "test")

    async def main(port: int) -> None:
        config = make_config(tmp_path, port)
        centre = Centre(port)
        async with centre.listening(), running(config) as pole:
            agent = await pole.agent()
            await centre.until(lambda: centre.states, "the gateway is there")
            say = centre._client.publish  # the double's own connection
            for _ in range(3):
                await say(Topics().command(SITE), encode_commands([wanted], CLOCK.now()))
            message = await agent.hear()
            assert isinstance(message, CommandMessage) and decode_command(message.payload) == wanted
            assert 50 < message.left <= 60
            agent.say(ResultMessage(encode_result(done())))
            await centre.until(lambda: centre.stored, "the result")
            (batch,) = centre.stored.values()
            assert unpack_body(batch).results == [done()]
            await agent.hand()
            assert [batch.origin for batch in centre.arrivals].count(f"{SITE}/commands") == 1

    with BROKERS[kind](tmp_path / "broker") as broker:
        asyncio.run(main(broker.port))
    assert read_ledger(tmp_path / "spool.db").differences() == []
    (row,) = read_commands(tmp_path / "spool.db", 5)
    assert (row.command, row.standing, row.result) == (wanted, Standing.SETTLED, done())


def test_the_verb_shows_the_table(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from gateway.cli import cli

    site = tmp_path / "site.toml"
    site.write_text(f'[site]\nname = "{SITE}"\n[gateway.spool]\npath = "spool.db"\n')

    async def main() -> None:
        async with desk(tmp_path) as it:
            it.join()
            it.arrive(command(), command("b", device="else"))
            await it.until(Standing.HANDED)
            await it.commands.settle(done())

    asyncio.run(main())
    shown = CliRunner().invoke(cli, ["commands", str(site)])
    assert shown.exit_code == 0, shown.output
    assert "done, reads 50" in shown.output and "waiting" in shown.output
    told = CliRunner().invoke(cli, ["commands", str(site), "--json", "--count", "1"])
    assert '"state":"waiting"' in told.output and '"by":"test"' in told.output


