"""The pool of workers over a real nats-server: nothing that they do costs a forecast."""

import asyncio
import dataclasses
import itertools
import os
import signal

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from bus import Bus, Instance
from bus.subjects import PREDICT, PREDICTORS
from controller.predict import shards
from controller.predict.pool import Pool
from controller.predict.shards import PAYLOAD_MAX, ask_local, compute, narrow, split
from controller.predict.worker import Worker
from headers.messages import CounterRequest, ForecastAnswer, ForecastAsk, encode
from models import QUANTILES, Ewma, ForecastError, LastValue, ModelError

from .predict_doubles import Apart, Second, windows

HORIZONS = (1, 3, 12)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_MAX", 64)


@pytest_asyncio.fixture
async def instance(instance_directory):
    found = Instance.find()
    child = found.ensure_bus()
    yield found
    found.stop("bus")
    if child is not None:
        child.wait(5)


@pytest_asyncio.fixture
async def connect(instance):
    made = []

    async def connection(name="brain"):
        made.append(await Bus.connect(instance.bus_address(), name))
        return made[-1]

    yield connection
    for bus in made:
        await bus.close()


async def worker(connect, *forecasters, name="w"):
    made = Worker(forecasters, name)
    await made.join(await connect(name))
    return made


def same(one, other):
    assert sorted(one) == sorted(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


async def timed(pool, *question):
    loop = asyncio.get_running_loop()
    began = loop.time()
    answers, errors = await pool.forecast(*question)
    return answers, errors, loop.time() - began


NAMES = ("apart", "ewma", "last")


async def test_workers_answer_what_the_brain_would_have_to_the_last_bit(connect):
    workers = [await worker(connect, Apart(), LastValue(), name=f"w{n}") for n in range(3)]
    home = [Apart(), Ewma(), LastValue()]
    pool = Pool(await connect(), home)
    window = windows()
    answers, errors = await pool.forecast(NAMES, window, HORIZONS, 300.0)
    same(answers, ask_local([Apart(), Ewma(), LastValue()], window, HORIZONS, 300.0)[0])
    assert errors == {}
    assert answers["apart"].shape == (1000, 3, len(QUANTILES))
    assert pool.counts == {"remote": 16}
    assert home[0].calls == 0
    assert sum(one.counts["answered"] for one in workers) == 16
    assert set(pool.workers) <= {"w0", "w1", "w2"}
    # one that looks at all series together is asked about all of them
    whole, _ = compute([Ewma()], narrow(window), HORIZONS, 300.0)
    np.testing.assert_array_equal(answers["ewma"], whole["ewma"].astype(float))


async def test_without_workers_all_is_computed_here_at_once(connect, instance):
    window = windows()
    expected, _ = ask_local([Apart(), Ewma(), LastValue()], window, HORIZONS, 300.0)
    gone, asked = await connect(), []

    def counted(bus):
        request = bus.request

        async def ask(*question, **options):
            asked.append(question)
            return await request(*question, **options)

        bus.request = ask
        return bus

    for bus in (None, counted(await connect()), gone):
        if bus is gone:
            os.kill(instance.pid("bus"), signal.SIGKILL)
            while bus.connected:
                await asyncio.sleep(0.01)
        # a pool that waited for anything would wait for this deadline's parts
        pool = Pool(bus, [Apart(), Ewma(), LastValue()], deadline_s=60.0)
        answers, errors, took_s = await timed(pool, NAMES, window, HORIZONS, 300.0)
        same(answers, expected)
        assert errors == {}
        assert pool.counts == {"local": 16}
        assert took_s < 3.0
    assert 0 < len(asked) <= 6  # once it is known that nobody listens, nobody is asked


async def mute(bus, answer):
    """Be a worker that answers nothing, or something else."""
    heard = []

    async def hear(ask):
        heard.append(ask)
        return answer(ask) if answer else None

    await bus.subscribe(PREDICT, hear, queue=PREDICTORS)
    return heard


@pytest.mark.slow
async def test_workers_that_never_answer_cost_no_forecast(connect):
    heard = [await mute(await connect(f"m{n}"), None) for n in range(2)]
    pool = Pool(await connect(), [Apart(), Ewma()], deadline_s=0.5)
    window = windows()
    answers, errors, took_s = await timed(pool, ("apart", "ewma"), window, HORIZONS, 300.0)
    same(answers, ask_local([Apart(), Ewma()], window, HORIZONS, 300.0)[0])
    assert errors == {}
    assert took_s < 1.0
    assert pool.counts["local"] == 16
    assert sum(map(len, heard)) >= 6


@pytest.mark.slow
async def test_a_worker_that_hangs_leaves_its_shards_to_the_others(connect):
    stuck, sound = Apart(), Apart()
    stuck.gate.clear()
    await worker(connect, stuck, name="stuck")
    helper = await worker(connect, sound, name="sound")
    home = Apart()
    pool = Pool(await connect(), [home], deadline_s=1.5)
    window = windows()
    answers, _, took_s = await timed(pool, ("apart",), window, HORIZONS, 300.0)
    stuck.gate.set()
    same(answers, ask_local([Apart()], window, HORIZONS, 300.0)[0])
    assert took_s < 3.0
    assert stuck.entered.is_set()
    assert pool.counts["again"] > 0
    assert helper.counts["answered"] + pool.counts["local"] >= 16


def answer_of(ask, **changes):
    found, _ = compute(
        [Apart()],
        np.frombuffer(ask.window, "<f4").reshape(ask.series, ask.length),
        ask.horizons,
        ask.step_s,
    )
    good = ForecastAnswer(ask.request, "odd", {"apart": found["apart"].tobytes()}, {})
    return dataclasses.replace(good, **changes)


def with_one(ask, at, value):
    data = np.frombuffer(answer_of(ask).quantiles["apart"], "<f4").copy()
    data[at] = value
    return answer_of(ask, quantiles={"apart": data.tobytes()})


NONSENSE = {
    "another request": lambda ask: answer_of(ask, request="other"),
    "no quantiles": lambda ask: answer_of(ask, quantiles={}),
    "too short": lambda ask: answer_of(ask, quantiles={"apart": b"123"}),
    "not a number": lambda ask: with_one(ask, 3, np.nan),
    "infinite": lambda ask: with_one(ask, 6, np.inf),
    "negative": lambda ask: with_one(ask, 0, -1.0),
    "crossing": lambda ask: with_one(ask, 3, 1e30),
    "another message": lambda _ask: CounterRequest(1),
}


@pytest.mark.parametrize("kind", NONSENSE)
async def test_nonsense_is_counted_and_not_believed(connect, kind):
    await mute(await connect("odd"), NONSENSE[kind])
    pool = Pool(await connect(), [Apart()], deadline_s=4.0)
    window = windows(100)
    answers, errors, took_s = await timed(pool, ("apart",), window, HORIZONS, 300.0)
    same(answers, ask_local([Apart()], window, HORIZONS, 300.0)[0])
    assert errors == {}
    assert pool.counts == {"bad": 6, "local": 2}
    assert took_s < 1.0  # what was refused is not waited for


async def test_bytes_that_are_no_message_are_not_believed(connect):
    bus = await connect("odd")

    async def raw(message):
        await message.respond(b"\xc1 nonsense")

    await bus._client.subscribe(PREDICT, PREDICTORS, cb=raw)
    await bus._client.flush()
    pool = Pool(await connect(), [Apart()], deadline_s=4.0)
    answers, _ = await pool.forecast(("apart",), windows(100), HORIZONS, 300.0)
    same(answers, ask_local([Apart()], windows(100), HORIZONS, 300.0)[0])
    assert pool.counts == {"bad": 6, "local": 2}


@pytest.mark.parametrize(
    ("other", "reason"), [(Apart("m2"), "refused_model"), (Second(), "refused_unknown")]
)
async def test_a_worker_of_another_version_refuses_and_the_shard_goes_elsewhere(
    connect, other, reason
):
    wrong = await worker(connect, other, name="wrong")
    pool = Pool(await connect(), [Apart()], deadline_s=4.0)
    window = windows()
    answers, errors, took_s = await timed(pool, ("apart",), window, HORIZONS, 300.0)
    same(answers, ask_local([Apart()], window, HORIZONS, 300.0)[0])
    assert errors == {}
    assert took_s < 2.0
    assert pool.counts[reason] == 3 * 16
    assert wrong.counts == {reason.removeprefix("refused_"): 48}
    await worker(connect, Apart(), name="right")
    answers, _ = await pool.forecast(("apart",), window, HORIZONS, 300.0)
    assert pool.counts["remote"] > 0
    assert pool.workers == ("right",)


async def test_a_forecaster_that_fails_there_is_asked_here(connect):
    sick = Apart()
    sick.fault = RuntimeError("sick")
    there = await worker(connect, sick)
    pool = Pool(await connect(), [Apart()], deadline_s=4.0)
    answers, errors = await pool.forecast(("apart",), windows(100), HORIZONS, 300.0)
    same(answers, ask_local([Apart()], windows(100), HORIZONS, 300.0)[0])
    assert errors == {}
    assert pool.counts == {"failed": 2, "local": 2}
    assert there.counts == {"failed": 2}


@pytest.mark.parametrize("fault", [ModelError("too far"), ForecastError("odd"), RuntimeError("x")])
async def test_a_forecaster_that_fails_everywhere_is_named_and_the_others_go_on(connect, fault):
    def sick():
        made = Second()
        made.fault = fault
        return made

    await worker(connect, Apart(), sick())
    window = windows(100)
    for pool in (
        Pool(await connect(), [Apart(), sick()], deadline_s=4.0),
        Pool(None, [Apart(), sick()]),
    ):
        answers, errors = await pool.forecast(
            ("apart", "second", "nobody"), window, HORIZONS, 300.0
        )
        same(answers, ask_local([Apart()], window, HORIZONS, 300.0)[0])
        assert errors == {
            "second": f"{type(fault).__name__}: {fault}", "nobody": "no such forecaster",
        }  # fmt: skip
    local = ask_local([Apart(), sick()], window, HORIZONS, 300.0)
    same(local[0], answers)
    assert set(local[1]) == {"second"}


@pytest.mark.parametrize(
    ("window", "horizons", "step_s"),
    [
        (np.ones(5), (1,), 300.0),
        (np.ones((5, 0)), (1,), 300.0),
        (np.ones((5, 3)), (), 300.0),
        (np.ones((5, 3)), (0,), 300.0),
        (np.ones((5, 3)), (float("nan"),), 300.0),
        (np.ones((5, 3)), (1.5,), 300.0),
        (np.ones((5, 3)), (1,), float("nan")),
    ],
)
async def test_questions_without_sense_end_in_errors_by_name(connect, window, horizons, step_s):
    await worker(connect, Apart())
    pool = Pool(await connect(), [Apart(), Ewma()], deadline_s=2.0)
    answers, errors = await pool.forecast(("apart", "ewma"), window, horizons, step_s)
    assert answers == {}
    assert set(errors) == {"apart", "ewma"}
    assert ask_local([Apart(), Ewma()], window, horizons, step_s) == ({}, errors)


async def test_no_series_are_no_question(connect):
    await worker(connect, Apart())
    pool = Pool(await connect(), [Apart(), Ewma()], deadline_s=2.0)
    answers, errors = await pool.forecast(("apart", "ewma"), np.ones((0, 9)), HORIZONS, 300.0)
    assert {name: values.shape for name, values in answers.items()} == {
        "apart": (0, 3, 7), "ewma": (0, 3, 7),
    }  # fmt: skip
    assert errors == {}
    assert (await pool.forecast((), windows(10), HORIZONS, 300.0)) == ({}, {})


async def test_numbers_of_numpy_and_values_beyond_float32_can_be_asked(connect):
    await worker(connect, Apart())
    window = windows(100)
    window[3, 4], window[5, 6] = 1e300, -1.0
    horizons = tuple(np.array([1, 3]))
    pool = Pool(await connect(), [Apart()], deadline_s=4.0)
    answers, errors = await pool.forecast(("apart",), window, horizons, np.float64(300.0))
    assert errors == {}
    assert np.isfinite(answers["apart"]).all()
    same(answers, ask_local([Apart()], window, horizons, 300.0)[0])
    assert pool.counts == {"remote": 2}


@given(
    series=st.integers(1, 20_000),
    length=st.integers(1, 3000),
    forecasters=st.integers(1, 12),
    horizons=st.integers(1, 40),
)
def test_shards_cover_all_series_once_and_fit_a_message(series, length, forecasters, horizons):
    found = split(series, length, forecasters, horizons)
    assert found[0].start == 0
    assert found[-1].stop == series
    assert all(a.stop == b.start for a, b in itertools.pairwise(found))
    size = max(shard.stop - shard.start for shard in found)
    ask = ForecastAsk(
        "x" * 30, {f"forecaster-{n}": "0" * 64 for n in range(forecasters)}, size, length,
        bytes(size * length * 4), tuple(range(1, horizons + 1)), 300.0, 1.0,
    )  # fmt: skip
    share = bytes(size * horizons * len(QUANTILES) * 4)
    answer = ForecastAnswer(
        "x" * 30, "w" * 80, {f"forecaster-{n}": share for n in range(forecasters)}, {}
    )
    assert len(encode(ask)) < 1 << 20
    assert len(encode(answer)) < 1 << 20


async def test_windows_too_long_for_any_message_are_computed_here(connect):
    there = await worker(connect, Apart())
    window = np.ones((3, PAYLOAD_MAX // 4 + 1))
    assert split(3, window.shape[1], 1, 1) == ()
    pool = Pool(await connect(), [Apart()], deadline_s=4.0)
    answers, errors = await pool.forecast(("apart",), window, (1,), 300.0)
    assert answers["apart"].shape == (3, 1, 7)
    assert errors == {}
    assert there.counts == {}
