"""The application: JSON under /api/v1, events at /api/v1/stream, the page at /."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from controller.api import problems, wire
from controller.api.guard import LOOPBACK, Guard
from controller.api.operate import operate_router
from controller.api.policy import policy_router
from controller.api.quality import qualities
from controller.api.series import series_router
from controller.api.stream import EventStream, Feed
from controller.api.view import Round, View

STATIC = Path(__file__).parent / "static"
RECENT = 100


def create_app(view: View, hosts: Collection[str] = LOOPBACK) -> FastAPI:
    """Return the application that shows a view of the brain.

    ``hosts``: the names that it answers to (``*``: all); requests under other names are refused.
    """
    app = FastAPI(
        title="Foresteer",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    desk = view.desk()
    if desk is not None:
        app.include_router(series_router(desk), prefix="/api/v1")
    operations = view.operations()
    if operations is not None:
        app.include_router(operate_router(operations), prefix="/api/v1")
    policies = view.policies()
    if policies is not None:
        app.include_router(policy_router(policies), prefix="/api/v1")
    app.include_router(_router(view), prefix="/api/v1")
    app.mount("/", StaticFiles(directory=STATIC, html=True))
    app.add_middleware(Guard, hosts=hosts)
    return app


def _router(view: View) -> APIRouter:
    router = APIRouter(default_response_class=JSONResponse)
    feed = Feed(view)

    def last() -> Round:
        return _known(view.last())

    @router.get("/status", summary="How the brain is")
    async def status() -> Any:
        return JSONResponse(wire.status(view))

    @router.get("/topology", summary="Locations, links and their utilisation")
    async def topology() -> Any:
        return JSONResponse(wire.topology(view))

    @router.get("/quality", summary="Round trips and loss of links, circuits and clients' ways")
    async def quality() -> Any:
        return JSONResponse(qualities(last()))

    @router.get("/demands", summary="The demand matrix, observed and forecast")
    async def demands() -> Any:
        return JSONResponse(wire.demands(last()))

    @router.get("/forecast/{src}/{dst}", summary="One demand's past and its quantiles to come")
    async def forecast(src: str, dst: str) -> Any:
        found = last()
        return JSONResponse(wire.fan(found, *_demand(found.snapshot.nodes, src, dst)))

    @router.get("/circuits", summary="Circuits and what they carry")
    async def circuits(src: str | None = None, dst: str | None = None) -> Any:
        return JSONResponse(wire.circuits(last(), src, dst))

    @router.get("/decisions", summary="The last decisions with their reasons, newest first")
    async def decisions(limit: Annotated[int, Query(ge=1, le=RECENT)] = 20) -> Any:
        return JSONResponse(wire.decisions(view, limit))

    @router.get("/stream", summary="Server-sent events: one tick event per tick")
    async def stream() -> Any:
        if feed.full:
            raise HTTPException(503, "Too many pages are open.", {"Retry-After": "10"})
        return _Streaming(EventStream(feed))

    @router.get("/{path:path}", include_in_schema=False)
    async def unknown(path: str) -> Any:
        raise HTTPException(404, f"There is no /api/v1/{path}.")

    return router


def _known(last: Round | None) -> Round:
    if last is None:
        raise HTTPException(503, "There was no tick yet; ask again soon.", {"Retry-After": "1"})
    return last


def _demand(nodes: tuple[str, ...], src: str, dst: str) -> tuple[int, int]:
    """Return a demand's place in the matrices."""
    for name in (src, dst):
        if name not in nodes:
            raise HTTPException(404, f"There is no location {name!r}.")
    if src == dst:
        raise HTTPException(404, "A location has no demand to itself.")
    return nodes.index(src), nodes.index(dst)


class _Streaming(Response):
    """Lets FastAPI return an event stream."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__()
        self._stream = stream

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._stream(scope, receive, send)
