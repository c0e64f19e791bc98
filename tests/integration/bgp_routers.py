"""Our side, a BIRD and a FRR in a triangle, for the scenarios.

Our side (AS 65000) is the scenario's own network namespace; the two routers of the neighbouring
network (AS 65010) have theirs, speak iBGP to each other, and put what they choose into the kernel.
"""

import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.integration.names_lab import Servers, until

BIRD, FRR = "10.0.1.2", "10.0.2.2"
OUR_BIRD, OUR_FRR = "10.0.1.1", "10.0.2.1"
INNER_BIRD, INNER_FRR = "10.0.3.1", "10.0.3.2"
LOCAL_AS, PEER_AS = 65000, 65010
BIRD_PREFIXES = ("198.51.100.0/25", "198.51.100.128/25")
FRR_PREFIX = "192.0.2.0/24"
PROBE = "240.0.0.1"


def ip(words: str) -> str:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=True)
    return done.stdout


def links() -> None:
    """Make the triangle."""
    for name in ("bird", "frr"):
        ip(f"netns add {name}")
        ip(f"-n {name} link set lo up")
        inside = ["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=1"]
        subprocess.run(inside, check=True)
    ip("link add name to-bird type veth peer name ours netns bird")
    ip("link add name to-frr type veth peer name ours netns frr")
    ip("-n bird link add name inner type veth peer name inner netns frr")
    for where, device, address in (
        ("", "to-bird", OUR_BIRD),
        ("", "to-frr", OUR_FRR),
        ("bird", "ours", BIRD),
        ("frr", "ours", FRR),
        ("bird", "inner", INNER_BIRD),
        ("frr", "inner", INNER_FRR),
    ):
        space = f"-n {where} " if where else ""
        ip(f"{space}addr add {address}/24 dev {device}")
        ip(f"{space}link set dev {device} up")


