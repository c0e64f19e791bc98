"""All figures of replication, in one run: bytes, lag, cost, the highest rate, a snapshot."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Final

import numpy as np

from dataplane.bench.shadow import load
from dataplane.bench.shadow.stream import Rate, Snapshot, stream
from dataplane.shadow.flows import rows_of_keys
from headers.replication import SIX, WAITED, WHOLE, Data, Draft, Section, pack_data, unpack_data
from headers.replication.record import ACTIVITY, FAMILY

RATE: Final = 20_000
_SLOTS: Final = 1 << 19
_LAG_MOST_MS: Final = 100.0
_STEP: Final = 1.25
_TIMES: Final = 200
_BUSY: Final = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """What a change costs in a full datagram: microseconds to encode and to decode, bytes."""

    encode_us: float
    decode_us: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that was measured; ``fastest``: the highest rate whose p99 lag is in bounds."""

    costs: dict[str, Cost]
    new: Rate
    update: Rate
    new6: Rate
    fastest: Rate
    snapshot: Snapshot

    def values(self) -> dict[str, object]:
        """Return what to keep as JSON: the promised figures first."""
        return {
            "lag_ms": {
                "p50_at_20k": self.new.true_p50_ms,
                "p99_at_20k": self.new.true_p99_ms,
                "max_rate_per_s": self.fastest.rate,
                "p99_at_max": self.fastest.true_p99_ms,
            },
            "bytes": {
                "per_new": self.new.bytes_each,
                "per_new_ipv6": self.new6.bytes_each,
                "per_update": self.update.bytes_each,
            },
            **{field.name: _plain(getattr(self, field.name)) for field in fields(self)},
        }

    def text(self) -> str:
        """Return what to print."""
        names = ("rate/s", "B each", "B back", "p50 ms", "p99 ms", "primary", "shadow", "waited")
        lines = [" " * 14 + "".join(f"{name:>9}" for name in names)]
        runs = {
            "new IPv4": self.new,
            "update": self.update,
            "new IPv6": self.new6,
            "highest rate": self.fastest,
        }
        lines += [f"{name:14}{rate.text()}" for name, rate in runs.items()]
        taken = self.snapshot
        lines.append(
            f"snapshot of {taken.connections:,} while {taken.changes_per_s:,.0f}/s opened:"
            f" {taken.seconds:.1f} s, changes p50 {taken.p50_ms:.1f} ms, p99 {taken.p99_ms:.1f} ms"
        )
        lines += [
            f"{name:14} encode {cost.encode_us:.2f} µs, decode {cost.decode_us:.2f} µs,"
            f" {cost.bytes:.1f} bytes in a full datagram"
            for name, cost in self.costs.items()
        ]
        waited = max(rate.waited_share for rate in runs.values())
        if waited > _BUSY:
            lines.append(
                f"the processes waited {waited:.0%} of the time for a processor that others had:"
                " lags and the highest rate say little"
            )
        return "\n".join(lines)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return asdict(value)  # type: ignore[call-overload]


def costs() -> dict[str, Cost]:
    """Measure encoding and decoding of datagrams of about 1,350 bytes."""
    cases = {
        "new IPv4": (100, WHOLE | WAITED, False),
        "new IPv6": (50, WHOLE | WAITED | SIX, True),
        "update": (320, ACTIVITY, False),
    }
    return {name: _cost(*case) for name, case in cases.items()}


def _cost(count: int, mask: int, six: bool) -> Cost:
    rows = rows_of_keys(load.keys(0, count, six=six))
    family = rows[:, FAMILY].copy()
    activity = load.values(0, count, 10_000)
    rows[:, FAMILY + 1 :] = activity[:, FAMILY + 1 :]
    rows[:, FAMILY] = family
    ids = np.sort(np.random.default_rng(1).choice(131_072, count, replace=False)).astype(np.int64)
    waited = (np.arange(count) % 40).astype(np.uint32) if mask & WAITED else None
    section = Section(mask, ids, rows, waited)

    def encode() -> bytes:
        draft = Draft()
        draft.try_add(section, 1 << 16)
        return pack_data(Data(1), draft)

    packed = encode()
    return Cost(
        _least_us(encode) / count, _least_us(lambda: unpack_data(packed)) / count,
        len(packed) / count,
    )  # fmt: skip


def _least_us(job: Callable[[], object]) -> float:
    """Return the least time of a job in µs: what others took from us is not its cost."""
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        job()
        times.append(time.perf_counter() - began)
    return min(times) * 1e6


async def measure(seconds: float, snapshot: int, progress: Callable[[str], None]) -> Figures:
    """Measure everything; ``seconds``: at each rate, ``snapshot``: connections in the snapshot."""
    progress("encoding and decoding")
    found = costs()
    progress("new connections")
    async with stream(_SLOTS) as made:
        new = await made.open(RATE, seconds)
        progress("updates")
        update = await made.touch(RATE, seconds)
    async with stream(_SLOTS) as made:
        new6 = await made.open(RATE, seconds, six=True)
    fastest = new
    rate = RATE * _STEP
    while True:
        progress(f"{rate:,.0f} new connections per second")
        async with stream(_SLOTS) as made:
            tried = await made.open(rate, min(seconds, _SLOTS / rate / 2))
        if tried.true_p99_ms > _LAG_MOST_MS or tried.rate < 0.97 * rate:
            break
        fastest = tried
        rate *= _STEP
    progress("a snapshot")
    async with stream(1 << (snapshot + snapshot // 4).bit_length()) as made:
        taken = await made.snapshot(snapshot, 5_000)
    return Figures(found, new, update, new6, fastest, taken)
