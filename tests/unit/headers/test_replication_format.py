"""The replication datagram: what is written is read, and nothing else is."""

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headers.errors import PacketError
from headers.replication import (
    FIELDS,
    GONE,
    MAX_DATAGRAM,
    MAX_SLOTS,
    SIX,
    WAITED,
    WHOLE,
    Ack,
    Data,
    Header,
    Hello,
    Kind,
    Note,
    Refused,
    Reset,
    Section,
    Welcome,
    pack,
    split,
    unpack_ack,
    unpack_data,
    unpack_hello,
    unpack_refused,
    unpack_reset,
    unpack_welcome,
)
from headers.replication.columns import DICTIONARY, pack_columns, unpack_columns
from headers.replication.record import (
    ACTIVITY,
    FAMILY,
    IDENTITY,
    LIMITS,
    throughput_codes,
    throughput_rates,
)
from headers.replication.sections import LAYOUTS, decode_section, encode_section

U32, U64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


@st.composite
def columns(draw) -> np.ndarray:
    count, width = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    tops = [draw(st.sampled_from((0, 1, 255, 256, 65_535, 65_536, 1 << 24, U32)))] * width
    lows = [draw(st.integers(0, U32 - top)) for top in tops]
    values = [
        [low + draw(st.integers(0, top)) for low, top in zip(lows, tops, strict=True)]
        for _ in range(count)
    ]
    return np.array(values, np.uint32)


@given(columns(), st.booleans())
def test_columns_are_read_as_they_were_written(matrix: np.ndarray, repeating: bool) -> None:
    tried = frozenset(range(matrix.shape[1])) if repeating else frozenset()
    described, parts = pack_columns(matrix, tried)
    body = b"x" + b"".join(parts)
    read, at = unpack_columns(described, len(matrix), body, 1)
    assert (read == matrix).all()
    assert at == len(body)


def test_few_values_become_a_dictionary() -> None:
    matrix = np.array([[1], [1 << 30]] * 50, np.uint32)
    described, parts = pack_columns(matrix, frozenset({0}))
    assert described == [DICTIONARY, 2]
    assert len(b"".join(parts)) == 108


def rows_of(mask: int, count: int, seed: int) -> np.ndarray:
    """Return rows as a decoder gives them: what the mask does not name is 0."""
    layout = LAYOUTS[mask]
    random = np.random.default_rng(seed)
    rows = np.zeros((count, FIELDS), np.uint32)
    for field in layout.fields:
        high = int(LIMITS[field]) if random.random() < 0.5 else 3
        rows[:, field] = random.integers(0, high + 1, count)
    if mask & IDENTITY:
        rows[:, FAMILY] = 6 if mask & SIX else 4
    return rows


@st.composite
def sections(draw, most: int = 30) -> Section:
    mask = draw(st.sampled_from(sorted(LAYOUTS)))
    ids = sorted(draw(st.sets(st.integers(0, MAX_SLOTS - 1), min_size=1, max_size=most)))
    waited = None
    if mask & WAITED:
        waited = np.array([draw(st.integers(0, 65_535)) for _ in ids], np.uint32)
    rows = rows_of(mask, len(ids), draw(st.integers(0, 1 << 30)))
    return Section(mask, np.array(ids, np.int64), rows, waited)


notes = st.builds(
    Note,
    st.text(min_size=1, max_size=8),
    st.integers(0, U32),
    st.integers(0, U64),
    st.integers(0, U64),
    st.integers(0, U32),
    st.binary(max_size=40),
)


def same(one: Section, other: Section) -> bool:
    waited = (one.waited is None) == (other.waited is None)
    if one.waited is not None and other.waited is not None:
        waited = bool((one.waited == other.waited).all())
    return (
        one.mask == other.mask
        and one.ids.tolist() == other.ids.tolist()
        and one.rows.tolist() == other.rows.tolist()
        and waited
    )


@given(sections())
def test_sections_are_read_as_they_were_written(section: Section) -> None:
    described, body = encode_section(section)
    read, at = decode_section(described, body, 0)
    assert same(read, section)
    assert at == len(body)


