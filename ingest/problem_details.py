"""Errors of the API as problem details (RFC 9457): what is wrong with the request, parameter by parameter."""

from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ingest.rows import StoreDown


def problem(status: int, detail: str, errors: list[str] | None = None) -> Response:
    """A problem details response; ``errors`` lists every mistake when there may be several."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = errors
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every error of this application with problem details."""

    async def invalid(request: Request, trouble: Exception) -> Response:
        assert isinstance(trouble, RequestValidationError)
        errors = [f"{error['loc'][-1]}: {error['msg']}" for error in trouble.errors()]
        return problem(400, "; ".join(errors), errors)

    async def refused(request: Request, trouble: Exception) -> Response:
        assert isinstance(trouble, HTTPException)
        return problem(trouble.status_code, str(trouble.detail))

    async def store_down(request: Request, trouble: Exception) -> Response:
        return problem(503, f"the store does not answer: {trouble}")

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(StoreDown, store_down)
