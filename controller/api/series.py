"""The API of series, events and signals: what is forecast, what is pushed, what is announced."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import numpy as np
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from controller.api.network import Cursor, Limit
from controller.api.pages import cut
from controller.api.schemas import (
    AlarmsBody,
    DeletedBody,
    EventsBody,
    ForecastsBody,
    IdBody,
    SeriesBody,
    TakenBody,
    answers,
)
from controller.observe.series_events import EventError
from controller.observe.series_kinds import KINDS, SIGNAL
from controller.observe.series_ring import Labels
from controller.state import Alarm, SeriesForecast
from headers.messages import SeriesAnswer, SeriesPush
from models.covariates import Announcement

SAMPLES_MOST = 10_000
PAST = 60
"""Intervals that are told of a series that is asked for by name."""

SHOWN = 200
"""Series of one answer, unless more are asked for."""

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Sample(BaseModel):
    """A value, and when it was measured (seconds since the epoch; now where it is left out)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    value: float = Field(allow_inf_nan=False)
    time_s: float | None = Field(None, allow_inf_nan=False)


class Pushed(BaseModel):
    """Samples of one series, or of a signal; what it is about, where that is known."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"samples": [{"value": 120.0}], "destination": "Paris"}]},
    )

    samples: list[Sample] = Field(min_length=1, max_length=SAMPLES_MOST)
    source: str = Field("", max_length=200)
    destination: str = Field("", max_length=200)


class Event(BaseModel):
    """An announced event; see models.covariates.Announcement."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "release day",
                    "start_s": 1790000000.0,
                    "duration_s": 7200.0,
                    "factor": 2.5,
                    "destination": "Paris",
                }
            ]
        },
    )

    name: Name
    scope: str = "all"
    start_s: float = Field(allow_inf_nan=False)
    duration_s: float = Field(gt=0, allow_inf_nan=False)
    factor: float = Field(gt=0, allow_inf_nan=False)
    source: str = Field("", max_length=200)
    destination: str = Field("", max_length=200)
    series: list[str] = Field(default_factory=list, max_length=1000)


class Desk(Protocol):
    """What this API needs of the brain (``controller.predict.kinds_brain.SeriesDesk`` is one)."""

    def push(self, push: SeriesPush) -> SeriesAnswer:
        """Take samples."""

    def forget(self, kind: str, name: str | None) -> int:
        """Drop a series, a signal, or all of a kind; return how many."""

    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Return all series and signals by kind."""

    def labels(self, kind: str, name: str) -> Labels:
        """Return what a series is about."""

    def latest(self) -> Mapping[str, SeriesForecast]:
        """Return the last forecasts by kind."""

    def past(self, kind: str, name: str, intervals: int) -> list[float]:
        """Return a series' last intervals, oldest first, NaN for gaps; empty if unknown."""

    def alarms(self) -> tuple[Alarm, ...]:
        """Return the alarms of late."""

    def permitted(self, kind: str) -> bool:
        """Whether series of a kind may be kept."""

    def announced(self) -> Mapping[str, tuple[Announcement, float]]:
        """Return events by number, each with how much of it is believed."""

    def announce(self, event: Announcement) -> str:
        """Take an event; return its number, or raise EventError."""

    def recall(self, number: str) -> bool:
        """Drop an event."""

    def status(self) -> dict[str, Any]:
        """Return counters."""

    def now_s(self) -> float:
        """Return seconds since the epoch."""


def series_router(desk: Desk) -> APIRouter:
    """Return the routes of series, forecasts, events and alarms."""
    router = APIRouter(default_response_class=JSONResponse)
    _reading(router, desk)
    _writing(router, desk)
    _announcing(router, desk)
    return router


def _reading(router: APIRouter, desk: Desk) -> None:
    @router.get(
        "/series",
        summary="All series by kind, with units, and the counters of refusals",
        responses=answers(SeriesBody),
    )
    async def series() -> Any:
        names = desk.names()
        shown = {
            kind: {
                "unit": KINDS[kind].unit if kind in KINDS else "",
                "sensitive": kind in KINDS and KINDS[kind].sensitive,
                "series": list(found),
            }
            for kind, found in names.items()
        }
        return JSONResponse({"kinds": shown, "counts": desk.status()})

    @router.get(
        "/forecasts",
        summary="Quantiles of series to come, with skill and crossings; of one, also its past",
        responses=answers(ForecastsBody),
    )
    async def forecasts(
        kind: str, name: str | None = None, limit: Annotated[int, Query(ge=1, le=10_000)] = SHOWN
    ) -> Any:
        _known(desk, kind)
        found = desk.latest().get(kind)
        if found is None:
            raise HTTPException(404, f"There is no forecast of {kind} yet.", {"Retry-After": "5"})
        chosen = list(range(len(found.names)))[:limit]
        if name is not None:
            if name not in found.names:
                raise HTTPException(404, f"There is no forecast of {kind} {name!r}.")
            chosen = [found.names.index(name)]
        body = _fans(found, chosen)
        if name is not None:
            body["series"][0]["past"] = _numbers(desk.past(kind, name, PAST))
        return JSONResponse(body)

    @router.get(
        "/alarms", summary="What is odd of late, the worst first", responses=answers(AlarmsBody)
    )
    async def alarms(limit: Limit = 1000, cursor: Cursor = "") -> Any:
        shown = [_alarm(alarm) for alarm in desk.alarms()]
        return JSONResponse(cut("alarms", shown, limit, cursor))


