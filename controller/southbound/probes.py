"""Round trip and loss of every link, by frames of our own through the data plane.

A probe leaves a switch by a port (packet-out), the switch at the other end sends it back where it
came in (a flow that every switch holds), and the first one hands it to us (packet-in). What lies
between us and the switch is measured by the same frame without a link in it, and taken off. Frames
carry a sequence number and a truncated HMAC; each counts once, at the port that it left by.
"""

import hashlib
import hmac
import itertools
import statistics
import struct
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from controller.southbound.flows import PROBE_BACK, PROBE_ETHERTYPE, PROBE_OUT
from headers.messages import LinkProbe

PERIOD_S = 0.5
MOST_PER_S = 60.0
"""No link is asked more often than each PERIOD_S, all together not more than so many a second."""

DEADLINE_S = 1.0
"""What is not back by then is lost."""

SELF_LOOP = 0
"""As a port: to the switch and back, no link in it."""

OWN_WINDOW = 9
OUTSTANDING_MOST = 1024

_MAGIC = b"FSTP"
_BODY = struct.Struct("!4sBQIQ")
_TAG_BYTES = 16
_ETHERNET = 14
_SHORTEST = 60

End = tuple[int, int]


class ProbeError(ValueError):
    """A probe that does not count; ``reason`` names the counter it goes to."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def interval_s(ends: int) -> float:
    """Return the pause between two probes where so many ends are asked in turn."""
    return max(PERIOD_S / max(ends, 1), 1 / MOST_PER_S)


def ends_to_ask(links: Iterable[End], switches: Iterable[int]) -> list[End]:
    """Return whom to ask in a round: every switch itself, then every link's end."""
    return [*((dpid, SELF_LOOP) for dpid in sorted(switches)), *sorted(links)]


def build(key: bytes, end: End, sequence: int) -> bytes:
    """Return the frame of a probe that leaves by a switch port, or of a self-loop."""
    body = _BODY.pack(_MAGIC, 1, *end, sequence)
    tag = hmac.new(key, body, hashlib.sha256).digest()[:_TAG_BYTES]
    source = b"\x02\xf0" + struct.pack("!I", end[0] & 0xFFFFFFFF)
    target = PROBE_BACK if end[1] == SELF_LOOP else PROBE_OUT
    frame = bytes.fromhex(target.replace(":", "")) + source + struct.pack("!H", PROBE_ETHERTYPE)
    return (frame + body + tag).ljust(_SHORTEST, b"\0")


def parse(key: bytes, frame: bytes) -> tuple[End, int]:
    """Return the switch port that a probe left by, and its sequence number.

    Raises:
        ProbeError: ``malformed``, or ``forged`` when the tag is not ours.
    """
    body = frame[_ETHERNET : _ETHERNET + _BODY.size]
    tag = frame[_ETHERNET + _BODY.size : _ETHERNET + _BODY.size + _TAG_BYTES]
    if len(body) < _BODY.size or len(tag) < _TAG_BYTES or body[:4] != _MAGIC or body[4] != 1:
        raise ProbeError("malformed")
    if not hmac.compare_digest(tag, hmac.new(key, body, hashlib.sha256).digest()[:_TAG_BYTES]):
        raise ProbeError("forged")
    _, _, dpid, port, sequence = _BODY.unpack(body)
    return (dpid, port), sequence


@dataclass(slots=True)
class Probes:
    """What is on its way, and what came of the rest since it was last asked for."""

    key: bytes
    sequence: int
    counts: Counter[str] = field(default_factory=Counter)
    _away: dict[int, tuple[End, float]] = field(default_factory=dict)
    _own_ms: dict[int, deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=OWN_WINDOW))
    )
    _rows: list[LinkProbe] = field(default_factory=list)

    def send(self, end: End, now_s: float) -> bytes | None:
        """Return the frame of the next probe of an end; None while too many are on their way."""
        self.expire(now_s)
        if len(self._away) >= OUTSTANDING_MOST:
            self.counts["too_many"] += 1
            return None
        self.sequence += 1
        self._away[self.sequence] = (end, now_s)
        self.counts["sent"] += 1
        return build(self.key, end, self.sequence)

    def take(self, dpid: int, in_port: int | None, frame: bytes, now_s: float) -> None:
        """Take a probe that came back; ``in_port`` None: straight from the switch itself.

        Raises:
            ProbeError: also ``replayed`` (not on its way, or not any more) and ``misdirected``
                (at another port than it left by).
        """
        end, sequence = parse(self.key, frame)
        if end != (dpid, SELF_LOOP if in_port is None else in_port):
            raise ProbeError("misdirected")
        away = self._away.get(sequence)
        if away is None or away[0] != end:
            raise ProbeError("replayed")
        del self._away[sequence]
        took_ms = (now_s - away[1]) * 1000
        if end[1] == SELF_LOOP:
            self._own_ms[dpid].append(took_ms)
        elif dpid in self._own_ms:
            self._rows.append(LinkProbe(*end, max(0.0, took_ms - self._own(dpid))))

    def _own(self, dpid: int) -> float:
        return statistics.median(self._own_ms[dpid])

    def expire(self, now_s: float) -> None:
        """Count those as lost that should be back; self-loops say nothing of a link."""
        # in the order of sending: the first that is young enough ends it
        old = list(
            itertools.takewhile(lambda one: now_s - one[1][1] > DEADLINE_S, self._away.items())
        )
        for sequence, (end, _) in old:
            del self._away[sequence]
            self.counts["lost"] += 1
            if end[1] != SELF_LOOP:
                self._rows.append(LinkProbe(*end, -1.0))

    def forget(self, dpid: int) -> None:
        """A switch went away: what was on its way there was not lost on a link."""
        self._own_ms.pop(dpid, None)
        self._away = {n: one for n, one in self._away.items() if one[0][0] != dpid}

    def results(self) -> tuple[LinkProbe, ...]:
        """Return what came of probes since the last call."""
        rows, self._rows = tuple(self._rows), []
        return rows
