"""Capture files: what is written is read, and what is damaged is refused in words."""

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.pcap import (
    MAX_TIME_NS,
    SNAP_LENGTH,
    Frame,
    PcapError,
    PcapWriter,
    read_pcap,
)

ONE = Frame(1_700_000_000_123_456_789, b"\x02" * 60, 60)


class Trickle(io.BytesIO):
    """A file that gives one byte at a time, as a pipe may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1, -1 if size is None else size))


def written(*frames: Frame, snap_length: int = SNAP_LENGTH) -> bytes:
    file = io.BytesIO()
    writer = PcapWriter(file, snap_length)
    for frame in frames:
        writer.write(frame.time_ns, frame.data, frame.length)
    assert writer.count == len(frames)
    return file.getvalue()


def header(magic: int = 0xA1B2C3D4, order: str = "<", version: int = 2, link: int = 1) -> bytes:
    return struct.pack(order + "IHHiIII", magic, version, 4, 0, 0, 65535, link)


def read_until_refused(content: bytes) -> tuple[list[Frame], str | None]:
    seen = []
    try:
        for frame in read_pcap(io.BytesIO(content)):
            seen.append(frame)  # noqa: PERF402
    except PcapError as error:
        return seen, str(error)
    return seen, None


FRAMES = st.builds(
    lambda time_ns, data, more: Frame(time_ns, data, len(data) + more),
    st.integers(0, MAX_TIME_NS),
    st.binary(max_size=200),
    st.integers(0, 9000),
)


@given(st.lists(FRAMES, max_size=5))
def test_frames_come_back_as_they_were_written(frames: list[Frame]) -> None:
    assert list(read_pcap(io.BytesIO(written(*frames)))) == frames


@given(st.lists(FRAMES, min_size=1, max_size=3), st.data())
def test_file_cut_anywhere_gives_its_whole_frames_and_then_an_error(
    frames: list[Frame], data: st.DataObject
) -> None:
    content = written(*frames)
    ends = [24]
    for frame in frames:
        ends.append(ends[-1] + 16 + len(frame.data))
    cut = data.draw(st.integers(0, len(content) - 1))
    whole = sum(end <= cut for end in ends[1:])
    seen, refusal = read_until_refused(content[:cut])
    assert seen == frames[:whole]
    assert (refusal is None) == (cut in ends)
    assert refusal is None or "end" in refusal or "empty" in refusal


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read_but_nothing_else(content: bytes) -> None:
    for data in (content, header() + content):
        frames, refusal = read_until_refused(data)
        assert sum(len(frame.data) for frame in frames) <= len(content)
        assert frames or refusal or data == header()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "unit"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_both_byte_orders_and_both_units_are_read(order: str, magic: int, unit: int) -> None:
    content = header(magic, order) + struct.pack(order + "IIII", 7, 5, 2, 64) + b"ab"
    assert list(read_pcap(io.BytesIO(content))) == [Frame(7 * 10**9 + 5 * unit, b"ab", 64)]


def test_file_that_comes_in_pieces_is_read() -> None:
    assert list(read_pcap(Trickle(written(ONE, ONE)))) == [ONE, ONE]


def test_link_type_may_say_that_frames_end_in_a_checksum() -> None:
    assert list(read_pcap(io.BytesIO(header(link=0x24000001)))) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\xa1\xb2", "ends within its header: 2 of 4"),
        (header()[:4], "ends within its header: 4 of 24"),
        (header()[:20], "ends within its header"),
        (b"GET / HTTP/1.1\r\n", "no capture file: it begins with 47455420"),
        (bytes.fromhex("0a0d0d0a") + bytes(60), "pcapng file; write it as pcap: tshark -F pcap"),
        (header(link=113), r"link type 113: only Ethernet \(1\)"),
        (header(version=3), "version 3.4 of the format"),
    ],
)
def test_other_file_is_refused_by_name(content: bytes, words: str) -> None:
    with pytest.raises(PcapError, match=words):
        read_pcap(io.BytesIO(content))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ((0, 0, SNAP_LENGTH + 1, SNAP_LENGTH + 1), "frame 2 is damaged"),
        ((0, 0, 60, 59), "frame 2 is damaged: 60 bytes of 59"),
        ((0, 10**9, 0, 0), "frame 2 is damaged"),
        ((0, 0, 60, 60), "ends before the 60 bytes of frame 2"),
    ],
)
def test_damaged_record_is_named_after_the_frames_before_it(
    record: tuple[int, ...], words: str
) -> None:
    frames = read_pcap(io.BytesIO(written(ONE) + struct.pack("<IIII", *record)))
    assert next(frames) == ONE
    with pytest.raises(PcapError, match=words):
        next(frames)


@pytest.mark.parametrize(
    ("time_ns", "length", "words"),
    [(-1, 60, "time -1 ns"), (MAX_TIME_NS + 1, 60, "cannot hold the time"), (0, 59, "59 bytes")],
)
def test_frame_that_cannot_be_is_not_written(time_ns: int, length: int, words: str) -> None:
    file = io.BytesIO()
    writer = PcapWriter(file)
    with pytest.raises(PcapError, match=words):
        writer.write(time_ns, bytes(60), length)
    assert list(read_pcap(io.BytesIO(file.getvalue()))) == []


def test_frame_beyond_the_snap_length_is_cut_but_keeps_its_length() -> None:
    content = written(ONE, snap_length=10)
    assert list(read_pcap(io.BytesIO(content))) == [Frame(ONE.time_ns, ONE.data[:10], 60)]


def test_with_block_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    file = path.open("wb")
    with PcapWriter(file) as writer:
        writer.write(ONE.time_ns, ONE.data)
        writer.flush()
        assert path.stat().st_size == 24 + 16 + 60
    assert file.closed
    with path.open("rb") as again:
        assert list(read_pcap(again)) == [ONE]