def _writing(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/series/{kind}/{name:path}",
        status_code=202,
        summary="Push samples of a series, or of a signal",
        responses=answers(TakenBody, 202),
    )
    async def push(kind: str, name: str, pushed: Pushed) -> Any:
        _known(desk, kind, pushing=True)
        now = desk.now_s()
        pairs = tuple((now if s.time_s is None else s.time_s, s.value) for s in pushed.samples)
        answer = desk.push(SeriesPush(kind, name, pairs, pushed.source, pushed.destination))
        if not answer.taken:
            reasons = ", ".join(f"{count} {reason}" for reason, count in answer.refused.items())
            raise HTTPException(422, f"No sample of {kind} {name!r} was taken: {reasons}.")
        return JSONResponse({"taken": answer.taken, "refused": dict(answer.refused)}, 202)

    @router.delete(
        "/series/{kind}",
        summary="Delete all series of a kind, and what they taught",
        responses=answers(DeletedBody),
    )
    async def delete_kind(kind: str) -> Any:
        if kind not in KINDS and kind != SIGNAL:
            raise HTTPException(404, f"There is no kind {kind!r}.")
        return JSONResponse({"deleted": desk.forget(kind, None)})

    @router.delete(
        "/series/{kind}/{name:path}",
        summary="Delete a series, and what it taught",
        responses=answers(DeletedBody),
    )
    async def delete(kind: str, name: str) -> Any:
        if not desk.forget(kind, name):
            raise HTTPException(404, f"There is no series {kind} {name!r}.")
        return JSONResponse({"deleted": 1})


def _announcing(router: APIRouter, desk: Desk) -> None:
    @router.get(
        "/events",
        summary="Announced events, and how much of each is believed",
        responses=answers(EventsBody),
    )
    async def events(limit: Limit = 1000, cursor: Cursor = "") -> Any:
        shown = [
            {
                "id": number,
                **{key: getattr(event, key) for key in event.__slots__ if key != "series"},
                "series": list(event.series),
                "credibility": round(believed, 3),
            }
            for number, (event, believed) in desk.announced().items()
        ]
        return JSONResponse(cut("events", shown, limit, cursor))

    @router.post(
        "/events", status_code=201, summary="Announce an event", responses=answers(IdBody, 201)
    )
    async def announce(event: Event) -> Any:
        fields = {**event.model_dump(), "series": tuple(event.series)}
        try:
            number = desk.announce(Announcement(**fields))
        except EventError as error:
            raise HTTPException(422, str(error)) from error
        return JSONResponse({"id": number}, 201)

    @router.delete(
        "/events/{number:path}", summary="Recall an event", responses=answers(DeletedBody)
    )
    async def recall(number: str) -> Any:
        if not desk.recall(number):
            raise HTTPException(404, f"There is no event {number!r}.")
        return JSONResponse({"deleted": 1})


def _known(desk: Desk, kind: str, *, pushing: bool = False) -> None:
    """Refuse kinds that there are not, that may not be kept, or that are not pushed."""
    if pushing and kind == SIGNAL:
        return
    found = KINDS.get(kind)
    if found is None:
        raise HTTPException(404, f"There is no kind {kind!r}; there are {', '.join(KINDS)}.")
    if not desk.permitted(kind):
        raise HTTPException(
            403, f"Series of {kind} are about users: the configuration does not permit them."
        )
    if pushing and not found.pushed:
        raise HTTPException(405, f"{kind} is measured here; it is not pushed.")


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _numbers(values: Any) -> Any:
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return [_numbers(row) for row in values]
    return [_number(float(value)) for value in values]


def _alarm(alarm: Alarm) -> dict[str, Any]:
    shown = {key: getattr(alarm, key) for key in alarm.__slots__}
    numbers = ("time_s", "certain", "severity", "expected_s")
    return {
        **shown,
        **{key: round(shown[key], 3) if math.isfinite(shown[key]) else None for key in numbers},
    }


def _fans(found: SeriesForecast, chosen: list[int]) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "unit": found.unit,
        "time_s": found.time_s,
        "step_s": found.step_s,
        "horizons_s": list(found.horizons_s),
        "levels": list(found.levels),
        "skill": [
            {
                "used": one.used,
                "weights": {name: _number(weight) for name, weight in one.weights.items()},
                "loss": {name: _number(loss) for name, loss in one.loss.items()},
                "scored": one.scored,
                "drift": one.drift.alarm,
            }
            for one in found.skill
        ],
        "series": [
            {
                "name": found.names[at],
                "value": _number(float(found.values[at])),
                "quantiles": _numbers(found.quantiles[at]),
                "above": _numbers(found.above[at]),
                "below": _numbers(found.below[at]),
                "alarms": [_alarm(a) for a in found.alarms if a.name == found.names[at]],
            }
            for at in chosen
        ],
    }
