"""Errors as problem details (RFC 9457): one JSON object that says what was wrong."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
LOG = logging.getLogger("foresteer.api")


def problem(
    status: int, detail: str, path: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return a problem; its type is ``about:blank``, so its title is the status's phrase."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if path:
        body["instance"] = path
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        return await _unexpected(request, error)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and "Allow" in headers:
        # a route alone knows only its own methods
        allowed = request.app.state.methods.of(request.url.path)
        headers["Allow"] = ", ".join(sorted(allowed)) or headers["Allow"]
    return problem(error.status_code, str(error.detail), request.url.path, headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        return await _unexpected(request, error)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return problem(422, f"{where}: {first['msg']}", request.url.path)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    LOG.error("%s %s: %s: %s", request.method, request.url.path, type(error).__name__, error)
    return problem(500, "The brain could not answer this; its log says why.", request.url.path)


def install(app: FastAPI) -> None:
    """Make the app answer every error with a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)
