"""The application: JSON under /api/v1, events at /api/v1/stream, the page at /."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from controller.api import problems
from controller.api.access import Audit, Gate, Limits, Role, Sessions, TokenBook
from controller.api.decisions import decisions_router
from controller.api.edits import Edits
from controller.api.guard import LOOPBACK, Guard
from controller.api.health import health_router
from controller.api.login import login_router
from controller.api.methods import Methods
from controller.api.network import network_router
from controller.api.openapi import document
from controller.api.operate import operate_router
from controller.api.policy import policy_router
from controller.api.schemas import answers
from controller.api.series import series_router
from controller.api.stream import EventStream, Feed
from controller.api.timeline import timeline_router
from controller.api.view import View

STATIC = Path(__file__).parent / "static"
VENDOR = Path(__file__).parent / "vendor"
"""What the page draws charts with; there only after a set-up with a network."""
PREFIX = "/api/v1"
RATES = {"read": 5000.0, "change": 50.0, "login": 5.0}
"""Requests per second and person, by kind."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask for what.

    ``tokens`` None: everybody is an admin, for tests of other things. ``anonymous``: the role of
    who shows no token and comes from this machine. ``hosts``: the names that are answered to
    (``*``: all). ``rates``: requests per second and person, by kind.
    """

    tokens: TokenBook | None = None
    audit: Audit = field(default_factory=lambda: Audit(None, time.time))
    anonymous: Role | None = Role.VIEWER
    hosts: Collection[str] = LOOPBACK
    rates: dict[str, float] = field(default_factory=lambda: dict(RATES))
    secure: bool = False
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


OPEN = Access()


def create_app(view: View, access: Access = OPEN) -> FastAPI:
    """Return the application that shows a view of the brain."""
    app = FastAPI(
        title="Foresteer",
        version="1",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    app.include_router(health_router(view, view.modes()), prefix=PREFIX)
    app.include_router(network_router(view), prefix=PREFIX)
    app.include_router(decisions_router(view, view.explainer()), prefix=PREFIX)
    app.include_router(timeline_router(view), prefix=PREFIX)
    desk, operations = view.desk(), view.operations()
    if desk is not None:
        app.include_router(series_router(desk), prefix=PREFIX)
    if operations is not None:
        app.include_router(operate_router(operations), prefix=PREFIX)
    policies = view.policies()
    if policies is not None:
        app.include_router(policy_router(policies), prefix=PREFIX)
    gate: dict[str, Any] = {}
    if access.tokens is not None:
        sessions = Sessions(access.tokens, access.wall)
        gate = {"tokens": access.tokens, "sessions": sessions}
        app.include_router(login_router(access.tokens, sessions, access.audit), prefix=PREFIX)
    app.include_router(_stream(view), prefix=PREFIX)
    app.mount("/vendor", StaticFiles(directory=VENDOR, check_dir=False))
    app.mount("/", StaticFiles(directory=STATIC, html=True))
    app.openapi = lambda: document(app, access.anonymous)  # type: ignore[method-assign]
    methods = app.state.methods = Methods(app.openapi()["paths"])
    # the last one that is added is the first that a request meets
    app.add_middleware(Edits, clock=access.clock, methods=methods.of, version=view.version)
    if gate:
        app.add_middleware(
            Gate,
            **gate,
            methods=methods.of,
            limits=Limits(access.clock, access.rates),
            audit=access.audit,
            anonymous=access.anonymous,
        )
    app.add_middleware(Guard, hosts=access.hosts, secure=access.secure)
    return app


def _stream(view: View) -> APIRouter:
    router = APIRouter(default_response_class=JSONResponse)
    feed = Feed(view)

    @router.get(
        "/stream",
        summary="Server-sent events: one tick event per tick",
        response_class=Response,
        responses={
            **answers(),
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        },
    )
    async def stream() -> Any:
        if feed.full:
            raise HTTPException(503, "Too many pages are open.", {"Retry-After": "10"})
        return _Streaming(EventStream(feed))

    @router.get("/{path:path}", include_in_schema=False)
    async def unknown(path: str, request: Request) -> Any:
        allowed = request.app.state.methods.of(request.url.path)
        if allowed:  # a path that only takes changes
            raise HTTPException(405, "Method Not Allowed", {"Allow": ", ".join(sorted(allowed))})
        raise HTTPException(404, f"There is no /api/v1/{path}.")

    return router


class _Streaming(Response):
    """Lets FastAPI return an event stream."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__()
        self._stream = stream

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._stream(scope, receive, send)
