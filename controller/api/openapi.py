"""The OpenAPI document: what FastAPI makes of the routes, with who may ask for what."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from controller.api.access import Role
from controller.api.access.gate import COOKIE, CSRF_HEADER
from controller.api.access.roles import CHANGES, needed

ABOUT = """Foresteer's API: what the network carries and will carry, what was decided and why, and
what operators want. Times are seconds since the epoch, rates bit/s, utilisations and shares run
from 0 to 1. Errors are problem details (RFC 9457). Every GET has an ETag; a change may carry
If-Match, and an Idempotency-Key, with which it is made once. Lists come in pages: `limit`, and the
`cursor` that the page before named as `next`."""

SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of the instance."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": f"From POST /session; changes also show its secret as {CSRF_HEADER}.",
    },
}
HEADERS = [
    {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "The ETag of what is to be changed.",
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        "description": "The same request with the same key is made once.",
    },
]


def document(app: FastAPI, anonymous: Role | None) -> dict[str, Any]:
    """Return the document; it is made once."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
    made.setdefault("components", {})["securitySchemes"] = SCHEMES
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _secure(operation, method.upper(), path, anonymous)
    app.openapi_schema = made
    return made


def _secure(operation: dict[str, Any], method: str, path: str, anonymous: Role | None) -> None:
    role = needed(method, path)
    if role is None:
        return
    operation["x-role"] = role.word
    operation["security"] = [{"token": []}, {"session": []}]
    if anonymous is not None and role <= anonymous:
        operation["security"].append({})
    # FastAPI documents its own 422; ours is the default problem
    operation["responses"].pop("422", None)
    if method in CHANGES:
        operation.setdefault("parameters", []).extend(HEADERS)
