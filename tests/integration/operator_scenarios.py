"""An operator's circuits and firewall rules, from the request to real packets and back."""

import itertools
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

from controller.api.access.own import read_own
from tests.integration.lab import NAMES, Lab, square
from tests.integration.plan_trace import Switches, in_force, meant
from tests.integration.surge_scenarios import Edge
from topologies.lab.demo import ROUTER_MAC
from topologies.lab.replay import Replay

TICK_S = 2.0
WATCHED_PER_S, OTHERS_PER_S = 500.0, 20.0
SECONDS = 600.0
REPLAYED = 9
"""The port that the replay's packets go to."""

UDP, ICMP = 17, 1
CLOSED, OPEN = 53, 54
RULES = {
    "gold": (
        {"name": "no-dns", "allow": False, "priority": 900, "protocol": UDP,
         "destination_port": CLOSED},
        {"name": "web", "allow": True, "priority": 500, "protocol": 6, "destination_port": 443},
    ),
    "shut": (
        {"name": "replay", "allow": True, "priority": 900, "protocol": UDP,
         "destination_port": REPLAYED},
        {"name": "ping", "allow": True, "priority": 500, "protocol": ICMP},
    ),
}  # fmt: skip
PACKETS = (
    ("udp", CLOSED), ("udp", OPEN), ("udp", REPLAYED), ("tcp", CLOSED), ("tcp", 443), ("icmp", 0),
    ("sctp", CLOSED),
)  # fmt: skip
LISTEN = """
import select, socket, sys
ends = {}
for port in sys.argv[2:]:
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.bind(("", int(port)))
    ends[end] = port
with open(sys.argv[1], "w", buffering=1) as out:
    print("listening", file=out)
    while True:
        for end in select.select(list(ends), [], [])[0]:
            print(ends[end], end.recv(100).decode(), file=out)
"""
SEND = """
import socket, sys
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in sys.argv[3:]:
    end.sendto(sys.argv[2].encode(), (sys.argv[1], int(port)))
"""


def lab() -> Lab:
    """Return the lab of these scenarios."""
    return Lab(square(), tick_s=TICK_S)


