"""The ways of forwarding that the kernel itself has: routes, neighbours, a bridge."""

from dataplane.bench.rig import BRIDGED, ROUTED, XDP, Rig, command, mac_text, sysctl
from dataplane.bench.traffic import HOST_MAC, ROUTER_MAC, TEN_THOUSAND, destinations

_NEXT_HOP = "192.0.2.2"


def set_up_routes(rig: Rig) -> None:
    """Have the kernel route 10,000 networks, and all others of 10.0.0.0/8, to the sink.

    The way of XDP programs and the kernel's own share the interface to the sink: so both look up
    the same routes.
    """
    sysctl("net.ipv4.ip_forward", 1)
    sysctl("net.ipv4.conf.all.rp_filter", 0)
    out = XDP.ends[2]
    for name in (XDP.ends[1], ROUTED.ends[1]):
        sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
    command("ip", "addr", "add", "192.0.2.1/24", "dev", out)
    command(
        *("ip", "neigh", "add", _NEXT_HOP, "lladdr", mac_text(HOST_MAC)),
        *("dev", out, "nud", "permanent"),
    )
    networks = sorted({int(x) & 0xFFFFFF00 for x in destinations(TEN_THOUSAND)})
    lines = [f"route add 10.0.0.0/8 via {_NEXT_HOP} dev {out}"]
    for network in networks:
        dotted = ".".join(str(x) for x in network.to_bytes(4, "big"))
        lines.append(f"route add {dotted}/24 via {_NEXT_HOP} dev {out}")
    command("ip", "-batch", "-", text="\n".join(lines) + "\n")
    rig.attach("hand_on", ROUTED.ends[1])


def set_up_bridge(rig: Rig) -> None:
    """Bridge the frames to the sink; they are addressed to what lies behind that port."""
    _, engine, out, _ = BRIDGED.ends
    command("ip", "link", "add", "bench-br", "type", "bridge")
    command("ip", "link", "set", "bench-br", "up")
    for name in (engine, out):
        command("ip", "link", "set", name, "master", "bench-br")
    command("bridge", "fdb", "add", mac_text(ROUTER_MAC), "dev", out, "master", "static")
    rig.attach("hand_on", engine)
