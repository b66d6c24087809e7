"""Commands through the API of a running worker: written down, said until answered, one result each, whatever comes
twice. The gateway's end is a double on a real broker."""

import asyncio
import http.client
import json
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device_profiles.commands import Command, CommandOutcome, CommandResult, decode_commands, no_value
from device_profiles.envelope import Batch, Columns, encode_batch, pack_body
from device_profiles.manifests import DeviceEntry, SeriesEntry, make_manifest
from device_profiles.quality import Reason
from device_profiles.readings import Lane
from ingest.commands import converted
from ingest.config import CentreConfig, load_config
from ingest.store_duckdb import DuckdbStore
from tests.parts import nats_server
from tests.rooms.ingest.running import aget, answer, worker, write_centre
from tests.rooms.ingest.sender import EPOCH, GATEWAY, START, Centre, Sender, batch, manifest
from tests.rooms.ingest.test_cli import typed

HEADERS = {"Content-Type": "application/json"}
SECOND_POLE = "kz-002"


def post(config: CentreConfig, body: object, headers: dict[str, str] = HEADERS) -> tuple[int, Any]:
    """(status, JSON) of a POST."""
    connection = http.client.HTTPConnection(config.api.host, config.api.port, timeout=10)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", "/api/v1/commands", data, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


async def give(config: CentreConfig, **fields: object) -> tuple[int, Any]:
    """A command beside a worker in this loop; a sound one but for ``fields``."""
    body = {"device": "kz1-air", "point": "temperature", "value": 21.5, "by": "me"} | fields
    return await asyncio.to_thread(post, config, body)


def results(seq: int, *told: CommandResult, gateway: str = GATEWAY) -> bytes:
    """A gateway's batch of results."""
    body, packed = pack_body(Columns(array("H"), array("I"), array("d"), array("B"), results=list(told)))
    name = f"{gateway}/commands"
    return encode_batch(
        Batch(
            origin=name, epoch=EPOCH, seq=seq, lane=Lane.EVENT, manifest=7, base=START, count=0, body=body,
            packed=packed,
        )
    )


async def told_to(sender: Sender, number: int = 1) -> list[Command]:
    """The next commands that reach a gateway."""
    found: list[Command] = []
    async with asyncio.timeout(20):
        async for message in sender.client.messages:
            if str(message.topic) == sender.topics.command(sender.gateway):
                found += decode_commands(message.payload)[1]
            if len(found) >= number:
                break
    return found


async def until(config: CentreConfig, id_: str, status: str) -> Any:
    """The command once it has come so far."""
    return await when(config, f"/api/v1/commands/{id_}", lambda found: found["status"] == status)


async def when(config: CentreConfig, path: str, holds: Callable[[Any], bool]) -> Any:
    """What the worker says, once something holds."""
    async with asyncio.timeout(20):
        while not holds(found := await aget(config, path)):  # noqa: ASYNC110 - an API has no event to wait for
            await asyncio.sleep(0.02)
    return found


def run(folder: Path, body: Any) -> None:
    """``body(config, sender)`` beside a worker that knows the pole's manifest."""

    async def main(port: int) -> None:
        config = load_config(write_centre(folder, port))
        async with worker(config), Sender(port) as sender:
            await sender.client.subscribe(sender.topics.command(GATEWAY))
            await sender.announce(manifest())
            await sender.send(batch(1))
            await sender.receipts(1)
            await body(config, sender)

    with nats_server(folder / "broker") as broker:
        asyncio.run(main(broker.port))


def test_given_said_answered_and_kept(tmp_path: Path) -> None:
    async def body(config: CentreConfig, sender: Sender) -> None:
        status, given = await give(config, expires_s=30)
        assert (status, given["gateway"]) == (202, GATEWAY)
        (command,) = await told_to(sender)
        assert (command.id, command.device, command.point, command.value, command.by) == (
            given["id"], "kz1-air", "temperature", 21.5, "me",
        )  # fmt: skip
        assert command.expires - command.issued == 30_000_000
        waiting = await aget(config, f"/api/v1/commands/{command.id}")
        assert (waiting["status"], waiting["result"], waiting["unit"]) == ("waiting", None, "Cel")
        await sender.send(results(1, CommandResult(command.id, START, CommandOutcome.DONE, 21.5, 0, "well")))
        done = await until(config, command.id, "done")
        stored = done["result"].pop("stored")
        assert stored > START and done["result"] == {
            "at": START, "outcome": "done", "value": 21.5, "quality": "good", "reason": "none", "text": "well",
        }  # fmt: skip
        assert (await aget(config, "/api/v1/commands"))["commands"][0]["id"] == command.id
        assert (await aget(config, "/api/v1/ledger"))["differences"] == []

    run(tmp_path, body)


