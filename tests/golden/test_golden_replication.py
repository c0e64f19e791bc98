"""The replication datagram's bytes, both ways, and its sealing as docs/replication.md has it."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dataplane.shadow.seal import SessionSeal
from headers.replication import (
    FIELDS,
    GONE,
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
    unpack_ack,
    unpack_data,
    unpack_hello,
    unpack_refused,
    unpack_reset,
    unpack_welcome,
)

SECRET = bytes(range(32))
NONCES = bytes(range(100, 132))


def whole() -> Section:
    """Return three new connections to one service."""
    rows = np.zeros((3, FIELDS), np.uint32)
    rows[:, 0], rows[:, 4] = (0x0A000001, 0x0A000002, 0xC0000201), 0x0A630001
    rows[:, 8], rows[:, 9], rows[:, 10], rows[:, 11] = (1025, 40000, 65535), 443, 6, 4
    rows[:, 12], rows[:, 14] = (1, 2, 300), (1, 1, 2)
    rows[:, 15], rows[:, 16] = (0, 99, 200), (5000, 5001, 5002)
    return Section(WHOLE | WAITED, np.array([7, 8, 300]), rows, np.array([0, 5, 40], np.uint32))


DATA = Data(
    1_000_000,
    2500,
    150,
    True,
    0xDEADBEEF,
    ((3, 0x0123456789ABCDEF),),
    (Note("shadows", 1, 2, 3, 60_000, b"x"),),
    (whole(), Section(GONE, np.array([9, 4000]), np.zeros((2, FIELDS), np.uint32))),
)
PACKED = bytes.fromhex(
    "99ce000f4240cd09c4cc96c3cedeadbeef9203cf0123456789abcdef"
    "9196a7736861646f7773010203cdea60c40178"
    "92dc001b2f0307020004ce0a00000100ce0a63000102cd040100cd01bb0006020100000101010001cd13880100"
    "951002090200"
    "c42e0000000023010000000001000000000200b600003f98fefb"
    "000001002b010000010063c80001020005280000960f"
)
HEADER = Header(Kind.DATA, 1, 2, 0x01020304, 5)
DATAGRAM = bytes.fromhex(
    "130102000102030400000005"
    "21976803e19b768862c4e2471d616d3b0733a27c4e3c0627b441e01d3853e913ff88ed8b5558c566264f7a0d69d8"
    "f49a0de1ee0f8519ff9d992a64ba6131b4e6f24f0c2e8482550f0d6f8d314ef2a93a811ae4900e7b2a90c92e6a36"
    "a2f109abe49010f530c828b4ff10cf89555d1c424fe417a34ea5259bdec1369845576b4b94c9751d9dd475fd6e46"
    "cdc137b72139a5d9dbfba664c2206cebf751b41b3386a2e4"
)
OTHERS = [
    (
        Hello(bytes(16), 7, 131_072),
        "93c4100000000000000000000000000000000007ce00020000",
        unpack_hello,
    ),
    (
        Welcome(bytes(16), bytes(16), 4096),
        "93c41000000000000000000000000000000000c41000000000000000000000000000000000cd1000",
        unpack_welcome,
    ),
    (Reset(), "90", unpack_reset),
    (Refused(9), "9109", unpack_refused),
    (Ack(9, 5, 1, 2, 3, 4, 5, (6,), 8), "9a09c40105010203040591060890", unpack_ack),
]


def test_data_is_these_bytes() -> None:
    assert pack(DATA) == PACKED


def test_these_bytes_are_the_data() -> None:
    read = unpack_data(PACKED)
    assert (read.sent_us, read.digests, read.notes) == (DATA.sent_us, DATA.digests, DATA.notes)
    for got, wanted in zip(read.sections, DATA.sections, strict=True):
        assert (got.mask, got.ids.tolist()) == (wanted.mask, wanted.ids.tolist())
        assert got.rows.tolist() == wanted.rows.tolist()


@pytest.mark.parametrize(("message", "digits", "read"), OTHERS)
def test_the_other_messages_are_these_bytes(message, digits: str, read) -> None:
    assert pack(message).hex() == digits
    assert read(bytes.fromhex(digits)) == message


def test_a_sealed_datagram_is_these_bytes() -> None:
    seal = SessionSeal.of_primary(SECRET, 1, 2, NONCES)
    assert seal.seal(HEADER, PACKED) == DATAGRAM
    assert SessionSeal.of_shadow(SECRET, 1, 2, NONCES).open(HEADER, DATAGRAM) == PACKED


def test_who_follows_the_specification_can_open_it() -> None:
    info = b"foresteer replication session 1 2"
    keys = HKDF(algorithm=SHA256(), length=64, salt=NONCES, info=info).derive(SECRET)
    nonce = bytes(8) + DATAGRAM[8:12]
    assert AESGCM(keys[:32]).decrypt(nonce, DATAGRAM[12:], DATAGRAM[:12]) == PACKED
