"""What an engine checks of a steering header, in its order, and how each check comes out.

The twin decides (dataplane/twin/steer.py); this says it in words, and goes on after the first
failure, so that all that is wrong is seen at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from dataplane.maps import HOP_FORWARD, MAX_CIRCUITS, MAX_HOPS
from dataplane.twin.packets import ECHO_BYTES, KINDS, L2_PLAIN, parse, tag_of
from dataplane.twin.steer import Steered, read
from dataplane.twin.tables import Tables
from headers.packet.steering import LENGTH, VERSION

KeyOf = Callable[[int], bytes | None]
"""The domain's key of an epoch, where it is at hand."""


class State(StrEnum):
    """How a check came out; OPEN: what it needs is not at hand."""

    OK = "ok"
    WRONG = "wrong"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: the counter that a failure goes to, how it came out, and why."""

    reason: str
    state: State
    text: str


def checks(
    frame: bytes, l2: int = L2_PLAIN, key_of: KeyOf | None = None, tables: Tables | None = None
) -> tuple[Check, ...]:
    """Return the checks of a frame with a steering header at ``l2``, in the engines' order.

    Behind ``malformed`` there is nothing to be checked, so it stands alone when it is wrong.
    """
    inside = frame[l2:]
    wrong = malformed(inside)
    header = read(inside)
    if wrong or header is None:
        return (Check("malformed", State.WRONG, wrong or "not as this version reads it"),)
    return (
        Check("malformed", State.OK, "NSH of version 0, MD type 1, 24 bytes, with a whole packet"),
        _version(header),
        _ttl(header),
        _circuit(header, tables),
        *_last_hop(header, tables),
        _epoch(header, tables),
        _tag(header, key_of, tables),
    )


def malformed(inside: bytes) -> str:
    """Return why what follows Ethernet is no steering header with a packet; "" where it is."""
    if len(inside) < LENGTH:
        return f"{len(inside)} bytes of {LENGTH} are there"
    version, words, md_type = inside[0] >> 6, inside[1] & 0x3F, inside[2] & 0xF
    if version:
        return f"NSH's version is {version}, not 0"
    if words != LENGTH // 4:
        return f"its length is {words * 4} bytes, not {LENGTH}"
    if md_type != 1:
        return f"its MD type is {md_type}, not 1"
    following, rest = inside[3], inside[LENGTH:]
    if inside[0] & 0x20:
        if following:
            return f"an echo's next protocol is 0 (none), not {following}"
        if len(rest) < ECHO_BYTES:
            return f"an echo has {ECHO_BYTES} bytes behind the header, here are {len(rest)}"
        return ""
    if following not in KINDS:
        return f"next protocol {following} is neither IPv4 (1) nor IPv6 (2)"
    if isinstance(parse(KINDS[following], rest), str):
        family = 4 if following == 1 else 6
        return f"the packet inside is no IPv{family} packet that is whole"
    return ""


def _version(header: Steered) -> Check:
    version = header.c2 >> 28
    if version == VERSION:
        return Check("version", State.OK, f"format version {version}")
    return Check("version", State.WRONG, f"format version {version}; this program reads {VERSION}")


def _ttl(header: Steered) -> Check:
    if header.ttl:
        return Check("nsh_ttl", State.OK, f"TTL {header.ttl}")
    return Check("nsh_ttl", State.WRONG, "TTL 0: its hops are used up")


def _circuit(header: Steered, tables: Tables | None) -> Check:
    circuit, si = header.circuit, header.spi_si & 0xFF
    name = "unknown_circuit"
    if not 0 < si < MAX_HOPS:
        return Check(name, State.WRONG, f"SI {si} is not between 1 and {MAX_HOPS - 1}")
    if circuit >= MAX_CIRCUITS:
        return Check(name, State.WRONG, f"circuit {circuit} is not below {MAX_CIRCUITS}")
    if tables is None:
        return Check(name, State.OPEN, f"circuit {circuit} at SI {si}: no engine's tables at hand")
    hop = tables.hops.get((circuit, si))
    if hop is None:
        return Check(name, State.WRONG, f"no engine here has circuit {circuit} at SI {si}")
    does = "forwards" if hop.action == HOP_FORWARD else "delivers from"
    return Check(name, State.OK, f"engine {hop.engine} {does} circuit {circuit} at SI {si}")


def _last_hop(header: Steered, tables: Tables | None) -> tuple[Check, ...]:
    hop = tables.hops.get((header.circuit, header.spi_si & 0xFF)) if tables else None
    if hop is None or hop.action != HOP_FORWARD or header.ttl != 1:
        return ()
    return (Check("nsh_ttl", State.WRONG, "TTL 1: it cannot be forwarded"),)


def _epoch(header: Steered, tables: Tables | None) -> Check:
    epoch = header.c3 >> 24
    if tables is None:
        return Check("epoch", State.OPEN, f"key epoch {epoch}: which are valid is in the tables")
    valid = ", ".join(str(number) for number in sorted(tables.keys)) or "none"
    state = State.OK if epoch in tables.keys else State.WRONG
    return Check("epoch", state, f"key epoch {epoch}; valid here: {valid}")


def _tag(header: Steered, key_of: KeyOf | None, tables: Tables | None) -> Check:
    epoch = header.c3 >> 24
    key = tables.keys.get(epoch) if tables else None
    if key is None and key_of is not None:
        key = key_of(epoch)
    if key is None:
        return Check("tag", State.OPEN, f"no key of epoch {epoch} at hand")
    if _is_right(header, key):
        return Check("tag", State.OK, f"right, under the domain's key of epoch {epoch}")
    customer = _customer_of(header, tables)
    if customer is not None:
        words = f"right under the key of customer {customer}: only at that customer's port"
        return Check("tag", State.WRONG, words)
    return Check("tag", State.WRONG, f"wrong under the domain's key of epoch {epoch}")


def customer_of(frame: bytes, l2: int, tables: Tables) -> int | None:
    """Return the customer whose key a frame's header was tagged with, if it is one's."""
    header = read(frame[l2:])
    return None if header is None else _customer_of(header, tables)


def _customer_of(header: Steered, tables: Tables | None) -> int | None:
    for (customer, epoch), key in tables.customers.items() if tables else ():
        if epoch == header.c3 >> 24 and _is_right(header, key):
            return customer
    return None


def _is_right(header: Steered, key: bytes) -> bool:
    tag = tag_of(key, header.circuit, header.c1, header.c2, header.c3, header.covered)
    return header.tag == tag