def test_it_is_said_again_until_there_is_a_result_and_across_a_restart(tmp_path: Path) -> None:
    async def main(port: int) -> None:
        config = load_config(write_centre(tmp_path, port))
        async with Sender(port) as sender:
            await sender.client.subscribe(sender.topics.command(GATEWAY))
            async with worker(config):
                await sender.announce(manifest())
                await sender.send(batch(1))
                await sender.receipts(1)
                _, given = await give(config)
                first, again = await told_to(sender, 2)
                assert first == again
            async with worker(config):
                assert await told_to(sender) == [first]
                await sender.send(results(1, no_value(given["id"], START, CommandOutcome.FAILED, Reason.TIMEOUT, "")))
                await until(config, given["id"], "failed")
            async with worker(config):
                _, other = await give(config, value=3)
                assert [command.id for command in await told_to(sender, 2)] == [other["id"]] * 2, "not the settled one"

    with nats_server(tmp_path / "broker") as broker:
        asyncio.run(main(broker.port))


def test_values_are_in_the_unit_that_the_api_shows(tmp_path: Path) -> None:
    async def body(config: CentreConfig, sender: Sender) -> None:
        _, given = await give(config, point="kelvin", value=20.3)
        (command,) = await told_to(sender)
        assert command.value == 293.45, "20.3 degrees Celsius, exactly"
        await sender.send(results(1, CommandResult(command.id, START, CommandOutcome.DONE, 293.45, 0)))
        done = await until(config, given["id"], "done")
        assert (done["value"], done["unit"], done["result"]["value"]) == (20.3, "Cel", 20.3)

    run(tmp_path, body)
    assert converted(5.0, "m", "no such unit") == 5.0


WRONG: list[tuple[dict[str, object], int, str]] = [
    ({"device": "kz1-lamp"}, 422, "no device 'kz1-lamp'"),
    ({"point": "level"}, 422, "no point 'level'"),
    ({"gateway": "kz-009"}, 422, "behind kz-009"),
    ({"device": "kz1-door", "point": "state"}, 422, "is a text"),
    ({"expires_s": 0}, 422, "expires_s"),
    ({"expires_s": 1e9}, 422, "expires_s"),
    ({"by": "a\nb"}, 422, "printed"),
    ({"value": "x"}, 400, "value"),
    ({"value": None}, 400, "value"),
    ({"colour": "red"}, 400, "colour"),
]


def test_mistakes_are_told_and_nothing_is_sent(tmp_path: Path) -> None:
    async def body(config: CentreConfig, sender: Sender) -> None:
        for fields, wanted, words in WRONG:
            status, problem = await give(config, **fields)
            assert (status, problem["status"]) == (wanted, wanted), (fields, problem)
            assert words in problem["detail"]
        for raw, headers, wanted in (
            (b"[", HEADERS, 400),
            (b"\xff", HEADERS, 400),
            (b" " * 5000, HEADERS, 413),
            (b"{}", {"Content-Type": "text/plain"}, 415),
        ):
            assert (await asyncio.to_thread(post, config, raw, headers))[0] == wanted
        for id_ in ("0" * 32, "x", "../devices"):
            assert (await asyncio.to_thread(answer, config, f"/api/v1/commands/{id_}"))[0] == 404
        assert (await aget(config, "/api/v1/commands"))["commands"] == []

    run(tmp_path, body)


def test_a_device_that_two_poles_have_needs_its_gateway(tmp_path: Path) -> None:
    async def body(config: CentreConfig, sender: Sender) -> None:
        entry = DeviceEntry("kz1-air", None, {}, "agriculture", "renke-louver", 1)
        series = SeriesEntry(0, "temperature", {}, "air_temperature", "Cel", "number", 60.0)
        async with Sender(sender.client._port, SECOND_POLE) as other:
            await other.client.subscribe(other.topics.command(SECOND_POLE))
            await other.announce(make_manifest(f"{SECOND_POLE}/agent", [entry], [series]))
            await when(config, "/api/v1/devices", lambda found: len(found["devices"]) == 3)
            status, problem = await give(config)
            assert status == 422 and f"{GATEWAY}, {SECOND_POLE}" in problem["detail"]
            status, given = await give(config, gateway=SECOND_POLE)
            assert (status, given["gateway"]) == (202, SECOND_POLE)
            assert (await told_to(other))[0].id == given["id"]
            await sender.send(results(1, CommandResult(given["id"], START, CommandOutcome.DONE, 1.0, 0)))
            await sender.receipts(1)
            found = await aget(config, f"/api/v1/commands/{given['id']}")
            assert found["status"] == "waiting", "another pole cannot answer for it"

    run(tmp_path, body)


