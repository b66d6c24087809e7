"""Passes requests under /api/v1/ to ingest and its answers back, byte for byte and as they come.

Refuses what could leave that path, every method but GET and HEAD, and to buffer: a server-sent event goes on
at once, a slow page slows its own stream only, and when a page leaves, its stream to ingest is closed. When
ingest does not answer it says so in problem JSON (RFC 9457), never with an empty page.
"""

import asyncio
import json
import logging
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import httpx
from starlette.types import Message, Receive, Scope, Send

log = logging.getLogger(__name__)

METHODS = ("GET", "HEAD")
MAX_STREAMS = 256
"""Connections to ingest: an open page holds one. More people than that do not sit before one centre."""
TIMEOUT = httpx.Timeout(connect=2.0, read=30.0, write=5.0, pool=2.0)
"""Seconds. ``read`` is three heartbeats of ingest's stream: silence for that long is a dead stream."""

_ASK_WITH = (b"accept", b"accept-encoding", b"if-none-match", b"if-modified-since", b"last-event-id")
_ANSWER_WITH = (
    *("content-type", "content-length", "content-encoding"),
    *("cache-control", "etag", "last-modified", "vary"),
)

Problem = tuple[HTTPStatus, str, str]
"""HTTP status, the last part of the problem's type, and the detail."""


def new_client(api: str) -> httpx.AsyncClient:
    """A client of ingest's API that trusts no proxy variables: ingest is near."""
    limits = httpx.Limits(max_connections=MAX_STREAMS, max_keepalive_connections=16)
    return httpx.AsyncClient(base_url=api, timeout=TIMEOUT, limits=limits, trust_env=False)


async def send_problem(send: Send, problem: Problem, path: str) -> None:
    """Answer with problem JSON."""
    status, kind, detail = problem
    body = {
        "type": f"urn:kuimen:problem:{kind}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "instance": path,
    }
    content = json.dumps(body, ensure_ascii=False).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", ", ".join(METHODS).encode()))
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class Relay:
    """An ASGI application. ``stop``: once set, open streams end so that the server can leave."""

    def __init__(self, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        self._client = client
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; ends early when the page leaves or the server stops."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        refusal = _refusal(scope)
        if refusal:
            await send_problem(send, refusal, scope["path"])
            return
        answer = _Answer(self._client, scope, send)
        async with asyncio.TaskGroup() as group:
            work = group.create_task(answer.run())
            ends = [group.create_task(_left(receive)), group.create_task(self._stop.wait())]
            await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
            for task in (work, *ends):
                task.cancel()
        await answer.finish_stream()


def _refusal(scope: Scope) -> Problem | None:
    if scope["method"] not in METHODS:
        return HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", f"{scope['method']} is not relayed"
    segments = unquote_to_bytes(scope["raw_path"]).replace(b"\\", b"/").split(b"/")
    if b".." in segments or b"." in segments or b"" in segments[1:-1]:
        return HTTPStatus.BAD_REQUEST, "bad-path", "the path leaves the API"
    return None


async def _left(receive: Receive) -> None:
    """Returns when the page has closed its connection."""
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()


class _Answer:
    """One request to ingest and what has been passed back so far."""

    def __init__(self, client: httpx.AsyncClient, scope: Scope, send: Send) -> None:
        self._client = client
        self._scope = scope
        self._send = send
        self._open_stream = False

    async def run(self) -> None:
        """Ask ingest and pass its answer back; a problem when it gives none."""
        try:
            response = await self._client.send(self._request(), stream=True)
        except httpx.HTTPError as trouble:
            await send_problem(self._send, self._problem(trouble), self._scope["path"])
            return
        try:
            await self._pass_back(response)
        finally:
            await response.aclose()

    async def finish_stream(self) -> None:
        """End an event stream properly: it has no length that its end could belie. Any other answer stays cut
        short, and the closed connection tells the page that it is not whole."""
        if self._open_stream:
            self._open_stream = False
            await self._send({"type": "http.response.body", "body": b""})

    def _request(self) -> httpx.Request:
        target = self._scope["raw_path"]
        if self._scope["query_string"]:
            target += b"?" + self._scope["query_string"]
        headers = [(name, value) for name, value in self._scope["headers"] if name in _ASK_WITH]
        url = self._client.base_url.copy_with(raw_path=target)
        request = self._client.build_request(self._scope["method"], url, headers=headers)
        if not any(name == b"accept-encoding" for name, _ in headers):
            request.headers["accept-encoding"] = "identity"
        return request

    async def _pass_back(self, response: httpx.Response) -> None:
        given = response.headers
        headers = [(name.encode(), given[name].encode()) for name in _ANSWER_WITH if name in given]
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        self._open_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        try:
            async for piece in response.aiter_raw():
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        except httpx.HTTPError as trouble:
            log.warning("ingest's answer to %s broke off: %r", self._scope["path"], trouble)
            return
        self._open_stream = False
        await self._send({"type": "http.response.body", "body": b""})

    def _problem(self, trouble: httpx.HTTPError) -> Problem:
        api = str(self._client.base_url).rstrip("/")
        what = str(trouble) or type(trouble).__name__
        if isinstance(trouble, httpx.PoolTimeout):
            detail = f"more than {MAX_STREAMS} connections to ingest are open"
            return HTTPStatus.SERVICE_UNAVAILABLE, "too-many-pages", detail
        if isinstance(trouble, httpx.ReadTimeout):
            detail = f"ingest at {api} did not answer within {TIMEOUT.read:g} s"
            return HTTPStatus.GATEWAY_TIMEOUT, "ingest-slow", detail
        return HTTPStatus.BAD_GATEWAY, "ingest-unreachable", f"ingest at {api} cannot be reached: {what}"
