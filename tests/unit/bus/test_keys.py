"""Keys: HKDF as RFC 5869 says, and apart by purpose and epoch."""

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from bus.keys import (
    derive_key,
    hkdf,
    replication_handshake_key,
    replication_session_keys,
)

# RFC 5869, appendix A: cases 1 to 3
CASES = (
    (
        b"\x0b" * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c6"
            "5e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    (
        b"\x0b" * 22,
        b"",
        b"",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
)


@pytest.mark.parametrize(("secret", "salt", "info", "wanted"), CASES)
def test_hkdf_gives_the_rfcs_bytes(secret: bytes, salt: bytes, info: bytes, wanted: str) -> None:
    assert hkdf(secret, info, len(wanted) // 2, salt).hex() == wanted


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=64), st.integers(1, 300))
def test_hkdf_agrees_with_a_well_kept_library(secret: bytes, info: bytes, length: int) -> None:
    theirs = HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)
    assert hkdf(secret, info, length) == theirs


@pytest.mark.parametrize("length", [0, -1, 255 * 32 + 1])
def test_length_that_hkdf_cannot_give_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="HKDF gives"):
        hkdf(b"secret", b"", length)


def test_keys_differ_by_purpose_epoch_and_secret() -> None:
    keys = {
        derive_key(secret, purpose, epoch)
        for secret in (bytes(32), bytes(31) + b"1")
        for purpose in ("tag", "discovery")
        for epoch in (0, 1)
    }
    assert len(keys) == 8


def test_replication_keys_are_apart_by_stream_direction_and_session() -> None:
    secret = bytes(32)
    keys = {replication_handshake_key(secret, 1, 2), replication_handshake_key(secret, 2, 1)}
    for stream in ((1, 2), (2, 1)):
        for nonces in (bytes(32), bytes(31) + b"\1"):
            keys |= set(replication_session_keys(secret, *stream, nonces))
    assert len(keys) == 10
    assert {len(key) for key in keys} == {32}
