"""The API of links through time: as they were, as they are, as they are forecast to be."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from controller.api import wire
from controller.api.network import Cursor, known
from controller.api.pages import cut
from controller.api.schemas import HindsightBody, LinkHistoryBody, answers
from controller.api.view import Came, Round, View
from controller.state import Matrix, Plan

FRAMES = 60
FRAMES_MOST = 100
HOPS_MOST = 64
MIDDLE, HIGH = 0.5, 0.9
"""Levels that links to come are told at; a higher level of every demand at once is no level of
what a link carries, but a cautious figure of it."""


def timeline_router(view: View) -> APIRouter:
    """Return the routes of links through time, and of what came of decisions."""
    router = APIRouter(default_response_class=JSONResponse)

    @router.get(
        "/history/links",
        summary="Links' utilisation in the last intervals, newest first, and in those to come",
        responses=answers(LinkHistoryBody),
    )
    async def links(
        limit: Annotated[int, Query(ge=1, le=FRAMES_MOST)] = FRAMES, cursor: Cursor = ""
    ) -> Any:
        last = known(view.last())
        ticks = list(reversed(view.recent())) or [last]
        body = await asyncio.to_thread(_links, last, ticks)
        return JSONResponse({**body, **cut("past", body["past"], limit, cursor)})

    @router.get(
        "/hindsight",
        summary="What came of decisions, beside reacting and the best possible, newest first",
        responses=answers(HindsightBody),
    )
    async def hindsight(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: Cursor = ""
    ) -> Any:
        found = list(reversed(view.came()))
        shown = [wire.finite(_came(one)) for one in found]
        return JSONResponse({"summary": _summary(found), **cut("decisions", shown, limit, cursor)})

    return router


def _links(last: Round, ticks: list[Round]) -> dict[str, Any]:
    names = [link.name for link in last.snapshot.links]
    return {
        "tick": last.number,
        "step_s": last.snapshot.step_s,
        "links": names,
        "past": [_frame(tick, names) for tick in ticks],
        "ahead": ahead(last, names),
    }


def _frame(tick: Round, names: list[str]) -> dict[str, Any]:
    seen = {link["name"]: link for link in wire.links(tick)}

    def of(key: str) -> list[float | None]:
        return [seen[name][key] if name in seen else None for name in names]

    return {
        "tick": tick.number,
        "time_s": tick.snapshot.time_s,
        "up": [name in seen and seen[name]["up"] for name in names],
        "observed": of("observed"),
        "forecast": of("forecast"),
    }


def ahead(last: Round, names: list[str]) -> list[dict[str, Any]]:
    """Return what links will carry at every horizon if the plan in force stays (shares)."""
    forecast, snapshot = last.forecast, last.snapshot
    place = {name: at for at, name in enumerate(names)}
    capacity = np.array([link.capacity_bps for link in snapshot.links], float)
    load = _loads(last.plan, snapshot.nodes, place)

    def shares(matrix: Matrix) -> list[float | None]:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = load(matrix) / capacity
        return [round(float(x), 5) if np.isfinite(x) else None for x in found]

    return [
        {
            "horizon_steps": steps,
            "ahead_s": steps * snapshot.step_s,
            "expected": shares(forecast.quantile(steps, MIDDLE)),
            "high": shares(forecast.quantile(steps, HIGH)),
        }
        for steps in forecast.horizons_steps
    ]


def _loads(plan: Plan, nodes: tuple[str, ...], place: dict[str, int]) -> Callable[[Matrix], Matrix]:
    """Return a function from a matrix of demands to what links carry under a plan."""
    index = {name: at for at, name in enumerate(nodes)}
    circuits = {circuit.spi: circuit.links for circuit in plan.circuits}
    rows: list[int] = []
    demands: list[int] = []
    parts: list[float] = []

    def add(pair: tuple[int, int], links: tuple[str, ...], share: float) -> None:
        for link in links:
            if link in place:
                rows.append(place[link])
                demands.append(pair[0] * len(nodes) + pair[1])
                parts.append(share)

    split = set()
    for one in plan.splits:
        if one.src not in index or one.dst not in index:
            continue
        pair = index[one.src], index[one.dst]
        split.add(pair)
        plain = 1.0
        for spi, share in zip(one.spis, one.shares, strict=True):
            if spi in circuits:
                add(pair, circuits[spi], share)
                plain -= share
        if plain > 1e-6:
            add(pair, _plain(plan, one.src, one.dst), plain)
    for src in nodes:
        for dst in nodes:
            pair = index[src], index[dst]
            if src != dst and pair not in split:
                add(pair, _plain(plan, src, dst), 1.0)
    at, of, part = np.array(rows, int), np.array(demands, int), np.array(parts, float)

    def loads(matrix: Matrix) -> Matrix:
        found = np.zeros(len(place))
        np.add.at(found, at, np.nan_to_num(matrix.reshape(-1)[of]) * part)
        return found

    return loads


def _plain(plan: Plan, src: str, dst: str) -> tuple[str, ...]:
    """Return the links that unmarked traffic takes; empty where it does not arrive."""
    here, links = src, list[str]()
    while here != dst and len(links) < HOPS_MOST:
        link = plan.routes.get(here, {}).get(dst)
        if link is None:
            return ()
        links.append(link)
        here = link.partition(">")[2].partition("/")[0]
    return tuple(links)


def _came(one: Came) -> dict[str, Any]:
    found = one.realised
    return {
        "number": one.number,
        "tick": one.tick,
        "time_s": one.time_s,
        "utilisation": found.utilisation,
        "optimum": found.optimum,
        "reactive": found.reactive,
        "lost_bps": found.lost_bps,
        "regret": found.regret,
        "regret_of_reacting": found.regret_of_reacting,
    }


def _summary(found: list[Came]) -> dict[str, Any]:
    """Return means over the decisions that are known, and how often which was better."""
    if not found:
        return {"decisions": 0, "regret": None, "regret_of_reacting": None, "better": 0, "worse": 0}
    ours = np.array([one.realised.regret for one in found])
    reacting = np.array([one.realised.regret_of_reacting for one in found])
    return {
        "decisions": len(found),
        "regret": round(float(ours.mean()), 5),
        "regret_of_reacting": round(float(reacting.mean()), 5),
        "better": int((ours < reacting - 1e-3).sum()),
        "worse": int((ours > reacting + 1e-3).sum()),
    }
