"""What an agent answers when it is told of shadows."""

from typing import Any

import pytest

from dataplane.errors import DataplaneError
from dataplane.replication import Replication
from headers.files.network import Network
from headers.messages import AssignShadows, ShadowAssignment, ShadowPlace


def told(engine: int, *shadows: int, port: int = 6610) -> AssignShadows:
    places = tuple(ShadowPlace(n, f"192.0.2.{n}", port) for n in shadows)
    return AssignShadows(1, 1, 60.0, (ShadowAssignment(engine, 1, places),))


@pytest.fixture
def replication() -> Replication:
    nothing: Any = None
    return Replication("one", Network("n", (), ()), [1], nothing, bytes(32), nothing)


def test_agent_whose_place_nobody_knows_says_what_to_write(replication: Replication) -> None:
    for message in (told(1, 2), told(2, 1)):
        with pytest.raises(DataplaneError, match="does not say where agent one takes"):
            replication.assign(message)
    assert not replication.active


def test_what_concerns_others_only_is_nothing(replication: Replication) -> None:
    assert replication.assign(told(2, 3)) == 0
    assert replication.assign(told(1)) == 0
    assert (replication.reports(), replication.problem, replication.refused()) == ((), "", {})


def test_assignment_that_cannot_be_is_refused_in_words(replication: Replication) -> None:
    with pytest.raises(ValueError, match="0 is no number from 1 to 65535"):
        replication.assign(told(2, 3, port=0))