class Bird:
    """The neighbour's first router."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.conf = servers.directory / "bird.conf"
        self.control = servers.directory / "bird.ctl"
        statics = " ".join(f"route {prefix} unreachable;" for prefix in BIRD_PREFIXES)
        self.conf.write_text(
            f"router id {BIRD};\nprotocol device {{ scan time 1; }}\n"
            f"protocol direct {{ ipv4; }}\nprotocol static {{ ipv4; {statics} }}\n"
            "protocol kernel { ipv4 { import none; export where source = RTS_BGP; };"
            " metric 10; }\n"
            f"protocol bgp ours {{ local {BIRD} as {PEER_AS}; neighbor {OUR_BIRD} as {LOCAL_AS};"
            " error wait time 1, 2; connect delay time 1; connect retry time 1;"
            " ipv4 { import all; export where source = RTS_STATIC; }; }\n"
            f"protocol bgp inner {{ local {INNER_BIRD} as {PEER_AS};"
            f" neighbor {INNER_FRR} as {PEER_AS}; connect delay time 1; connect retry time 1;"
            " ipv4 { import all; export where source ~ [RTS_STATIC, RTS_BGP]; next hop self; }; }\n"
        )

    def start(self) -> None:
        command = ["bird", "-f", "-c", str(self.conf), "-s", str(self.control)]
        self.servers.start("bird", ["ip", "netns", "exec", "bird", *command])

    def ask(self, words: str) -> str:
        done = subprocess.run(
            ["birdc", "-s", str(self.control), *words.split()],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def attributes(self, prefix: str) -> dict[str, str]:
        """Return the attributes of the chosen route."""
        found: dict[str, str] = {}
        for line in self.ask(f"show route primary {prefix} all").splitlines():
            name, _, value = line.strip().partition(": ")
            if name.startswith("BGP."):
                found[name[4:]] = value.strip()
        return found


class Frr:
    """The neighbour's second router."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.directory = servers.directory / "frr"
        # Debian's FRR insists on its own user, who must get here
        self.directory.mkdir()
        servers.directory.chmod(0o711)
        shutil.chown(self.directory, "frr", "frr")
        (self.directory / "zebra.conf").write_text("hostname frr\n")
        (self.directory / "bgpd.conf").write_text(
            f"hostname frr\nrouter bgp {PEER_AS}\n bgp router-id {FRR}\n"
            " no bgp ebgp-requires-policy\n no bgp network import-check\n"
            f" neighbor {OUR_FRR} remote-as {LOCAL_AS}\n neighbor {OUR_FRR} timers connect 1\n"
            f" neighbor {OUR_FRR} advertisement-interval 0\n"
            f" neighbor {INNER_BIRD} remote-as {PEER_AS}\n neighbor {INNER_BIRD} timers connect 1\n"
            f" neighbor {INNER_BIRD} advertisement-interval 0\n"
            " address-family ipv4 unicast\n"
            f"  network {FRR_PREFIX}\n  neighbor {INNER_BIRD} next-hop-self\n"
            f"  neighbor {OUR_FRR} route-map own out\n exit-address-family\n"
            f"ip prefix-list own seq 5 permit {FRR_PREFIX}\n"
            "route-map own permit 10\n match ip address prefix-list own\n set metric 77\n"
            f" set community {PEER_AS}:7\n"
        )

    async def start(self) -> None:
        # bgpd asks once for zebra, and then not for 10 s
        self._start("zebra")
        await until((self.directory / "zserv.api").exists, "zebra answers")
        self._start("bgpd")
        await until((self.directory / "bgpd.vty").exists, "bgpd answers")

    def _start(self, name: str) -> None:
        where = str(self.directory)
        command = [
            *("ip", "netns", "exec", "frr", f"/usr/lib/frr/{name}"),
            *("-u", "frr", "-g", "frr", "-f", f"{where}/{name}.conf"),
            *("-i", f"{where}/{name}.pid", "-z", f"{where}/zserv.api"),
            *("--vty_socket", where, "-P", "0", "--log", f"file:{where}/{name}.log"),
        ]
        self.servers.start(name, command)

    def ask(self, words: str) -> Any:
        done = subprocess.run(
            ["vtysh", "--vty_socket", str(self.directory), "-c", f"{words} json"],
            capture_output=True,
            text=True,
            check=False,
        )
        with contextlib.suppress(ValueError):
            return json.loads(done.stdout)
        return {}


def via(where: str, prefix: str) -> str:
    """Return the next hop of a prefix in a router's kernel; empty where it has none."""
    for route in json.loads(ip(f"-n {where} -j route show {prefix}") or "[]"):
        return str(route.get("gateway", ""))
    return ""


class Monitor:
    """The kernel's own word on when a router's routes changed, in CLOCK_REALTIME seconds."""

    def __init__(self, servers: Servers, where: str) -> None:
        self.where = where
        self.path = Path(servers.directory) / f"routes-{where}"
        self.file = self.path.open("wb")
        self.process = subprocess.Popen(
            ["ip", "-n", where, "-ts", "monitor", "route"], stdout=self.file
        )

    async def ready(self) -> None:
        """Wait until it has seen all changes up to now: one more is made again and again."""
        began = time.time()

        def seen() -> bool:
            ip(f"-n {self.where} route replace {PROBE} dev lo")
            ip(f"-n {self.where} route del {PROBE}")
            return self.times().get(PROBE, 0.0) >= began

        await until(seen, "the monitor sees changes")

    def times(self) -> dict[str, float]:
        """Return when each prefix last appeared or changed."""
        found = {}
        for line in self.path.read_text().splitlines():
            stamp, _, rest = line.partition("] ")
            if rest and not rest.startswith("Deleted"):
                found[rest.split()[0]] = _seconds(stamp[1:])
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(5)
        self.file.close()


def _seconds(stamp: str) -> float:
    whole, _, part = stamp.partition(".")
    return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{part}")
