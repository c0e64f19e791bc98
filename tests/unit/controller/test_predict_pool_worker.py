"""A predictor worker by itself: what it answers, what it refuses, and how it leaves."""

import asyncio

import numpy as np
import pytest
import pytest_asyncio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bus import Bus, Instance
from bus.errors import NobodyError
from bus.subjects import PREDICT, PREDICTORS
from controller.predict.commands import predictor
from controller.predict.shards import compute
from controller.predict.worker import WAITING_MAX, Worker, serve
from headers.messages import CounterRequest, ForecastAnswer, ForecastAsk, decode, encode
from models import QUANTILES

from .predict_doubles import Apart, windows


@pytest_asyncio.fixture
async def bus(instance_directory):
    instance = Instance.find()
    child = instance.ensure_bus()
    made = await Bus.connect(instance.bus_address(), "test")
    yield made
    await made.close()
    instance.stop("bus")
    if child is not None:
        child.wait(5)


def ask(request="r1", **changes):
    window = windows(10, 5).astype("<f4")
    fields = {
        "request": request, "forecasters": {"apart": "m1"}, "series": 10, "length": 5,
        "window": window.tobytes(), "horizons": (1, 3), "step_s": 300.0, "patience_s": 5.0,
    }  # fmt: skip
    return ForecastAsk(**{**fields, **changes})


async def test_a_shard_is_answered_with_its_quantiles():
    worker = Worker([Apart()], "w")
    answer = decode(encode(await worker.answer(decode(encode(ask())))))
    found, _ = compute([Apart()], windows(10, 5).astype("<f4"), (1, 3), 300.0)
    assert answer == ForecastAnswer("r1", "w", {"apart": found["apart"].tobytes()}, {})
    assert len(answer.quantiles["apart"]) == 10 * 2 * len(QUANTILES) * 4
    assert worker.counts == {"answered": 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"series": 11}, "shape"),
        ({"series": 0, "window": b""}, "shape"),
        ({"series": -10, "length": -5}, "shape"),
        ({"window": b"123"}, "shape"),
        ({"horizons": ()}, "shape"),
        ({"horizons": (0,)}, "shape"),
        ({"horizons": (1, 1)}, "shape"),
        ({"horizons": tuple(range(1, 100))}, "shape"),
        ({"horizons": (10**30,)}, "shape"),
        ({"step_s": float("nan")}, "shape"),
        ({"step_s": 0.0}, "shape"),
        ({"patience_s": float("nan")}, "shape"),
        ({"forecasters": {}}, "shape"),
        ({"forecasters": {"apart": "m2"}}, "model"),
        ({"forecasters": {"apart": "m1", "other": ""}}, "unknown"),
        (
            {
                "series": 40_000,
                "length": 1,
                "window": bytes(160_000),
                "horizons": tuple(range(1, 9)),
            },
            "large",
        ),
    ],
)
async def test_questions_without_sense_are_refused_under_a_name(changes, reason):
    worker = Worker([Apart()], "w")
    answer = await worker.answer(ask(**changes))
    assert (answer.refused, answer.request, answer.quantiles) == (reason, "r1", {})
    assert answer.detail
    assert worker.counts == {reason: 1}


@given(
    series=st.integers(-5, 50),
    length=st.integers(-5, 50),
    size=st.integers(0, 200),
    horizons=st.lists(st.integers(-3, 10**20), max_size=5),
    step_s=st.floats(),
    patience_s=st.floats(),
    names=st.dictionaries(st.text(max_size=3) | st.just("apart"), st.just("m1"), max_size=3),
)
def test_no_question_makes_a_worker_fail(series, length, size, horizons, step_s, patience_s, names):
    question = ask(
        forecasters=names, series=series, length=length, window=bytes(size),
        horizons=tuple(horizons), step_s=step_s, patience_s=patience_s,
    )  # fmt: skip
    answer = asyncio.run(Worker([Apart()], "w").answer(question))
    assert isinstance(answer, ForecastAnswer)
    encode(answer)


