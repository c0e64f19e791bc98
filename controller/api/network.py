"""The API of what the network is and carries: locations, links, demands, circuits, engines."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import JSONResponse

from controller.api import wire
from controller.api.pages import cut
from controller.api.quality import qualities
from controller.api.schemas import (
    CircuitsBody,
    DemandsBody,
    EnginesBody,
    ExitsBody,
    FanBody,
    LocationsBody,
    QualityBody,
    ShadowsBody,
    SplitsBody,
    TopologyBody,
    answers,
)
from controller.api.view import Round, View

PAGE_MOST = 10_000
Limit = Annotated[int, Query(ge=1, le=PAGE_MOST, description="How many at most.")]
Cursor = Annotated[str, Query(max_length=100, description="Where the last answer ended: next.")]


def network_router(view: View) -> APIRouter:
    """Return the routes that show the network."""
    router = APIRouter(default_response_class=JSONResponse)
    _places(router, view)
    _traffic(router, lambda: known(view.last()))
    return router


def _places(router: APIRouter, view: View) -> None:
    @router.get(
        "/topology",
        summary="Locations, links and their utilisation",
        responses=answers(TopologyBody),
    )
    async def topology() -> Any:
        return JSONResponse(wire.topology(view))

    @router.get(
        "/locations", summary="Locations, and what is there", responses=answers(LocationsBody)
    )
    async def locations(limit: Limit = PAGE_MOST, cursor: Cursor = "") -> Any:
        shown = [
            {"name": p.name, "lat": p.lat, "lon": p.lon, "region": p.region, "prefix": p.prefix}
            for p in view.places()
        ]
        return JSONResponse(cut("locations", shown, limit, cursor))

    @router.get("/engines", summary="Forwarding engines", responses=answers(EnginesBody))
    async def engines(limit: Limit = PAGE_MOST, cursor: Cursor = "") -> Any:
        return JSONResponse(cut("engines", wire.engines(known(view.last())), limit, cursor))

    @router.get(
        "/shadows",
        summary="Who holds whose connections too, and how far that is",
        responses=answers(ShadowsBody),
    )
    async def shadows(limit: Limit = PAGE_MOST, cursor: Cursor = "") -> Any:
        shown = [asdict(one) for one in view.shadowed()]
        return JSONResponse(cut("engines", shown, limit, cursor))

    @router.get(
        "/exits",
        summary="Prefixes that neighbouring networks announce, and where traffic leaves",
        responses=answers(ExitsBody),
    )
    async def exits(limit: Limit = 1000, cursor: Cursor = "") -> Any:
        last = known(view.last())
        head = {"tick": last.number, "plan": last.plan.number}
        return JSONResponse({**head, **cut("exits", wire.exits(last), limit, cursor)})


def _traffic(router: APIRouter, last: Callable[[], Round]) -> None:
    @router.get(
        "/quality",
        summary="Round trips and loss of links, circuits and clients' ways",
        responses=answers(QualityBody),
    )
    async def quality() -> Any:
        return JSONResponse(qualities(last()))

    @router.get(
        "/demands",
        summary="The demand matrix, observed and forecast",
        responses=answers(DemandsBody),
    )
    async def demands() -> Any:
        return JSONResponse(wire.demands(last()))

    @router.get(
        "/splits", summary="How demands are spread over circuits", responses=answers(SplitsBody)
    )
    async def splits(
        src: str | None = None, dst: str | None = None, limit: Limit = 1000, cursor: Cursor = ""
    ) -> Any:
        found = last()
        shown = wire.splits(found, src, dst)
        return JSONResponse({"tick": found.number, **cut("splits", shown, limit, cursor)})

    @router.get(
        "/forecast/{src}/{dst}",
        summary="One demand's past and its quantiles to come",
        responses=answers(FanBody),
    )
    async def forecast(src: str, dst: str) -> Any:
        found = last()
        return JSONResponse(wire.fan(found, *demand_place(found.snapshot.nodes, src, dst)))

    @router.get(
        "/circuits", summary="Circuits and what they carry", responses=answers(CircuitsBody)
    )
    async def circuits(
        src: str | None = None, dst: str | None = None, limit: Limit = 1000, cursor: Cursor = ""
    ) -> Any:
        found = last()
        body = wire.circuits(found, src, dst)
        return JSONResponse({**body, **cut("circuits", body["circuits"], limit, cursor)})


def known(last: Round | None) -> Round:
    """Return the last tick.

    Raises:
        HTTPException: there was none yet (503).
    """
    if last is None:
        raise HTTPException(503, "There was no tick yet; ask again soon.", {"Retry-After": "1"})
    return last


def demand_place(nodes: tuple[str, ...], src: str, dst: str) -> tuple[int, int]:
    """Return a demand's place in the matrices.

    Raises:
        HTTPException: there is no such demand (404).
    """
    for name in (src, dst):
        if name not in nodes:
            raise HTTPException(404, f"There is no location {name!r}.")
    if src == dst:
        raise HTTPException(404, "A location has no demand to itself.")
    return nodes.index(src), nodes.index(dst)
