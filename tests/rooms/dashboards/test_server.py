"""The page's server on real sockets: what it relays, what it refuses, and how it leaves."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from dashboards.config import DashboardsConfig
from dashboards.page import load_page
from dashboards.relay import Relay
from dashboards.server import run
from device_profiles.problems import ConfigError
from tests.parts import free_port, wait_until
from tests.rooms.dashboards.conftest import page_server
from tests.rooms.dashboards.upstream import Upstream, running_upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as double:
        yield double


@asynccontextmanager
async def serving(api: str, static: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The server in this loop, and a client of it; at the end it must stop although streams may be open."""
    config = DashboardsConfig(port=free_port(), api=api)
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(run(config, stop, ready, static))
        await ready.wait()
        try:
            async with httpx.AsyncClient(base_url=config.url, trust_env=False) as client:
                yield client
        finally:
            stop.set()


def test_answers_pass_unchanged(upstream: Upstream, built: Path) -> None:
    async def ask() -> None:
        async with serving(upstream.url, built) as client:
            echo = await client.get("/api/v1/echo?from=1&to=2&x=%E5%A4%94%2F")
            assert echo.json() == {"query": "from=1&to=2&x=%E5%A4%94%2F"}
            missing = await client.get("/api/v1/history?series=404")
            assert missing.status_code == 404
            assert missing.headers["content-type"] == "application/problem+json"
            assert missing.json()["detail"] == "there is no series 404"

    asyncio.run(ask())


def test_what_the_browser_sends_about_itself_stays_here(upstream: Upstream, built: Path) -> None:
    async def ask() -> None:
        async with serving(upstream.url, built) as client:
            await client.get("/api/v1/echo", headers={"cookie": "a=b", "x-forwarded-for": "6.6.6.6", "accept": "x/y"})

    asyncio.run(ask())
    headers = upstream.asked[-1][2]
    assert headers["accept"] == "x/y" and "cookie" not in headers and "x-forwarded-for" not in headers
    assert headers["host"] == f"127.0.0.1:{upstream.port}"


def test_events_go_on_at_once_and_a_page_that_leaves_closes_its_stream(upstream: Upstream, built: Path) -> None:
    async def follow() -> None:
        async with serving(upstream.url, built) as client:
            async with client.stream("GET", "/api/v1/changes") as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                pieces = stream.aiter_text()
                assert await anext(pieces) == ": kuimen\n\n"
                for n in range(3):
                    upstream.push("readings", {"n": n})
                    assert await anext(pieces) == f'event: readings\ndata: {{"n": {n}}}\n\n'
                assert len(upstream.streams) == 1
            await asyncio.to_thread(wait_until, lambda: not upstream.streams, "the stream to ingest is closed")

    asyncio.run(follow())


def test_a_stream_that_ingest_ends_ends_here(upstream: Upstream, built: Path) -> None:
    async def follow() -> None:
        async with serving(upstream.url, built) as client, client.stream("GET", "/api/v1/changes") as stream:
            pieces = stream.aiter_text()
            await anext(pieces)
            upstream.end_streams()
            assert [piece async for piece in pieces] == []

    asyncio.run(follow())


def test_the_server_stops_although_streams_are_open(upstream: Upstream, built: Path) -> None:
    async def follow() -> None:
        config = DashboardsConfig(port=free_port(), api=upstream.url)
        stop, ready = asyncio.Event(), asyncio.Event()
        client = httpx.AsyncClient(base_url=config.url, trust_env=False)
        async with asyncio.timeout(10), client, asyncio.TaskGroup() as group:
            group.create_task(run(config, stop, ready, built))
            await ready.wait()
            async with client.stream("GET", "/api/v1/changes") as stream:
                pieces = stream.aiter_text()
                await anext(pieces)
                stop.set()
                assert [piece async for piece in pieces] == []

    asyncio.run(follow())
    wait_until(lambda: not upstream.streams, "the stream to ingest is closed")


def test_ingest_down_is_a_problem_that_names_it(built: Path) -> None:
    api = f"http://127.0.0.1:{free_port()}"

    async def ask() -> None:
        async with serving(api, built) as client:
            answer = await client.get("/api/v1/devices")
            assert answer.status_code == 502
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["type"] == "urn:kuimen:problem:ingest-unreachable"
            assert problem["status"] == 502 and api in problem["detail"] and problem["instance"] == "/api/v1/devices"
            assert (await client.get("/healthz")).json() == {"status": "ok"}

    asyncio.run(ask())


