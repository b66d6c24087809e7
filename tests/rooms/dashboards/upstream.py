"""A double of the wire: something that speaks ingest's HTTP API as told by a test, on a real socket.

It runs in a thread with a loop of its own, so that a test may block; nothing of the page or its server is replaced.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from starlette.requests import Request
from starlette.responses import StreamingResponse

from tests.parts import free_port, wait_until

Json = dict[str, Any]
SECOND = 1_000_000
"""One second in the API's microseconds."""

EMPTY_LEDGER: Json = {
    "now": 0,
    "intake": {"arrived": 0, "stored": 0, "duplicate": 0, "rejected": {}, "later": {}, "malformed": {}},
    "gateways": [],
    "total": {},
    "differences": [],
}


class Upstream:
    """What the double answers; change the attributes between two requests, push events at any time."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.now = 1_700_000_000 * SECOND
        self.devices: list[Json] = []
        self.rows: dict[int, list[Any]] = {}
        self.history: dict[int, Json] = {}
        self.ledger: Json = EMPTY_LEDGER
        self.streams: set[asyncio.Queue[bytes | None]] = set()
        self.deaf = False
        """True: takes questions for the device list and never answers."""
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """As [dashboards] api wants it."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen and wait until connections are accepted."""
        config = uvicorn.Config(_app(self), http="h11", ws="none", lifespan="off", log_config=None)
        self._server = server = _Quiet(config)
        listener = socket.create_server(("127.0.0.1", self.port))

        def serve() -> None:
            with listener:
                asyncio.run(server.serve([listener]))

        self._thread = threading.Thread(target=serve, name="upstream")
        self._thread.start()
        wait_until(lambda: server.started, "the scripted API listens")

    def stop(self) -> None:
        """Close every stream and the port."""
        if self._server and self._thread:
            self.end_streams()
            self._server.should_exit = True
            self._thread.join()
            self._thread = self._server = None

    def bind_loop(self) -> None:
        """Called from the server's own thread."""
        self._loop = asyncio.get_running_loop()

    def _to_streams(self, item: bytes | None) -> None:
        def put() -> None:
            for stream in self.streams:
                stream.put_nowait(item)

        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(put)

    def push(self, event: str, data: Json) -> None:
        """Send one event to every open stream."""
        self.push_bytes(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())

    def push_bytes(self, data: bytes) -> None:
        """Send bytes to every open stream."""
        self._to_streams(data)

    def push_row(self, series: int, value: Any, at: int, quality: str = "good", reason: str = "none") -> None:
        """A new latest value: in the tables and on the streams."""
        self.rows[series] = [series, value, at, quality, reason]
        self.push("readings", {"now": self.now, "rows": [self.rows[series]]})

    def end_streams(self) -> None:
        """End every open stream as a stopping ingest does."""
        self._to_streams(None)


class _Quiet(uvicorn.Server):
    """Leaves signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _device_body(upstream: Upstream) -> Json:
    devices = json.loads(json.dumps(upstream.devices))
    for device in devices:
        for point in device["points"]:
            row = upstream.rows.get(point["series"], [point["series"], None, None, None, "none"])
            point.update(dict(zip(("value", "at", "quality", "reason"), row[1:], strict=True)))
    return {"now": upstream.now, "devices": devices}


def _app(upstream: Upstream) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def note(request: Request, call_next: Any) -> Any:
        upstream.bind_loop()
        upstream.asked.append((request.method, request.url.path, dict(request.headers)))
        return await call_next(request)

    @app.get("/healthz")
    async def healthz() -> Json:
        return {"status": "ok"}

    @app.get("/api/v1/devices")
    async def devices() -> Json:
        if upstream.deaf:
            await never()
        return _device_body(upstream)

    @app.get("/api/v1/latest")
    async def latest() -> Json:
        return {"now": upstream.now, "rows": list(upstream.rows.values())}

    @app.get("/api/v1/ledger")
    async def ledger() -> Json:
        return {**upstream.ledger, "now": upstream.now}

    @app.get("/api/v1/history")
    async def history(series: int) -> Response:
        body = upstream.history.get(series)
        if body is None:
            problem = {"title": "Not Found", "status": 404, "detail": f"there is no series {series}"}
            return Response(json.dumps(problem), 404, media_type="application/problem+json")
        return Response(json.dumps(body), media_type="application/json")

    @app.get("/api/v1/never")
    async def never() -> None:
        async for _ in _events(upstream):  # until the double is stopped
            pass

    @app.get("/api/v1/half")
    async def half() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"half of "

        return StreamingResponse(body(), headers={"content-length": "20"}, media_type="text/plain")

    @app.get("/api/v1/echo")
    async def echo(request: Request) -> Json:
        return {"query": request.url.query}

    @app.get("/api/v1/changes")
    async def changes() -> StreamingResponse:
        return StreamingResponse(_events(upstream), media_type="text/event-stream")

    return app


async def _events(upstream: Upstream) -> AsyncIterator[bytes]:
    stream: asyncio.Queue[bytes | None] = asyncio.Queue()
    upstream.streams.add(stream)
    try:
        yield b": kuimen\n\n"
        while (data := await stream.get()) is not None:
            yield data
    finally:
        upstream.streams.discard(stream)


@contextmanager
def running_upstream(port: int | None = None) -> Iterator[Upstream]:
    """A started double, stopped at the end."""
    upstream = Upstream(port)
    upstream.start()
    try:
        yield upstream
    finally:
        upstream.stop()
