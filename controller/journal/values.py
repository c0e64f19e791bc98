"""What a decision is made from, as plain values and back: nothing is lost on the way.

Matrices are kept in single precision. So that a replay sees exactly what was decided on, the
decision is made on what the journal keeps: ``as_kept`` rounds before, not after.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from controller.state import (
    Alarm,
    EngineState,
    ExternalPath,
    Forecast,
    LinkState,
    PathQuality,
    Policies,
    Refused,
    Service,
    Skill,
    Snapshot,
)

KEPT_ROWS = 8
"""Past matrices that a decision may look at."""

_LINKS = TypeAdapter(tuple[LinkState, ...])
_ENGINES = TypeAdapter(tuple[EngineState, ...])
_REFUSED = TypeAdapter(tuple[Refused, ...])
_SERVICES = TypeAdapter(tuple[Service, ...])
_EXTERNAL = TypeAdapter(tuple[ExternalPath, ...])
_SKILL = TypeAdapter(tuple[Skill, ...])
_ALARMS = TypeAdapter(tuple[Alarm, ...])
_POLICIES = TypeAdapter(Policies)
_QUALITY = TypeAdapter(PathQuality)


def as_kept(snapshot: Snapshot, forecast: Forecast) -> tuple[Snapshot, Forecast]:
    """Return both as the journal will give them back: rounded, and without what nobody asks for."""
    return (
        replace(
            snapshot,
            demands_bps=_rounded(snapshot.demands_bps),
            history_bps=_rounded(snapshot.history_bps[-KEPT_ROWS:]),
        ),
        replace(forecast, demands_bps=_rounded(forecast.demands_bps), kinds={}),
    )


def _rounded(array: NDArray[np.float64]) -> NDArray[np.float64]:
    return array.astype("<f4").astype(np.float64)


def pack(array: NDArray[np.float64]) -> dict[str, Any]:
    """Return an array in single precision as plain values."""
    return {"shape": array.shape, "f4": array.astype("<f4").tobytes()}


def unpack(packed: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the array that ``pack`` packed."""
    flat = np.frombuffer(packed["f4"], dtype="<f4").astype(np.float64)
    array: NDArray[np.float64] = flat.reshape(packed["shape"])
    return array


def snapshot_to_wire(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot as plain values for msgpack."""
    return {
        "number": snapshot.number,
        "time_s": snapshot.time_s,
        "step_s": snapshot.step_s,
        "data_step_s": snapshot.data_step_s,
        "nodes": list(snapshot.nodes),
        "links": [dataclasses.asdict(link) for link in snapshot.links],
        "demands": pack(snapshot.demands_bps),
        "history": pack(snapshot.history_bps[-KEPT_ROWS:]),
        "engines": [dataclasses.asdict(engine) for engine in snapshot.engines],
        "circuit_quality": [
            [spi, dataclasses.asdict(one)] for spi, one in snapshot.circuit_quality.items()
        ],
        "client_quality": [
            [*ends, dataclasses.asdict(one)] for ends, one in snapshot.client_quality.items()
        ],
        "refused": [dataclasses.asdict(one) for one in snapshot.refused],
        "regions": dict(snapshot.regions),
        "surges": [[*ends, rate] for ends, rate in snapshot.surges.items()],
        "services": _SERVICES.dump_python(snapshot.services),
        "external": _EXTERNAL.dump_python(snapshot.external),
    }


def snapshot_from_wire(body: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that ``snapshot_to_wire`` packed."""
    return Snapshot(
        body["number"],
        body["time_s"],
        body["step_s"],
        body["data_step_s"],
        tuple(body["nodes"]),
        _LINKS.validate_python(body["links"]),
        unpack(body["demands"]),
        unpack(body["history"]),
        _ENGINES.validate_python(body["engines"]),
        {spi: _QUALITY.validate_python(one) for spi, one in body["circuit_quality"]},
        {(a, b): _QUALITY.validate_python(one) for a, b, one in body["client_quality"]},
        _REFUSED.validate_python(body["refused"]),
        body["regions"],
        {(a, b): rate for a, b, rate in body["surges"]},
        _SERVICES.validate_python(body.get("services", ())),
        _EXTERNAL.validate_python(body.get("external", ())),
    )


def forecast_to_wire(forecast: Forecast) -> dict[str, Any]:
    """Return a forecast as plain values for msgpack; other kinds' forecasts are left out."""
    return {
        "number": forecast.number,
        "snapshot": forecast.snapshot,
        "horizons": list(forecast.horizons_steps),
        "levels": list(forecast.levels),
        "demands": pack(forecast.demands_bps),
        "skill": _SKILL.dump_python(forecast.skill),
        "model": forecast.model,
        "alarms": _ALARMS.dump_python(forecast.alarms),
    }


def forecast_from_wire(body: Mapping[str, Any]) -> Forecast:
    """Return the forecast that ``forecast_to_wire`` packed."""
    return Forecast(
        body["number"],
        body["snapshot"],
        tuple(body["horizons"]),
        tuple(body["levels"]),
        unpack(body["demands"]),
        _SKILL.validate_python(body["skill"]),
        body["model"],
        _ALARMS.validate_python(body["alarms"]),
    )


def policies_to_wire(policies: Policies) -> dict[str, Any]:
    """Return policies as plain values for msgpack."""
    wire: dict[str, Any] = _POLICIES.dump_python(policies)
    return wire


def policies_from_wire(body: Mapping[str, Any]) -> Policies:
    """Return the policies that ``policies_to_wire`` packed."""
    return _POLICIES.validate_python(body)