def test_ingest_that_never_answers_is_a_504(upstream: Upstream) -> None:
    async def ask() -> None:
        timeout = httpx.Timeout(5, read=0.05)
        async with httpx.AsyncClient(base_url=upstream.url, timeout=timeout, trust_env=False) as inner:
            relay = httpx.ASGITransport(Relay(inner, asyncio.Event()))
            async with httpx.AsyncClient(transport=relay, base_url="http://page") as client:
                answer = await client.get("/api/v1/never")
                assert answer.status_code == 504 and answer.json()["type"].endswith("ingest-slow")

    asyncio.run(ask())


def test_half_an_answer_never_looks_whole(upstream: Upstream, built: Path) -> None:
    async def ask() -> None:
        async with serving(upstream.url, built) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/api/v1/half")

    asyncio.run(ask())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_reading_is_relayed(upstream: Upstream, built: Path, method: str) -> None:
    async def ask() -> None:
        async with serving(upstream.url, built) as client:
            answer = await client.request(method, "/api/v1/devices")
            assert answer.status_code == 405 and answer.headers["allow"] == "GET, HEAD"

    asyncio.run(ask())
    assert not upstream.asked


def test_every_answer_carries_the_strict_policy(upstream: Upstream, built: Path) -> None:
    async def ask() -> None:
        async with serving(upstream.url, built) as client:
            for path in ("/", "/healthz", "/api/v1/echo", "/api/v1/history?series=404", "/nothing"):
                headers = (await client.get(path)).headers
                policy = headers["content-security-policy"]
                assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
                assert headers["x-content-type-options"] == "nosniff" and "server" not in headers

    asyncio.run(ask())


def test_every_file_that_the_page_asks_for_is_served_from_here(built: Path) -> None:
    index = (built / "index.html").read_text()
    assert not re.search(r"""https?://|<style|style=|<script(?![^>]*\bsrc=)|\bon\w+=""", index)
    wanted = re.findall(r"""(?:src|href)="([^"]+)\"""", index)
    assert len(wanted) >= 3
    for css in built.rglob("*.css"):
        wanted += re.findall(r"url\(([^)]+)\)", css.read_text())

    async def ask() -> None:
        async with serving("http://127.0.0.1:9", built) as client:
            for path in ["/", *wanted]:
                answer = await client.get(path)
                assert answer.status_code == 200 and answer.content, path
                again = await client.get(path, headers={"if-none-match": answer.headers["etag"]})
                assert again.status_code == 304 and not again.content
            assert (await client.get("/")).headers["cache-control"] == "no-cache"
            assert "immutable" in (await client.get(wanted[1])).headers["cache-control"]

    asyncio.run(ask())


def test_files_come_packed_to_whom_wants_them(built: Path) -> None:
    script = next(path for path in load_page(built) if path.endswith(".js"))

    async def ask() -> None:
        async with serving("http://127.0.0.1:9", built) as client:
            packed = await client.get(script, headers={"accept-encoding": "gzip"})
            plain = await client.get(script, headers={"accept-encoding": "identity"})
            assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
            assert packed.content == plain.content
            assert int(packed.headers["content-length"]) < len(plain.content) / 2

    asyncio.run(ask())


ESCAPES = [
    "/../config.py",
    "/assets/../../config.py",
    "/%2e%2e/config.py",
    "/..%2fconfig.py",
    "/assets/..%5c..%5cconfig.py",
    "//etc/passwd",
    "/static/index.html",
    "/.web-stamp",
    "/api/v1/../../healthz",
    "/api/v1/%2e%2e/%2e%2e/healthz",
    "/api/v1/..%2f..%2fhealthz",
    "/api/v1//echo",
    "/api/v1/./echo",
    "/api/v1/%2e/echo",
]


def test_nothing_outside_the_page_can_be_asked_for(upstream: Upstream, built: Path, tmp_path: Path) -> None:
    with page_server(tmp_path, upstream.url) as (url, _):
        port = int(url.rpartition(":")[2])
        statuses = {path: _raw_status(port, path) for path in ESCAPES}
    assert set(statuses.values()) <= {400, 404}, statuses
    assert not upstream.asked


def _raw_status(port: int, path: str) -> int:
    """The status of a request line that no client library has tidied."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return int(stream.recv(4096).split()[1])


def test_sigterm_ends_the_process_well_with_a_stream_open(upstream: Upstream, built: Path, tmp_path: Path) -> None:
    with page_server(tmp_path, upstream.url) as (url, process), httpx.stream("GET", f"{url}/api/v1/changes") as stream:
        pieces = stream.iter_text()
        next(pieces)
        process.terminate()
        assert list(pieces) == []
        assert process.wait(timeout=10) == 0
    assert "Traceback" not in (tmp_path / "dashboards.log").read_text()


def test_without_a_built_page_it_says_how_to_build(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"python dashboards/build_web\.py"):
        asyncio.run(run(DashboardsConfig(), asyncio.Event(), static=tmp_path))
