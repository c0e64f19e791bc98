"""The API of decisions: the last ones, and why each is as it is."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import JSONResponse

from controller.api import wire
from controller.api.network import Cursor
from controller.api.pages import cut
from controller.api.schemas import DecisionsBody, ExplainedBody, answers
from controller.api.view import View
from controller.errors import ControllerError

RECENT = 100
NUMBER = Annotated[str, Query(pattern="^(last|[0-9]{1,12})$", description="Of a decision.")]

Explained = tuple[dict[str, Any], list[str]]


class Explainer(Protocol):
    """What answers for decisions; each returns facts, and the same in words.

    All raise ControllerError for what there is not.
    """

    def decision(self, number: str) -> Explained:
        """Of one decision, by number or ``last``."""

    def demand(self, src: str, dst: str, number: str) -> Explained:
        """Of one demand in a decision."""

    def circuit(self, name: str) -> Explained:
        """Of one circuit, by number or name."""


def decisions_router(view: View, explainer: Explainer | None) -> APIRouter:
    """Return the routes of decisions and their explanations."""
    router = APIRouter(default_response_class=JSONResponse)

    @router.get(
        "/decisions",
        summary="The last decisions with their reasons, newest first",
        responses=answers(DecisionsBody),
    )
    async def decisions(
        limit: Annotated[int, Query(ge=1, le=RECENT)] = 20, cursor: Cursor = ""
    ) -> Any:
        shown = [
            wire.decision(tick, view.journaled(tick.plan.number))
            for tick in reversed(view.decided())
        ]
        return JSONResponse(cut("decisions", shown, limit, cursor))

    if explainer is not None:
        _explained(router, explainer)
    return router


def _explained(router: APIRouter, explainer: Explainer) -> None:
    @router.get(
        "/explain/decision/{number}",
        summary="Why a decision is so, and what came of it",
        responses=answers(ExplainedBody),
    )
    async def decision(
        number: Annotated[str, Path(pattern="^(last|[0-9]{1,12})$", description="Or last.")],
    ) -> Any:
        return await _answer(lambda: explainer.decision(number))

    @router.get(
        "/explain/demand/{src}/{dst}",
        summary="Why a demand goes where it goes",
        responses=answers(ExplainedBody),
    )
    async def demand(src: str, dst: str, decision: NUMBER = "last") -> Any:
        return await _answer(lambda: explainer.demand(src, dst, decision))

    @router.get(
        "/explain/circuit/{name}",
        summary="What a circuit is for, and since when",
        responses=answers(ExplainedBody),
    )
    async def circuit(name: str) -> Any:
        return await _answer(lambda: explainer.circuit(name))


async def _answer(ask: Callable[[], Explained]) -> JSONResponse:
    """Ask in a thread: the journal is on disk, and the past is planned again."""
    try:
        facts, words = await asyncio.to_thread(ask)
    except ControllerError as error:
        raise HTTPException(404, f"{error}.") from error
    return JSONResponse({"words": words, "facts": wire.finite(facts)})
