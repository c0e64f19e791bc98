"""A whole Foresteer between two neighbours of one BIRD; see tests.integration.lab.

The sessions run beside the emulated network; what is announced there points at hosts of it, which
stand for the neighbours' routers at C and D and answer for a prefix outside.
"""

import re
import time
from typing import Any

from controller.client import ask as call
from tests.integration.bgp_routers import ip
from tests.integration.lab import Lab
from tests.integration.names_lab import Servers
from tests.integration.scenarios import counters

FAR, TARGET = "198.51.100.0/24", "198.51.100.9"
LOCAL_AS, PEER_AS = 65000, 65010
NEIGHBOURS = {"C": ("10.90.1.2", "10.90.1.1", 3), "D": ("10.90.2.2", "10.90.2.1", 4)}
SERVERS = Servers()
CONTROL = SERVERS.directory / "bird.ctl"
CONF = SERVERS.directory / "bird.conf"


def lab() -> Lab:
    """Return the lab, with BIRD running and both sessions configured."""
    made = Lab(tick_s=1.0, delay=False)
    ip("netns add bird")
    for place, (theirs, ours, _) in NEIGHBOURS.items():
        ip(f"link add name bird-{place} type veth peer name {place} netns bird")
        ip(f"addr add {ours}/24 dev bird-{place}")
        ip(f"-n bird addr add {theirs}/24 dev {place}")
        ip(f"link set bird-{place} up")
        ip(f"-n bird link set {place} up")
    announce(C=10, D=20)
    command = ["bird", "-f", "-c", str(CONF), "-s", str(CONTROL)]
    SERVERS.start("bird", ["ip", "netns", "exec", "bird", *command])
    sessions = "".join(
        f"  - {{address: {theirs}, local_address: {ours}, peer_as: {PEER_AS}, location: {place},"
        " hold_time_s: 9}\n"
        for place, (theirs, ours, _) in NEIGHBOURS.items()
    )
    (made.instance.directory / "config.yaml").write_text(
        f"tick_s: 1.0\nlearning: {{enabled: false}}\nbgp:\n  local_as: {LOCAL_AS}\n"
        f"  router_id: 192.0.2.1\n  allow: [203.0.113.0/24]\n  neighbours:\n{sessions}"
    )
    return made


def announce(**med: int) -> None:
    """Have BIRD announce the prefix with these MEDs, to no other neighbour."""
    parts = [
        "router id 10.90.1.2;\nprotocol device { scan time 1; }\n",
        f"protocol static {{ ipv4; route {FAR} unreachable; }}\n",
    ]
    for place, (theirs, ours, host) in NEIGHBOURS.items():
        export = (
            f"{{ bgp_med = {med[place]}; bgp_next_hop = 10.{host}.0.1; accept; }}"
            if place in med
            else "{ reject; }"
        )
        parts.append(
            f"protocol bgp to{place} {{ local {theirs} as {PEER_AS}; neighbor {ours} as {LOCAL_AS};"
            " connect delay time 1; connect retry time 1; error wait time 1, 2;"
            f" ipv4 {{ import none; export filter {export}; }}; }}\n"
        )
    CONF.write_text("".join(parts))
    if CONTROL.exists():
        SERVERS.start("configure", ["birdc", "-s", str(CONTROL), "configure"])
        SERVERS.processes.pop("configure").wait(10)


def answered(lab: Lab, host: int) -> int:
    """Return how many echo requests a host got so far."""
    words = lab.host(host).cmd("cat /proc/net/snmp")
    heads, values = re.findall(r"^Icmp: (.*)$", words, re.MULTILINE)
    return int(dict(zip(heads.split(), values.split(), strict=True))["InEchos"])


def ping(lab: Lab, source: int, count: int) -> dict[str, int]:
    """Ping the target from a host; return how many came to C's router, to D's, and back."""
    before = [answered(lab, host) for host in (3, 4)]
    words = lab.host(source).cmd(f"ping -i 0.05 -c {count} -W 1 {TARGET}")
    after = [answered(lab, host) for host in (3, 4)]
    back = re.search(r"(\d+) received", words)
    c, d = (b - a for a, b in zip(before, after, strict=True))
    return {"C": c, "D": d, "back": int(back.group(1)) if back else 0}


def exits() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call("GET", "exits")["exits"]
    return found


def by_whom() -> set[str]:
    return {place for one in exits() for place in one["sources"].values()}


def followed(lab: Lab) -> dict[str, Any]:
    """Change what neighbours announce and see where packets leave."""
    lab.start()
    for host in (3, 4):
        lab.host(host).cmd(f"ip addr add {TARGET}/32 dev lo")
    # routers are known by what they send
    for host in (1, 2, 3, 4):
        lab.host(host).cmd(f"ping -c 1 -W 1 10.{host % 4 + 1}.0.1")
    lab.until(lambda: lab.instance.state().get("ready", False), 30, "ready")
    lab.until(lambda: by_whom() == {"C"}, 30, "exit by C")
    time.sleep(1.5)
    before = counters(lab)
    found: dict[str, Any] = {"by_c": ping(lab, 1, 20), "exits": exits()}
    after = counters(lab)
    names = ("marked", "no_neighbour", "returned")
    found["engines"] = {name: after.get(name, 0) - before.get(name, 0) for name in names}
    announce(C=30, D=20)
    found["moved_s"] = lab.until(lambda: by_whom() == {"D"}, 15, "exit by D")
    time.sleep(1.5)
    found["by_d"] = ping(lab, 1, 20)
    found["from_d"] = ping(lab, 2, 5)
    announce(C=20, D=20)
    lab.until(lambda: by_whom() == {"C", "D"}, 15, "both")
    time.sleep(1.5)
    found["both"] = {str(host): ping(lab, host, 10) for host in (1, 2)}
    found["both_exits"] = exits()
    announce()
    found["gone_s"] = lab.until(lambda: not exits(), 15, "none")
    time.sleep(1.5)
    found["gone"] = ping(lab, 1, 3)
    state = lab.instance.state()
    found["state"] = {name: state[name] for name in ("rule_errors", "refused", "unserved")}
    found["learned"] = state["outside"]["bgp"]["learned"]
    found["notes"] = [one["notes"] for one in call("GET", "decisions?limit=100")["decisions"]]
    SERVERS.close()
    return found
