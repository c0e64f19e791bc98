"""What a brain goes on from: the plan in force on a real bus, past demands from files."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from bus import Bus, Instance
from bus.subjects import PLAN
from controller.journal import Journal
from controller.memory import keep_plan, kept_plan, past_demands
from controller.state import Circuit, Plan, Split
from headers.files import FileError, TrafficMatrices, save_matrices
from headers.files.network import Engine, Location, Network


def network(*names: str) -> Network:
    return Network(
        "n",
        tuple(
            Location(
                name, i, f"10.{i}.0.0/16", f"10.{i}.0.1", Engine(f"e{i}", i, (f"h{i}",), f"f{i}", 1)
            )
            for i, name in enumerate(names, 1)
        ),
        (),
    )


PLANNED = Plan(
    3,
    1,
    2,
    (Circuit(7, "A", "B", ("A>B",)),),
    (Split("A", "B", (7,), (1.0,), (7,) * 256),),
    {"A": {"B": "A>B"}},
    {"A>B": 0.5},
    0.5,
    "two-stage",
    "because",
)


@pytest_asyncio.fixture
async def bus(instance_directory: Path) -> AsyncIterator[Bus]:
    instance = Instance.find()
    child = instance.ensure_bus()
    found = await Bus.connect(instance.bus_address(), "test")
    yield found
    await found.close()
    instance.stop("bus")
    if child is not None:
        child.wait(5)


async def test_next_brain_goes_on_from_the_plan_in_force(bus: Bus) -> None:
    assert await kept_plan(bus, network("A", "B")) == (0, None)
    await keep_plan(bus, 4, PLANNED)
    term, plan = await kept_plan(bus, network("A", "B"))
    assert term == 4
    assert plan is not None
    assert (plan.circuits, plan.splits, plan.routes) == (
        PLANNED.circuits,
        PLANNED.splits,
        PLANNED.routes,
    )


async def test_plan_of_another_network_leaves_only_its_term(bus: Bus) -> None:
    await keep_plan(bus, 4, PLANNED)
    assert await kept_plan(bus, network("A", "C")) == (4, None)


@pytest.mark.parametrize("content", [b"\xc1", b"\x80", b"\x01", b"\x82\xa4term\x01\xa4plan\x80"])
async def test_damaged_plan_is_an_error_that_says_so(bus: Bus, content: bytes) -> None:
    await bus.put(PLAN, content)
    with pytest.raises(ValueError, match=r"damaged|unpack|Unpack|extra"):
        await kept_plan(bus, network("A", "B"))


def test_past_demands_are_those_of_the_same_nodes_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    given = tmp_path / "history.npz"
    assert past_demands(given, journal, network("A", "B")) == []
    tm = np.array([[[0.0, 2.0], [3.0, 0.0]]])
    save_matrices(TrafficMatrices("h", ("A", "B"), np.array([0]), tm), given)
    rows = past_demands(given, journal, network("A", "B"))
    assert len(rows) == 1
    assert rows[0].tolist() == [[0.0, 2e6], [3e6, 0.0]]
    assert past_demands(given, journal, network("B", "A")) == []
    given.write_text("no archive")
    with pytest.raises(FileError):
        past_demands(given, journal, network("A", "B"))
    journal.close()
