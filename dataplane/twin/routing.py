"""Ordinary routing for packets that are not, or no longer, steered."""

from dataplane.maps import FALLBACK_DROP, FALLBACK_RETURN
from dataplane.twin.memory import DROP, PASS, REDIRECT, TX, Arrival, Outcome
from dataplane.twin.packets import L2_PLAIN, Parsed, decrement_ttl, ether_type, parse, pop
from headers.packet.steering import ETHERTYPE


def fall_back(at: Arrival, frame: bytes) -> Outcome:
    """Route a frame by the kernel's tables, else as the port's fallback says.

    A route counts only where it leads to a port of ours: others may not take what is redirected.
    """
    port = at.port
    if port.fallback == FALLBACK_DROP:
        at.count("dropped", len(frame))
        return Outcome(DROP, frame)
    packet = parse(int.from_bytes(frame[12:14], "big"), frame[L2_PLAIN:])
    if isinstance(packet, Parsed) and packet.ttl > 1:
        length = len(frame) - L2_PLAIN
        route = at.tables.fib(packet.family, packet.source, packet.destination, length, at.ifindex)
        if route is not None and route.ifindex in at.tables.ports:
            at.count("routed", len(frame))
            routed = decrement_ttl(frame, L2_PLAIN, packet.family)[12:]
            return Outcome(REDIRECT, route.dmac + route.smac + routed, ifindex=route.ifindex)
    if port.fallback == FALLBACK_RETURN:
        at.count("returned", len(frame))
        return Outcome(TX, port.router_mac + frame[:6] + frame[12:])
    return Outcome(PASS, frame)


def refuse(at: Arrival, reason: str, l2: int) -> Outcome:
    """Count why a header cannot be used, take it off, and route the packet as usual.

    A header within a header is dropped: it would enter the core as if an edge had made it.
    """
    at.count(reason)
    popped = None if at.port.fallback == FALLBACK_DROP else pop(at.frame, l2)
    if popped is not None and ether_type(popped)[0] == ETHERTYPE:
        at.count("nested")
        at.count("dropped")
        return Outcome(DROP, at.frame)
    if popped is None:
        at.count("dropped")
        return Outcome(DROP, at.frame)
    return fall_back(at, popped)
