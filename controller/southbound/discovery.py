"""Links between switches, found by frames of our own that only we can make.

A frame names the switch port that it left by and carries a truncated HMAC, so that hosts cannot
invent links; frames at ports that face hosts are ignored whatever they hold.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass, field

from controller.southbound.flows import DISCOVERY_ETHERTYPE

PERIOD_S = 1.0
LIFETIME_S = 3.5

_MAGIC = b"FSTR"
_BODY = struct.Struct("!4sBQIQ")
_TAG_BYTES = 16
_DESTINATION = bytes.fromhex("0180c200000e")
_ETHERNET = 14

End = tuple[int, int]


class DiscoveryError(ValueError):
    """A discovery frame that is not ours; ``reason`` names the counter it goes to."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def build(key: bytes, dpid: int, port: int, sequence: int) -> bytes:
    """Return the frame to send out of a switch port."""
    body = _BODY.pack(_MAGIC, 1, dpid, port, sequence)
    tag = hmac.new(key, body, hashlib.sha256).digest()[:_TAG_BYTES]
    source = b"\x02\xf0" + struct.pack("!I", dpid & 0xFFFFFFFF)
    return _DESTINATION + source + struct.pack("!H", DISCOVERY_ETHERTYPE) + body + tag


def parse(key: bytes, frame: bytes) -> tuple[End, int]:
    """Return which switch port a frame left by, and its sequence number.

    Raises:
        DiscoveryError: ``malformed``, or ``forged`` when the tag is not ours.
    """
    body = frame[_ETHERNET : _ETHERNET + _BODY.size]
    tag = frame[_ETHERNET + _BODY.size : _ETHERNET + _BODY.size + _TAG_BYTES]
    if len(body) < _BODY.size or len(tag) < _TAG_BYTES or body[:4] != _MAGIC or body[4] != 1:
        raise DiscoveryError("malformed")
    if not hmac.compare_digest(tag, hmac.new(key, body, hashlib.sha256).digest()[:_TAG_BYTES]):
        raise DiscoveryError("forged")
    _, _, dpid, port, sequence = _BODY.unpack(body)
    return (dpid, port), sequence


@dataclass(slots=True)
class Sequences:
    """Which frames are new: each counts once, and only as long as a link would live on it.

    A frame that was recorded and is sent again, at the same place or at another, is not.
    """

    last: dict[End, int] = field(default_factory=dict)

    def fresh(self, src: End, sequence: int, current: int) -> bool:
        """Return whether a frame is newer than all from there; ``current``: the last sent."""
        oldest = max(self.last.get(src, -1) + 1, current - int(LIFETIME_S / PERIOD_S))
        if not oldest <= sequence <= current:
            return False
        self.last[src] = sequence
        return True


@dataclass(slots=True)
class Links:
    """Which directed links were seen lately, and which were seen once and then lost."""

    seen_s: dict[tuple[End, End], float] = field(default_factory=dict)
    lost: set[tuple[End, End]] = field(default_factory=set)

    def heard(self, src: End, dst: End, now_s: float) -> bool:
        """Note that a frame came through; return whether that is news."""
        link = (src, dst)
        news = link not in self.seen_s
        # a port leads to one place: what was seen through it before is no longer there
        stale = [
            other for other in self.seen_s if other != link and (other[0] == src or other[1] == dst)
        ]
        for other in stale:
            del self.seen_s[other]
            self.lost.add(other)
        self.seen_s[link] = now_s
        self.lost.discard(link)
        return news or bool(stale)

    def expire(self, now_s: float) -> bool:
        """Lose links that were not heard of for too long; return whether there were any."""
        old = [link for link, at in self.seen_s.items() if now_s - at > LIFETIME_S]
        for link in old:
            del self.seen_s[link]
            self.lost.add(link)
        return bool(old)

    def drop_port(self, end: End) -> bool:
        """Lose the links of a port at once; return whether there were any."""
        gone = [link for link in self.seen_s if end in link]
        for link in gone:
            del self.seen_s[link]
            self.lost.add(link)
        return bool(gone)

    def hold(self, dpid: int, now_s: float) -> None:
        """Keep a disconnected switch's links: what cannot be heard is not down."""
        for link in self.seen_s:
            if dpid in (link[0][0], link[1][0]):
                self.seen_s[link] = now_s