class Operator:
    """Asks the brain, and looks at what came of it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._words = itertools.count(1)

    def ask(self, method: str, where: str, /, **body: Any) -> dict[str, Any]:
        """Ask by the API; a refusal's reason is under ``refused``."""
        page = self.lab.instance.state()["page"]
        request = urllib.request.Request(
            f"{page}/api/v1/requests{where}",
            json.dumps(body).encode() if body else None,
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {read_own(self.lab.instance.directory)}",
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                answer: dict[str, Any] = json.loads(reply.read() or b"{}")
                return answer
        except urllib.error.HTTPError as error:
            return {"refused": json.loads(error.read())["detail"], "status": error.code}

    def rule(self, circuit: str, rule: Mapping[str, Any]) -> dict[str, Any]:
        """Add a rule to a circuit, or change it."""
        fields = {key: value for key, value in rule.items() if key != "name"}
        return self.ask("PUT", f"/{circuit}/rules/{rule['name']}", **fields)

    def listen(self, number: int) -> None:
        """Have a host note what comes to the two ports."""
        out = self.lab.directory / f"heard{number}"
        self.lab.host(number).cmd(
            f"{sys.executable} -c '{LISTEN}' {out} {CLOSED} {OPEN} >/dev/null 2>&1 &"
        )
        self.lab.until(lambda: out.exists() and bool(out.read_text()), 10, "a host listens")

    def arrive(self, src: int, dst: int, *, last: int) -> list[str]:
        """Send to both ports, and return which packets arrived; ``last`` is sure to."""
        word, out = f"word{next(self._words)}", self.lab.directory / f"heard{dst}"
        ports = sorted((CLOSED, OPEN), key=lambda port: port == last)
        self.lab.host(src).cmd(
            f"{sys.executable} -c '{SEND}' 10.{dst}.0.1 {word} {' '.join(map(str, ports))}"
        )
        heard = lambda: [x.split()[0] for x in out.read_text().splitlines() if word in x]  # noqa: E731
        self.lab.until(lambda: str(last) in heard(), 10, "the packet arrives")
        return sorted(heard())

    def pings(self) -> bool:
        """Whether host 3 answers host 1: there on gold, back on shut."""
        return "1 received" in self.lab.host(1).cmd("ping -c1 -W0.5 10.3.0.1")

    def rules(self) -> int:
        """Return how many firewall flows switches hold."""
        return sum(
            len([x for x in self.lab.flows(f"s{n}").splitlines() if "table=1" in x])
            for n in range(1, 5)
        )


def operated(lab: Lab) -> dict[str, Any]:
    """Ask for circuits and rules, change and delete them, while traffic flows."""
    lab.start()
    lab.until(lambda: (lab.instance.state().get("tick") or 0) >= 1, 20, "the loop ticks")
    rates = np.full((1, 4, 4), OTHERS_PER_S)
    rates[0, 0, 2] = rates[0, 2, 0] = WATCHED_PER_S
    replay = Replay(
        lab.directory, lab.network.hosts(), rates, router_mac=ROUTER_MAC, step_s=SECONDS, frame=200
    )
    replay.start_at(time.monotonic() + 0.2)
    process = lab.instance.start_once("replay", replay.command)
    assert process is not None
    lab.until(lambda: replay.counts("received").sum() > 1000, 10, "traffic flows")
    operator, edge, switches = Operator(lab), Edge(lab), Switches(lab)
    for number in (1, 3):
        operator.listen(number)
    seen: dict[str, Any] = {"rules_before": operator.rules()}
    ends = {"source": "A", "destination": "C", "name": "never"}
    seen["refused"] = [
        operator.ask("POST", "", **ends, path=["A>B", "B>X"])["refused"],
        operator.ask("POST", "", **ends, path=["A>B", "C>D"])["refused"],
        operator.ask("POST", "", **ends, reserved_bps=1e9)["refused"],
        operator.ask("POST", "", **{**ends, "destination": "A"})["refused"],
    ]
    seen["left_behind"] = [one.name for one in in_force(lab).circuits if one.name]
    seen["rules_left"] = operator.rules()
    gold = operator.ask("POST", "", source="A", destination="C", path=["A>B", "B>C"], name="gold")
    seen["gold"] = (gold["links"], set(edge.circuits(0, 2)) == {gold["spi"]})
    shut = operator.ask(
        "POST", "", source="C", destination="A", path=["C>D", "D>A"], name="shut", share=0.0
    )
    seen["shut"] = shut["links"]
    for name, rules in RULES.items():
        for rule in rules:
            answer = operator.rule(name, rule)
            assert "refused" not in answer, answer
    # it carries packets once its rules are there, and lets only those through
    operator.ask("PATCH", "/shut", allow_rest=False, share=1.0)
    seen["there"] = operator.arrive(1, 3, last=OPEN)
    seen["pings"] = operator.pings()
    seen["traced"] = traced(lab, switches)
    dns = {"allow": True, "protocol": UDP, "destination_port": CLOSED}
    operator.rule("shut", {**dns, "name": "dns"})
    seen["back"] = operator.arrive(3, 1, last=CLOSED)
    seen["finding"] = operator.rule("gold", {**dns, "name": "late", "priority": 1})["findings"]
    seen["taken_priority"] = operator.rule("gold", {"name": "x", "allow": True, "priority": 900})[
        "refused"
    ]
    operator.ask("DELETE", "/shut/rules/ping")
    seen["pings_no_more"] = not operator.pings()
    moves = []
    for path in (["A>D", "D>C"], ["A>C"], ["A>B", "B>C"]):
        moved = operator.ask("PATCH", "/gold", path=path)
        moves.append((moved["links"] == path, set(edge.circuits(0, 2)) == {moved["spi"]}))
    seen["moves"] = moves
    seen["retraced"] = traced(lab, switches)
    for name in ("gold", "shut"):
        operator.ask("DELETE", f"/{name}")
    seen["named"] = [one.name for one in in_force(lab).circuits if one.name]
    lab.until(lambda: operator.rules() == seen["rules_before"], 15, "the rules are gone")
    seen["everything"] = (operator.arrive(1, 3, last=CLOSED), operator.pings())
    replay.stop()
    process.wait(10)
    sent, received = replay.counts("sent")[0], replay.counts("received")[0]
    seen["lost"] = {
        f"{NAMES[a]}{NAMES[b]}": int(sent[a, b] - received[a, b])
        for a, b in replay.pairs
        if sent[a, b] != received[a, b]
    }
    seen["sent"] = int(sent.sum())
    seen["rule_errors"] = lab.instance.state()["rule_errors"]
    return seen


def traced(lab: Lab, switches: Switches) -> dict[str, Any]:
    """Ask Open vSwitch about every circuit of the plan in force, and every rule of every one."""
    for _ in range(5):
        plan = in_force(lab)
        filters = {one.spi: one for one in plan.filters}
        wrong, asked = [], 0
        for circuit in plan.circuits:
            inner = [
                (f"{protocol}:{port}", meant(filters.get(circuit.spi), protocol, port))
                for protocol, port in (PACKETS if circuit.spi in filters else PACKETS[:1])
            ]
            asked += len(inner) + bool(circuit.backup)
            wrong += switches.wrong(circuit, inner)
        # a tick may have moved things meanwhile
        if in_force(lab).circuits == plan.circuits:
            break
    return {"wrong": wrong, "asked": asked, "circuits": len(plan.circuits), "filters": len(filters)}
