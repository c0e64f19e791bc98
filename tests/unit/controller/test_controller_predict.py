"""The predictor: snapshots in, forecasts with their measured skill out."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

import models.neural.forecaster
from controller.predict import Predictor
from controller.state import Snapshot
from models import QUANTILES


def snapshot(history: np.ndarray, number: int = 1) -> Snapshot:  # type: ignore[type-arg]
    nodes = tuple(f"n{i}" for i in range(history.shape[1]))
    return Snapshot(number, 0.0, 2.0, 300.0, nodes, (), history[-1], history)


def steady(length: int, count: int = 3) -> np.ndarray:  # type: ignore[type-arg]
    history = np.tile(np.arange(1.0, count * count + 1).reshape(count, count) * 1e6, (length, 1, 1))
    history[:, np.eye(count, dtype=bool)] = 0.0
    return history


@pytest.fixture(scope="module")
def warm() -> Predictor:
    predictor = Predictor((1, 3))
    predictor.warm_up(snapshot(steady(60)), -1)
    return predictor


def test_forecast_has_every_horizon_and_level_in_the_order_of_nodes(warm: Predictor) -> None:
    history = steady(60)
    forecast = asyncio.run(warm.forecast(snapshot(history, 9), 0))
    assert forecast.demands_bps.shape == (2, len(QUANTILES), 3, 3)
    assert (forecast.snapshot, forecast.horizons_steps, forecast.levels) == (9, (1, 3), QUANTILES)
    assert (np.diff(forecast.demands_bps, axis=1) >= 0).all()
    assert np.allclose(forecast.quantile(1, 0.5), history[-1], rtol=0.05)


def test_nothing_is_forecast_from_a_node_to_itself(warm: Predictor) -> None:
    forecast = asyncio.run(warm.forecast(snapshot(steady(60)), 1))
    assert not forecast.demands_bps[:, :, np.eye(3, dtype=bool)].any()


def test_skill_is_measured_per_horizon_against_the_simple_forecasters(warm: Predictor) -> None:
    forecast = asyncio.run(warm.forecast(snapshot(steady(60)), 2))
    assert [skill.horizon_steps for skill in forecast.skill] == [1, 3]
    for skill in forecast.skill:
        assert {"last", "ewma"} <= set(skill.loss)
        assert skill.used in skill.loss
        assert skill.scored > 0


def test_forecasts_are_numbered_in_order(warm: Predictor) -> None:
    numbers = [asyncio.run(warm.forecast(snapshot(steady(60)), 3 + i)).number for i in range(3)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_one_interval_of_history_is_enough() -> None:
    predictor = Predictor((1, 3, 12))
    predictor.warm_up(snapshot(steady(1)), -1)
    forecast = asyncio.run(predictor.forecast(snapshot(steady(1)), 0))
    assert np.isfinite(forecast.demands_bps).all()


def test_missing_model_is_said_and_the_simple_forecasters_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.neural.forecaster, "SHIPPED", tmp_path / "none.onnx")
    predictor = Predictor((1,))
    assert "none" in predictor.problem
    forecast = asyncio.run(predictor.forecast(snapshot(steady(10)), 0))
    assert set(forecast.skill[0].loss) <= {"last", "ewma", "mix"}
    assert np.isfinite(forecast.demands_bps).all()
