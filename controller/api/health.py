"""The API of how the brain is: status, health, mode, thresholds, metrics."""

from typing import Any, Protocol

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from controller.api import wire
from controller.api.metrics import CONTENT_TYPE, exposition
from controller.api.refusals import refusals
from controller.api.schemas import HealthBody, ModeBody, StatusBody, ThresholdsBody, answers
from controller.api.view import HEALTHY, View


class Mode(BaseModel):
    """What the brain may do: only look, say what it would do, or do it."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"mode": "advise"}]}
    )

    mode: str = Field(pattern="^(observe|advise|act)$")


class Modes(Protocol):
    """What this API changes of the brain."""

    @property
    def mode(self) -> str:
        """``observe``, ``advise`` or ``act``."""
        ...

    async def change_mode(self, mode: str) -> None:
        """Go over to a mode; raise RequestError where that cannot be kept."""


def health_router(view: View, modes: Modes | None) -> APIRouter:
    """Return the routes of status, health, mode, thresholds and metrics."""
    router = APIRouter(default_response_class=JSONResponse)

    @router.get("/status", summary="How the brain is", responses=answers(StatusBody))
    async def status() -> Any:
        return JSONResponse(wire.status(view))

    @router.get(
        "/health",
        summary="Whether it is well: 200, or 503 with what is wrong",
        responses={**answers(HealthBody), 503: {"model": HealthBody, "description": "Unwell"}},
    )
    async def health() -> Any:
        found = view.status()
        problems = {k: v for k, v in found.components.items() if v != HEALTHY}
        if not found.ready:
            problems.setdefault("network", "it does not hold the plan yet, or not all of it")
        body = {"status": "degraded" if problems else "ok", "problems": problems}
        return JSONResponse(body, 503 if problems else 200)

    @router.get(
        "/thresholds",
        summary="When series are too high or too low",
        responses=answers(ThresholdsBody),
    )
    async def thresholds() -> Any:
        return JSONResponse({"thresholds": view.thresholds()})

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
        responses={**answers(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Any:
        return PlainTextResponse(exposition(view), media_type=CONTENT_TYPE)

    if modes is not None:
        _modes(router, modes)
    return router


def _modes(router: APIRouter, modes: Modes) -> None:
    @router.get("/mode", summary="What the brain may do", responses=answers(ModeBody))
    async def mode() -> Any:
        return JSONResponse({"mode": modes.mode})

    @router.put("/mode", summary="Change what the brain may do", responses=answers(ModeBody))
    async def change(body: Mode) -> Any:
        with refusals():
            await modes.change_mode(body.mode)
        return JSONResponse({"mode": modes.mode})