@given(
    st.lists(sections(), max_size=4),
    st.lists(notes, max_size=3),
    st.lists(st.tuples(st.integers(0, MAX_SLOTS - 1), st.integers(0, U64)), max_size=5),
    st.integers(0, U64),
    st.booleans(),
)
def test_data_is_read_as_it_was_written(parts, told, digests, sent_us: int, whole: bool) -> None:
    data = Data(sent_us, 5, 7, whole, 9, tuple(digests), tuple(told), tuple(parts))
    read = unpack_data(pack(data))
    assert (read.sent_us, read.behind_us, read.delay_us) == (sent_us, 5, 7)
    assert (read.complete, read.board) == (whole, 9)
    assert read.digests == tuple(digests)
    assert read.notes == tuple(told)
    assert all(same(one, other) for one, other in zip(read.sections, parts, strict=True))


def test_other_messages_are_read_as_they_were_written() -> None:
    hello = Hello(b"h" * 16, U64, MAX_SLOTS)
    assert unpack_hello(pack(hello)) == hello
    welcome = Welcome(b"h" * 16, b"w" * 16, 1)
    assert unpack_welcome(pack(welcome)) == welcome
    assert unpack_reset(pack(Reset())) == Reset()
    assert unpack_refused(pack(Refused(3))) == Refused(3)
    ack = Ack(9, (1 << 511) | 5, 1, 2, 3, 4, 5, (6, 7), 8, (Note("a", 1, 2, 3, 4, b"x"),))
    assert unpack_ack(pack(ack)) == ack


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_readers(noise: bytes) -> None:
    readers = {unpack_hello: Hello, unpack_welcome: Welcome, unpack_reset: Reset,
               unpack_refused: Refused, unpack_data: Data, unpack_ack: Ack}  # fmt: skip
    reasons = set()
    for read, kind in readers.items():
        try:
            found = read(noise)
        except PacketError as error:
            reasons.add(error.reason)
            continue
        # noise that is one is one that could have been written
        assert isinstance(found, kind)
        assert read(pack(found)) == found
    assert reasons <= {"malformed"}


@given(st.lists(sections(8), min_size=1, max_size=3), st.data())
def test_changed_bytes_are_refused_or_read_within_their_limits(parts, data) -> None:
    packed = bytearray(pack(Data(1, sections=tuple(parts))))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = unpack_data(bytes(packed))
    except PacketError:
        return
    for section in read.sections:
        assert (section.rows <= LIMITS).all()
        assert (np.diff(section.ids) > 0).all()
        assert section.ids[0] >= 0
        assert section.ids[-1] < MAX_SLOTS


@given(st.lists(sections(8), min_size=1, max_size=3), st.data())
def test_truncated_data_is_refused(parts, data) -> None:
    packed = pack(Data(1, sections=tuple(parts)))
    with pytest.raises(PacketError, match="malformed"):
        unpack_data(packed[: data.draw(st.integers(0, len(packed) - 1))])


def repacked(change) -> bytes:
    """Return a Data whose fields were changed before packing."""
    ids = np.array([3, 4, 9], np.int64)
    section = Section(ACTIVITY, ids, rows_of(ACTIVITY, 3, 5))
    fields = msgpack.unpackb(pack(Data(1, sections=(section,))))
    change(fields)
    return msgpack.packb(fields)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.append(0),
        lambda f: f.__setitem__(0, -1),
        lambda f: f.__setitem__(0, 1.5),
        lambda f: f.__setitem__(0, True),
        lambda f: f.__setitem__(3, 1),
        lambda f: f.__setitem__(4, 1 << 32),
        lambda f: f[5].append(1),
        lambda f: f.__setitem__(5, [MAX_SLOTS, 1]),
        lambda f: f.__setitem__(6, [["", 1, 1, 1, 1, b""]]),
        lambda f: f.__setitem__(6, [["k", 1, 1, 1, 1, "text"]]),
        lambda f: f.__setitem__(6, [["k", 1, 1, 1, 1, bytes(901)]]),
        lambda f: f.__setitem__(7, [[ACTIVITY, 3]]),
        lambda f: f[7][0].__setitem__(0, 0),
        lambda f: f[7][0].__setitem__(0, IDENTITY),
        lambda f: f[7][0].__setitem__(0, GONE | ACTIVITY),
        lambda f: f[7][0].__setitem__(1, 0),
        lambda f: f[7][0].__setitem__(1, 4097),
        lambda f: f[7][0].__setitem__(2, MAX_SLOTS - 1),
        lambda f: f[7][0].__setitem__(3, 6),
        lambda f: f[7][0].append(0),
        lambda f: f.__setitem__(8, f[8] + b"x"),
        lambda f: f.__setitem__(8, f[8][:-1]),
        lambda f: f.__setitem__(8, "text"),
    ],
)
def test_fields_that_are_wrong_are_refused(change) -> None:
    with pytest.raises(PacketError, match="malformed"):
        unpack_data(repacked(change))