def test_who_gave_it_is_the_proxys_word_before_the_callers(tmp_path: Path) -> None:
    async def body(config: CentreConfig, sender: Sender) -> None:
        sound = {"device": "kz1-air", "point": "temperature", "value": 1}
        proxied = {"X-Forwarded-User": "you"}
        for own, headers, by in (("", {}, "unknown"), ("me", {}, "me"), ("me", proxied, "you")):
            status, given = await asyncio.to_thread(post, config, sound | {"by": own}, HEADERS | headers)
            assert status == 202
            assert (await aget(config, f"/api/v1/commands/{given['id']}"))["by"] == by

    run(tmp_path, body)


def test_a_result_is_stored_once_however_often_it_is_told(centre: Centre) -> None:
    one = CommandResult("a" * 32, START, CommandOutcome.DONE, 1.0, 0, "first")
    two = no_value("a" * 32, START, CommandOutcome.FAILED, Reason.TIMEOUT, "second")
    centre.take(results(1, one, one), results(1, one), results(2, two))
    centre.take(results(2, two), results(3, two))
    centre.take(results(1, two, gateway=SECOND_POLE), gateway=SECOND_POLE)
    found = centre.rows("SELECT gateway, outcome, text FROM results ORDER BY gateway")
    assert found == [(GATEWAY, 0, "first"), (SECOND_POLE, 3, "second")]
    assert centre.rows("SELECT count(*) AS n FROM readings") == [(0,)]


def test_a_store_of_version_1_gets_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "centre.duckdb"
    store = DuckdbStore(path, threads=1)
    store.open()
    assert store._writer is not None
    store._writer.execute("DROP TABLE commands; DROP TABLE results; UPDATE meta SET value = 1 WHERE name = 'version'")
    store.close()
    reader = DuckdbStore(path, threads=1, read_only=True)
    reader.open()  # a look at the ledger does not change the file
    reader.close()
    for _ in range(2):
        store.open()
        assert len(store.query("SELECT * FROM results")["id"]) == 0
        assert store.query("SELECT value FROM meta WHERE name = 'version'")["value"].tolist() == [2]
        store.close()


def test_the_command_line_waits_for_the_result(tmp_path: Path) -> None:
    path = tmp_path / "centre.toml"

    async def body(config: CentreConfig, sender: Sender) -> None:
        async def pole() -> None:
            for seq, outcome in enumerate((CommandOutcome.DONE, CommandOutcome.FAILED), 1):
                (command,) = await told_to(sender)
                value, code = (21.5, 0) if outcome is CommandOutcome.DONE else (20.0, 0)
                await sender.send(results(seq, CommandResult(command.id, START, outcome, value, code, "so it is")))

        line = ("command", path, "kz1-air", "temperature", "21.5", "--wait", "--by", "me")
        async with asyncio.TaskGroup() as group:
            group.create_task(pole())
            done = await asyncio.to_thread(typed, *line)
            assert done.returncode == 0 and "done, reads 21.5: so it is" in done.stdout, done.stderr
            failed = await asyncio.to_thread(typed, *line, "--json")
            assert failed.returncode == 1 and json.loads(failed.stdout)["status"] == "failed"
        listed = await asyncio.to_thread(typed, "commands", path)
        assert [line.split("by me  ")[1] for line in listed.stdout.splitlines()] == [
            "failed, reads 20: so it is", "done, reads 21.5: so it is",
        ]  # fmt: skip
        wrong = await asyncio.to_thread(typed, "command", path, "kz1-lamp", "level", "5")
        assert wrong.returncode == 1 and "no device 'kz1-lamp'" in wrong.stderr and "Traceback" not in wrong.stderr

    run(tmp_path, body)
    for verb in (("command", path, "a", "b", "1"), ("commands", path)):
        away = typed(*verb)
        assert away.returncode == 1 and "nothing listens" in away.stderr


