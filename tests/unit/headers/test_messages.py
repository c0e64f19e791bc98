"""Messages: what is sent arrives equal, and what is wrong is refused by name."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headers.messages import (
    ApplyEngines,
    ApplySwitches,
    AssignShadows,
    CounterReport,
    CounterRequest,
    DemandCounter,
    EdgeCircuit,
    EdgePort,
    EngineDemand,
    EngineDesired,
    Hop,
    Host,
    Label,
    MessageError,
    Neighbour,
    NetworkLinks,
    Route,
    ShadowAssignment,
    ShadowPlace,
    SwitchDesired,
    SwitchInfo,
    SwitchPort,
    decode,
    encode,
)

MESSAGES = [
    AssignShadows(1, 2, 60.0, (ShadowAssignment(1, 1, (ShadowPlace(2, "192.0.2.2", 6610),)),)),
    ApplyEngines(
        1,
        2,
        0,
        3,
        "02:f0:00:00:00:01",
        (
            EngineDesired(
                1,
                (EngineDemand("10.2.0.0/16", (1,) * 256),),
                (EdgeCircuit(1, 2, 3, 1),),
                (Hop(1, 1, deliver=True),),
                (Neighbour("10.1.0.1", "02:00:00:00:00:01"),),
            ),
        ),
    ),
    ApplySwitches(
        1,
        2,
        "02:f0:00:00:00:01",
        (
            SwitchDesired(
                1, (EdgePort(1, "10.1.0.0/16", "10.1.0.1"),), (Label(1, 2),), (Route("10/8", 3),)
            ),
        ),
    ),
    CounterReport("a", 1.5, 2, (DemandCounter(1, "10.2.0.0/16", 3, 4),), {1: {"marked": 5}}),
    NetworkLinks(
        (SwitchInfo(1, (SwitchPort(1, "p", "02:00:00:00:00:01", True, 0),)),),
        ((1, 2, 3, 4),),
        (),
        (Host("10.1.0.1", "02:00:00:00:00:01", 1, 1),),
        {"arp": 1},
    ),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_message_arrives_as_it_was_sent(message: object) -> None:
    assert decode(encode(message)) == message


def test_what_is_no_message_is_not_sent() -> None:
    with pytest.raises(MessageError, match="int is not a message"):
        encode(5)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xc1", "not msgpack"),
        (msgpack.packb(7), "not an envelope"),
        (msgpack.packb([99, "applied", {}]), "version 99"),
        (msgpack.packb([1, "nonsense", {}]), "unknown kind"),
        (msgpack.packb([1, "applied", {"generation": "x", "switches": []}]), "generation"),
        (msgpack.packb([1, "applied", {}]), "generation"),
        (bytes(17 * 1024 * 1024), "at most"),
    ],
)
def test_bad_message_is_refused_with_the_reason(data: bytes, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        decode(data)


@given(st.binary(max_size=200))
def test_random_bytes_never_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_changed_message_is_refused_or_still_a_message(position: int, value: int) -> None:
    data = bytearray(encode(MESSAGES[2]))
    data[position % len(data)] = value
    try:
        found = decode(bytes(data))
    except MessageError:
        return
    assert type(found) in {type(message) for message in MESSAGES} | {CounterRequest}
