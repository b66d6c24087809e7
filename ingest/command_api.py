"""The API's half of commands: give one, ask what came of it, look at the newest."""

from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Query, Request, Response
from starlette.exceptions import HTTPException

from device_profiles.clock import Clock
from device_profiles.commands import COMMAND_ID, CommandOutcome
from device_profiles.quality import split_code
from ingest.answers import encode
from ingest.commands import CommandRefused, Commands, TooMany, Wanted, converted
from ingest.queries import Queries

MAX_BODY = 4_096
USER_HEADER = "x-forwarded-user"
"""Who is asking, by the word of the proxy that let them in. It goes before the body's own ``by``."""

NOBODY = "unknown"


def add_commands(app: FastAPI, commands: Commands, queries: Queries, clock: Clock) -> None:
    """Routes below /api/v1/commands."""

    @app.post("/api/v1/commands")
    async def give(request: Request) -> Response:
        wanted = _wanted(request.headers.get("content-type", ""), await request.body())
        try:
            row = await commands.give(wanted, request.headers.get(USER_HEADER) or wanted.by or NOBODY)
        except CommandRefused as refusal:
            raise HTTPException(422, str(refusal)) from None
        except TooMany as trouble:
            raise HTTPException(503, str(trouble)) from None
        location = f"/api/v1/commands/{row.id}"
        body = encode({"id": row.id, "gateway": row.gateway, "expires": row.expires})
        return Response(body, 202, {"Location": location, "Cache-Control": "no-store"}, "application/json")

    @app.get("/api/v1/commands/{id_}")
    async def one(id_: str) -> Response:
        found = told(await queries.command(id_), clock.now()) if COMMAND_ID.match(id_) else []
        if not found:
            raise HTTPException(404, f"there is no command {id_!r}")
        return _json(found[0])

    @app.get("/api/v1/commands")
    async def newest(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
        return _json({"commands": told(await queries.commands(limit), clock.now())})


def _wanted(content_type: str, body: bytes) -> Wanted:
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "a command is application/json")  # a page of another site cannot send that unasked
    if len(body) > MAX_BODY:
        raise HTTPException(413, f"more than {MAX_BODY} bytes")
    try:
        return msgspec.json.decode(body, type=Wanted)
    except (msgspec.DecodeError, UnicodeDecodeError) as trouble:
        raise HTTPException(400, str(trouble)) from None


def told(columns: dict[str, Any], now: int) -> list[dict[str, Any]]:
    """The commands of the store's columns, as the API tells them."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [_told(dict(zip(columns, row, strict=True)), now) for row in rows]


def _told(row: dict[str, Any], now: int) -> dict[str, Any]:
    """``status``: waiting, overdue (expired without a word from the pole), or the result's outcome."""
    outcome, result = row["outcome"], None
    if outcome is not None:
        quality, reason = split_code(int(row["code"]))
        value = row["read"]
        result = {
            "at": row["at_us"],
            "outcome": CommandOutcome(outcome).word,
            "value": None if value is None else converted(value, row["own_unit"], row["unit"]),
            "quality": quality.word,
            "reason": reason.word,
            "text": row["text"],
            "stored": row["stored_us"],
        }
    open_word = "waiting" if now <= row["expires_us"] else "overdue"
    return {
        "id": row["id"],
        "gateway": row["gateway"],
        "device": row["device"],
        "point": row["point"],
        "value": row["value"],
        "unit": row["unit"],
        "by": row["issued_by"],
        "issued": row["issued_us"],
        "expires": row["expires_us"],
        "status": open_word if result is None else result["outcome"],
        "result": result,
    }


def _json(data: Any) -> Response:
    return Response(encode(data), media_type="application/json", headers={"Cache-Control": "no-store"})
