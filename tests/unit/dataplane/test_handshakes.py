"""Handshakes of connections, gathered by client prefix and instance."""

import numpy as np
import pytest

from dataplane.handshakes import ROWS_MOST, SAMPLES_MOST, HandshakeMeter, client_prefix
from dataplane.maps import EVENT_CLOSED, EVENT_DTYPE, EVENT_OPENED, flow_key
from headers.messages import Backend, Handshakes

BACKENDS = {5: Backend(5, 2, 3)}
VIRTUAL = bytes([10, 9, 0, 1])


def event(
    source: bytes, took_us: int, kind: int = EVENT_OPENED, backend: int = 5
) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
    row = np.zeros(1, EVENT_DTYPE)
    destination = VIRTUAL if len(source) == 4 else bytes(16)
    row["kind"], row["backend"], row["sequence"] = kind, backend, took_us
    row["flow"] = flow_key(source, destination, 1000, 80, 6, 1)
    return row


def test_clients_of_a_prefix_are_told_of_together() -> None:
    meter = HandshakeMeter()
    for last, took_us in ((1, 10_000), (2, 30_000), (3, 20_000)):
        meter.take(event(bytes([192, 0, 2, last]), took_us))
    meter.take(event(bytes([198, 51, 100, 1]), 7_000))
    assert set(meter.report(BACKENDS)) == {
        Handshakes("192.0.2.0/24", 2, 3, 20.0, 3),
        Handshakes("198.51.100.0/24", 2, 3, 7.0, 1),
    }
    assert meter.report(BACKENDS) == ()


def test_only_whole_handshakes_of_opened_connections_count() -> None:
    meter = HandshakeMeter()
    meter.take(event(bytes([192, 0, 2, 1]), 0))
    meter.take(event(bytes([192, 0, 2, 1]), 5_000, EVENT_CLOSED))
    assert meter.report(BACKENDS) == ()


def test_instance_that_is_not_known_any_more_is_counted() -> None:
    meter = HandshakeMeter()
    meter.take(event(bytes([192, 0, 2, 1]), 5_000, backend=9))
    assert meter.report(BACKENDS) == ()
    assert meter.counts["unknown_backend"] == 1


def test_prefixes_and_samples_are_bounded() -> None:
    meter = HandshakeMeter()
    for number in range(ROWS_MOST + 3):
        meter.take(event(bytes([10, number >> 8, number & 0xFF, 1]), 1_000))
    for _ in range(2 * SAMPLES_MOST):
        meter.take(event(bytes([10, 0, 0, 1]), 1_000))
    rows = meter.report(BACKENDS)
    assert len(rows) == ROWS_MOST
    assert max(row.count for row in rows) == SAMPLES_MOST
    assert meter.counts["too_many_clients"] == 3


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        (bytes([192, 0, 2, 77]), "192.0.2.0/24"),
        (bytes.fromhex("20010db8000100020000000000000001"), "2001:db8:1::/48"),
    ],
)
def test_client_is_known_by_its_prefix(address: bytes, prefix: str) -> None:
    destination = VIRTUAL if len(address) == 4 else bytes(16)
    assert client_prefix(flow_key(address, destination, 1, 2, 6, 1)) == prefix
