"""The HTTP API: what is known, what was, what changes, and where every reading is; and commands to devices
(``command_api``), the one thing that it writes. The loopback interface only.

Every body is prepared JSON; a mistaken request is answered with problem details (RFC 9457) that name the
parameter.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query, Response
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from device_profiles.clock import Clock
from ingest.answers import devices_body, encode, ledger_answer, rows_body
from ingest.changes import Changes
from ingest.command_api import add_commands
from ingest.commands import Commands
from ingest.gateways import Gateways
from ingest.memory import Memory
from ingest.problem_details import install
from ingest.queries import Queries

HOUR_US = 3_600_000_000
FAR = 1 << 62
"""µs: beyond any time that a reading can carry."""

MAX_ROWS = 100_000
"""Of one answer: about 6 MB of JSON."""


class Window:
    """What the API looks at: a worker's memory, its streams and its store."""

    def __init__(
        self,
        memory: Memory,
        gateways: Gateways,
        changes: Changes,
        queries: Queries,
        clock: Clock,
        health: Callable[[], dict[str, Any]],
        commands: Commands,
    ) -> None:
        self.memory = memory
        self.gateways = gateways
        self.changes = changes
        self.queries = queries
        self.clock = clock
        self.commands = commands
        self._health = health

    def ledger(self) -> bytes:
        """Body of /api/v1/ledger."""
        return encode(ledger_answer(self.clock.now(), self.memory, self.gateways, self._health()))


def json_response(body: bytes) -> Response:
    """Prepared JSON, never to be cached: it is true now."""
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def make_app(window: Window) -> FastAPI:
    """The application over one worker."""
    app = FastAPI(title="Kuimen ingest", docs_url=None, redoc_url=None)  # their pages load scripts from another host
    install(app)
    _add_state(app, window)
    _add_past(app, window)
    add_commands(app, window.commands, window.queries, window.clock)
    return app


def _add_state(app: FastAPI, window: Window) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        return json_response(b'{"status":"ok"}')

    @app.get("/api/v1/devices")
    async def devices() -> Response:
        return json_response(devices_body(window.clock.now(), window.memory))

    @app.get("/api/v1/latest")
    async def latest() -> Response:
        return json_response(rows_body(window.clock.now(), window.memory.latest.seen()))

    @app.get("/api/v1/ledger")
    async def ledger() -> Response:
        return json_response(window.ledger())

    @app.get("/api/v1/changes")
    async def changes() -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(window.changes.stream(), media_type="text/event-stream", headers=headers)


def _add_past(app: FastAPI, window: Window) -> None:
    @app.get("/api/v1/history")
    async def history(
        series: Annotated[int, Query(ge=0)],
        begin: Annotated[int | None, Query(alias="from", gt=-FAR, lt=FAR)] = None,
        end: Annotated[int | None, Query(alias="to", gt=-FAR, lt=FAR)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 10_000,
    ) -> Response:
        known = window.memory.registry.series
        if series >= len(known):
            raise HTTPException(404, f"there is no series {series}; /api/v1/devices lists them")
        last = window.clock.now() if end is None else end
        first = last - HOUR_US if begin is None else begin
        if first > last:
            raise HTTPException(400, f"from ({first}) is after to ({last})")
        return json_response(await window.queries.history(known[series], first, last, limit))

    @app.get("/api/v1/gaps")
    async def gaps(limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 1000) -> Response:
        answer: dict[str, Any] = await window.queries.gaps(limit)
        return json_response(encode(answer))
