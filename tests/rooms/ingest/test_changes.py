"""The streams: in order, in packs, bounded, and honest about what was skipped."""

import asyncio

import pytest

from ingest import changes
from ingest.changes import Changes


async def _take(stream: object, n: int) -> list[bytes]:
    return [await anext(stream) for _ in range(n)]  # type: ignore[call-overload]  # the stream is an async iterator, typed wider
def test_events_come_in_order_and_the_list_first() -> None:
    async def body() -> None:
        board = Changes()
        stream = board.stream()
        assert (await anext(stream)).startswith(b":")
        board.readings(1, b'{"n":1}')
        board.readings(1, b'{"n":2}')
        board.ledger(b'{"old":1}')
        board.ledger(b'{"new":1}')
        board.devices()
        board.close()
        assert [data async for data in stream] == [
            b"event: devices\ndata: {}\n\n",
            b'event: readings\ndata: {"n":1}\n\n',
            b'event: readings\ndata: {"n":2}\n\n',
            b'event: ledger\ndata: {"new":1}\n\n',
        ]
        assert len(board) == 0

    asyncio.run(body())


def test_a_slow_listener_loses_the_oldest_and_is_told() -> None:
    async def body() -> None:
        board = Changes()
        slow = board.stream()
        await anext(slow)
        for n in range(changes.MAX_WAITING_PACKS + 3):
            board.readings(7, b"%d" % n)
        told, first = await _take(slow, 2)
        assert told == b'event: skipped\ndata: {"rows":21}\n\n'
        assert b"data: 3\n" in first
        board.readings(1, b"x" * (changes.MAX_WAITING_BYTES + 1))
        assert b"skipped" in await anext(slow)
        await slow.aclose()  # type: ignore[attr-defined]  # an async generator in truth
        assert len(board) == 0

    asyncio.run(body())


def test_a_silent_stream_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "HEARTBEAT_S", 0.01)

    async def body() -> None:
        board = Changes()
        stream = board.stream()
        assert await _take(stream, 2) == [b": kuimen\n\n", b": alive\n\n"]
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator in truth
    asyncio.run(body())


def test_a_closed_board_ends_new_streams() -> None:
    async def body() -> None:
        board = Changes()
        board.close()
        assert [data async for data in board.stream()] == [b": kuimen\n\n"]

    asyncio.run(body())