def test_numbers_beyond_their_columns_are_refused() -> None:
    for described, body in (
        ([1, U32], b"\x01"),
        ([DICTIONARY, 0], b"\x00"),
        ([DICTIONARY, 257], bytes(2000)),
        ([DICTIONARY, 1], bytes(4) + b"\x01"),
        ([4, 0], b"abc"),
    ):
        with pytest.raises(PacketError, match="malformed"):
            unpack_columns(described, 1, body, 0)


def test_the_clear_header_is_read_as_it_was_written() -> None:
    header = Header(Kind.ACK, 1, 255, U32, 7)
    assert split(header.encode() + bytes(16)) == (header, bytes(16))


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "truncated"),
        (Header(Kind.DATA, 1, 2, 3, 4).encode() + bytes(15), "truncated"),
        (bytes(MAX_DATAGRAM + 1), "too_long"),
        (b"\x23\x01\x02\x00" + bytes(30), "version"),
        (b"\x10\x01\x02\x00" + bytes(30), "malformed"),
        (b"\x13\x01\x01\x00" + bytes(30), "malformed"),
        (b"\x13\x00\x01\x00" + bytes(30), "malformed"),
        (b"\x13\x01\x02\x01" + bytes(30), "malformed"),
    ],
)
def test_headers_that_are_wrong_are_refused(datagram: bytes, reason: str) -> None:
    with pytest.raises(PacketError) as caught:
        split(datagram)
    assert caught.value.reason == reason


def test_throughput_keeps_its_size_within_a_step() -> None:
    rates = np.array([0.0, 0.5, 1.0, 99.0, 1e6, 1.2e9, 1e12])
    back = throughput_rates(throughput_codes(rates))
    assert back[:2].tolist() == [0, 0]
    assert (abs(back[2:6] / rates[2:6] - 1) < 0.05).all()
    assert int(throughput_codes(rates)[-1]) == 255


def full(mask: int, count: int) -> bytes:
    """Return a Data of connections as they are: clients anywhere, few services, numbers apart."""
    random = np.random.default_rng(3)
    rows = rows_of(mask, count, 1)
    rows[:, 0:4] = random.integers(0, U32, (count, 4))
    rows[:, 4:8] = (0x20010DB8, 0, 0, 9)
    rows[:, 8] = random.integers(1024, 65_536, count)
    rows[:, 9], rows[:, 10] = 443, 6
    rows[:, 12] = random.integers(1, 64, count)
    rows[:, 13], rows[:, 14] = 0, 1
    rows[:, 15], rows[:, 16] = random.integers(0, 120, count), random.integers(5000, 5060, count)
    if not mask & SIX:
        rows[:, 1:4] = rows[:, 5:8] = 0
    ids = np.sort(random.choice(131_072, count, replace=False)).astype(np.int64)
    waited = random.integers(0, 80, count).astype(np.uint32) if mask & WAITED else None
    return pack(Data(1 << 40, sections=(Section(mask, ids, rows, waited),)))


@pytest.mark.parametrize(
    ("mask", "count", "most"),
    [
        (WHOLE | WAITED, 95, 16),
        (WHOLE | WAITED | SIX, 48, 30),
        (ACTIVITY, 320, 4.5),
        (GONE, 500, 3),
    ],
)
def test_a_change_takes_few_bytes(mask: int, count: int, most: float) -> None:
    clear_tag_and_headers = 12 + 16 + 28
    size = len(full(mask, count)) + clear_tag_and_headers
    assert size <= MAX_DATAGRAM + 28
    assert size / count <= most
