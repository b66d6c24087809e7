"""The page's HTTP server: built files, the relay, and headers that let the page load nothing from elsewhere.

Refuses to start without a built page. Holds no data: whoever stops it loses nothing.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboards.config import DashboardsConfig
from dashboards.page import STATIC, Asset, load_page
from dashboards.relay import Relay, new_client, send_problem
from device_profiles.problems import ConfigError, Problem

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 2
"""Streams end at once when asked to; this is for an answer that is half-way out to a slow page."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


_NOT_FOUND = (HTTPStatus.NOT_FOUND, "not-found", "there is no such page")


class _Guarded:
    """Adds the security headers to every answer, whoever gives it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through; only ``http.response.start`` is touched."""

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        await self._app(scope, receive, guarded)


def create_app(page: dict[str, Asset], client: httpx.AsyncClient, stop: asyncio.Event) -> ASGIApp:
    """The application: /healthz, /api/v1/* relayed, the page's own files, problem JSON for the rest."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """This process lives; whether ingest does is asked at /api/v1."""
        return {"status": "ok"}

    app.mount("/api/v1", Relay(client, stop))
    app.mount("/", _Files(page))
    return _Guarded(app)


class _Files:
    """Answers with the page's files; anything else is not found."""

    def __init__(self, page: dict[str, Asset]) -> None:
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET and HEAD of an exact name."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        asset = self._page.get(scope["path"])
        if asset is None or scope["method"] not in ("GET", "HEAD"):
            await send_problem(send, _NOT_FOUND, scope["path"])
            return
        await _response(asset, Request(scope))(scope, receive, send)


def _response(asset: Asset, request: Request) -> Response:
    headers = {
        "etag": asset.etag,
        "cache-control": "public, max-age=31536000, immutable" if asset.lasting else "no-cache",
        "vary": "accept-encoding",
    }
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    body = asset.body
    if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        body = asset.packed
        headers["content-encoding"] = "gzip"
    return Response(body, media_type=asset.media_type, headers=headers)


class _Server(uvicorn.Server):
    """Uvicorn without its signal handling (the command line owns signals), telling when it listens."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event | None) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self._ready:
            self._ready.set()


def _bind(config: DashboardsConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
    except OSError as trouble:
        listener.close()
        problem = Problem(config.url, 0, "dashboards.listen", f"cannot listen: {trouble.strerror}")
        raise ConfigError([problem]) from None
    return listener


async def run(
    config: DashboardsConfig,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    static: Path = STATIC,
) -> None:
    """Serve until ``stop``; ``ready`` is set once connections are accepted. ConfigError when the page is not
    built or the address is taken."""
    page = load_page(static)
    with _bind(config) as listener:
        async with new_client(config.api) as client, asyncio.TaskGroup() as group:
            settings = uvicorn.Config(
                create_app(page, client, stop),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
            server = _Server(settings, ready)
            group.create_task(server.serve([listener]))
            log.info("the live page is on %s, relaying %s", config.url, config.api)
            await stop.wait()
            server.should_exit = True
