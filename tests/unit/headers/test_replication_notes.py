"""What notes say of shadows: read as it was written, and refused where it says nothing."""

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headers.errors import PacketError
from headers.messages import ShadowPlace
from headers.replication import Shadows, pack_shadows, unpack_shadows

PLACES = st.builds(
    ShadowPlace,
    st.integers(1, 255),
    st.ip_addresses().map(str),
    st.integers(1, 65535),
)
CONTENTS = st.builds(
    Shadows,
    st.integers(1, (1 << 63) - 1),
    st.lists(PLACES, max_size=8, unique_by=lambda one: one.engine).map(tuple),
)


@given(CONTENTS)
def test_what_is_written_is_read(content: Shadows) -> None:
    assert unpack_shadows(pack_shadows(content)) == content
    # it fits into a note with room to spare
    assert len(pack_shadows(content)) < 900


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_read_or_malformed(payload: bytes) -> None:
    # nothing else is raised, and what is read is written alike
    with contextlib.suppress(PacketError):
        assert unpack_shadows(pack_shadows(unpack_shadows(payload))) == unpack_shadows(payload)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([1], "a generation and a list"),
        ([1, {}], "a generation and a list"),
        ([0, []], "0 is no number from 1"),
        ([True, []], "True is no number"),
        ([1, [[2, "192.0.2.1"]]], "an engine, an address and a port"),
        ([1, [[2, "rack-7", 1]]], "'rack-7' does not appear"),
        ([1, [[0, "::1", 1]]], "0 is no number from 1 to 255"),
        ([1, [[2, "::1", 70000]]], "70000 is no number"),
        ([1, [[2, "::1", 1], [2, "::2", 1]]], "8 different shadows"),
        ([1, [[n, "::1", 1] for n in range(1, 10)]], "8 different shadows"),
    ],
)
def test_content_that_is_none_is_said_to_be(fields: object, words: str) -> None:
    with pytest.raises(PacketError, match=words):
        unpack_shadows(msgpack.packb(fields))


def test_content_that_would_not_be_read_is_not_written() -> None:
    with pytest.raises(ValueError, match="is no number"):
        pack_shadows(Shadows(0, ()))