async def test_bytes_that_are_no_question_are_counted_and_answered(bus):
    worker = Worker([Apart()], "w")
    await worker.join(bus)
    for data in (b"", b"\xc1 nonsense", encode(CounterRequest(1)), encode(ask())[:-5]):
        reply = await bus._client.request(PREDICT, data, timeout=2)
        assert decode(reply.data).refused == "garbage"
    broken = encode(ask()).replace(b"\x01\x03", b"\xc0\xc0")
    assert decode((await bus._client.request(PREDICT, broken, timeout=2)).data).refused == "garbage"
    assert worker.counts == {"garbage": 5}
    assert (await bus.request(PREDICT, ask())).refused == ""


async def test_a_shard_that_came_twice_or_waited_too_long_or_met_a_crowd_is_refused():
    slow = Apart()
    slow.gate.clear()
    worker = Worker([slow], "w")
    first = asyncio.create_task(worker.answer(ask("first")))
    late = asyncio.create_task(worker.answer(ask("late", patience_s=1e-6)))
    while not slow.entered.is_set():
        await asyncio.sleep(0.001)
    assert (await worker.answer(ask("first"))).refused == "twice"
    crowd = [asyncio.create_task(worker.answer(ask(f"c{n}"))) for n in range(WAITING_MAX - 2)]
    await asyncio.sleep(0)
    assert (await worker.answer(ask("one more"))).refused == "busy"
    slow.gate.set()
    assert (await first).refused == ""
    assert (await late).refused == "late"
    assert {one.refused for one in await asyncio.gather(*crowd)} == {""}
    assert worker.counts == {"answered": WAITING_MAX - 1, "late": 1, "busy": 1, "twice": 1}


async def test_one_that_leaves_answers_what_it_has_and_takes_no_more(bus):
    slow = Apart()
    slow.gate.clear()
    worker, stop = Worker([slow], "w"), asyncio.Event()
    own = await Bus.connect(Instance.find().bus_address(), "w")
    serving = asyncio.create_task(serve(own, worker, stop))
    asking = [
        asyncio.create_task(bus.request(PREDICT, ask(f"r{n}"), timeout_s=10)) for n in range(3)
    ]
    while not slow.entered.is_set():
        await asyncio.sleep(0.001)
    stop.set()
    for _ in range(500):  # until the group is empty
        try:
            await bus.request(PREDICT, ask("new"), timeout_s=0.05, arrival_s=0.0)
        except NobodyError:
            break
        except Exception:
            await asyncio.sleep(0.01)
    else:
        pytest.fail("the worker still takes questions")
    assert not serving.done()
    slow.gate.set()
    answers = await asyncio.gather(*asking)
    assert [one.request for one in answers] == ["r0", "r1", "r2"]
    assert all(one.quantiles for one in answers)
    await asyncio.wait_for(serving, 5)
    assert not own.connected


async def test_each_question_goes_to_one_of_the_group(bus):
    heard = []

    async def hear(body):
        heard.append(body)
        return CounterRequest(7)

    for _ in range(3):
        await bus.subscribe(PREDICT, hear, queue=PREDICTORS)
    for n in range(20):
        await bus.request(PREDICT, CounterRequest(n))
    assert len(heard) == 20


def test_a_worker_without_model_or_bus_says_so_in_one_line(tmp_path, instance_directory):
    done = CliRunner().invoke(predictor, ["--model", str(tmp_path / "gone.onnx")])
    assert done.exit_code == 1
    assert "gone.onnx" in done.output
    assert "Traceback" not in done.output


def test_what_float32_cannot_hold_is_a_gap_and_not_a_fault():
    from controller.predict.shards import narrow

    window = np.array([[1.0, 1e300, np.nan, 2.0]])
    found, errors = compute([Apart()], narrow(window), (1,), 300.0)
    assert errors == {}
    assert np.isfinite(found["apart"]).all()
