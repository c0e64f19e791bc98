"""Messages over a stream, however the bytes are cut."""

import asyncio
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import frames
from headers.messages import CounterRequest, MessageError

STREAM = b"".join(frames.pack(CounterRequest(n)) for n in range(5))


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_messages_come_out_whole_however_the_stream_is_cut(cuts: list[int]) -> None:
    unpacker = frames.Unpacker()
    edges = [0, *sorted(cuts), len(STREAM)]
    found = []
    for start, stop in itertools.pairwise(edges):
        found += unpacker.feed(STREAM[start:stop])
    assert found == [CounterRequest(n) for n in range(5)]


async def test_reader_gives_messages_and_refuses_absurd_lengths() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(STREAM + struct.pack("!I", 1 << 31))
    assert [await frames.read(reader) for _ in range(5)] == [CounterRequest(n) for n in range(5)]
    with pytest.raises(MessageError, match="at most"):
        await frames.read(reader)
    with pytest.raises(MessageError, match="at most"):
        frames.Unpacker().feed(struct.pack("!I", 1 << 31))
