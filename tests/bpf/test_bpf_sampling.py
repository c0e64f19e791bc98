"""Samples: what a person who watches a port is shown, and what is counted when there is no room."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from dataplane.maps import PORT, REASON_SLOTS, REASONS, SAMPLE, SAMPLE_CAME_IN, U32, read_counters
from dataplane.ringbuf import RingBuffer
from tests.bpf.conftest import Plane
from tests.bpf.test_bpf_caches import host, steered

LOST = REASONS.index("sample_lost")


@pytest.fixture
def watched(plane: Plane) -> Iterator[Plane]:
    """The plane, every frame at its first host port and second fabric port copied."""
    ports = (plane.engines[1].hosts[0], plane.engines[2].fabric)
    known = {port: plane.maps.ports.get(U32.pack(port)) or b"" for port in ports}
    RingBuffer(plane.maps.samples, SAMPLE.size).read()
    for port, value in known.items():
        plane.maps.ports.set(U32.pack(port), PORT.pack(*PORT.unpack(value)[:-1], 1))
    yield plane
    for port, value in known.items():
        plane.maps.ports.set(U32.pack(port), value)
    RingBuffer(plane.maps.samples, SAMPLE.size).read()


def seen(plane: Plane) -> list[tuple[int, int, int, int, int, bytes]]:
    """Return the samples: time, interface, length, verdict, how much was copied, the copy."""
    rows = RingBuffer(plane.maps.samples, SAMPLE.size).read()
    return [SAMPLE.unpack(row.tobytes()) for row in rows]


@pytest.mark.parametrize("program", ["mark", "steer"])
@pytest.mark.parametrize("extra", [0, 300])
def test_frame_is_shown_as_it_came_and_as_it_leaves(
    watched: Plane, program: str, extra: int
) -> None:
    frame = (host() if program == "mark" else steered()) + bytes(extra)
    engine = watched.engines[1 if program == "mark" else 2]
    port = engine.hosts[0] if program == "mark" else engine.fabric
    began = time.monotonic_ns()
    verdict, out = watched.run(program, frame, port)
    ended = time.monotonic_ns()
    came, left = seen(watched)
    assert came[1:5] == (port, len(frame), SAMPLE_CAME_IN, min(len(frame), 256))
    assert left[1:5] == (port, len(out), verdict, min(len(out), 256))
    assert came[5][: came[4]] == frame[:256]
    assert left[5][: left[4]] == out[:256]
    assert began <= came[0] <= left[0] <= ended


def test_port_that_nobody_watches_is_not_copied(plane: Plane) -> None:
    plane.run("mark", host(), plane.engines[1].hosts[0])
    assert seen(plane) == []


def test_one_in_so_many_is_copied(watched: Plane) -> None:
    port = watched.engines[1].hosts[0]
    value = PORT.unpack(watched.maps.ports.get(U32.pack(port)) or b"")
    watched.maps.ports.set(U32.pack(port), PORT.pack(*value[:-1], 10))
    for _ in range(1000):
        watched.run("mark", host(), port)
    assert 40 < len(seen(watched)) / 2 < 200


def test_sample_without_room_is_counted_as_lost(watched: Plane) -> None:
    port = watched.engines[1].hosts[0]
    room = (256 * 4096 - 1) // (SAMPLE.size + 8)
    before = read_counters(watched.maps.reason_counters)[REASON_SLOTS + LOST].astype(np.int64)
    for _ in range(room // 2):
        watched.run("mark", host(), port)
    assert (read_counters(watched.maps.reason_counters)[REASON_SLOTS + LOST] == before).all()
    for _ in range(10):
        watched.run("mark", host(), port)
    lost = (
        read_counters(watched.maps.reason_counters)[REASON_SLOTS + LOST].astype(np.int64) - before
    )
    assert lost.tolist() == [20 - room % 2, 0]
    assert len(seen(watched)) == room
