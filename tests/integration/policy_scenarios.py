"""The first example of docs/policies.md on a real network: load that was seen coming is diverted.

Four locations with a day's history of made-up traffic; the morning's rise of all traffic to C is
replayed, one interval of five minutes in a second. Clients at A and B connect to two virtual
addresses with instances at C and D. What counts is where connections arrive.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from controller.client import ask
from headers.files import Link, Node, Topology, TrafficMatrices, save_matrices
from models.datasets.synthetic import Style, generate_matrices
from tests.integration.lab import PAIRS, Lab
from tests.integration.scenarios import counters
from topologies.lab.demo import ROUTER_MAC
from topologies.lab.replay import FRAME, Replay
from topologies.lab.scenario import STEERING_BYTES

ROOT = Path(__file__).resolve().parents[2]
SCALE = float(os.environ.get("FORESTEER_SCALE", "1"))
"""Of the load; 0.8 or less never passes the threshold."""

SEED = int(os.environ.get("FORESTEER_SEED", "1"))
DATA_STEP_S = 300.0
HISTORY, REPLAYED, BEFORE = 288, 50, 25
"""Intervals: of the past, of the replay, and of the replay before the threshold is crossed."""

WEB, DB = ("10.99.0.1", 80), ("10.99.0.2", 5432)
FULL_BPS = 8e6
"""What C takes in; the links carry 20 Mb/s."""

HIGH = 0.8
PER_S = 10.0
BITS = 8.0 * (FRAME + STEERING_BYTES)
PLACE = 2
MORNING = Style(
    daily=0.9,
    drift=0.05,
    fluctuation=0.06,
    noise=0.03,
    bursts_per_day=0.0,
    flashes_per_day=0.0,
    shifts_per_day=0.0,
)
"""Days that rise by much; without bursts, which nobody sees coming."""


def square() -> Topology:
    """Return the square with its distances, so that C is nearer to A and B than D is."""
    links = tuple(
        Link(a, b, 100.0, delay_ms=5.0 if "D" in pair else 2.0)
        for pair in PAIRS
        for a, b in (pair, pair[::-1])
    )
    return Topology("square", tuple(Node(name) for name in "ABCD"), links)


def document() -> str:
    """Return the first example of the page, with our locations for its X and Y."""
    text = (ROOT / "docs" / "policies.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    made = example.group(1).replace("[X]", "[C]").replace("[Y]", "[D]").replace("-x", "-c")
    return f"{made}locations: {{C: {{capacity_bps: {FULL_BPS:.0f}}}}}\n"


def load(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return history and replay, [T, 4, 4] in bit/s: at BEFORE, what C gets first passes HIGH."""
    made = generate_matrices(square(), 2 * HISTORY, DATA_STEP_S, seed, style=MORNING).tm_mbps
    arriving = made[:, :, PLACE].sum(axis=1)
    smooth = np.convolve(arriving, np.ones(5) / 5, "same")
    day = smooth[HISTORY : HISTORY * 2 - REPLAYED + BEFORE]
    # the steepest rise of the second day is where the threshold is put
    rise = day[12:] - day[:-12]
    middle = HISTORY + int(rise.argmax()) + 6
    start = max(HISTORY, middle - BEFORE)
    crossing = float(smooth[middle])
    # nothing before it may lie above, or it would be no forecast
    window = made[start : start + REPLAYED] * SCALE * HIGH * FULL_BPS / (crossing * 1e6)
    past = made[start - HISTORY : start] * SCALE * HIGH * FULL_BPS / (crossing * 1e6)
    return past * 1e6, window * 1e6


def lab() -> Lab:
    """Return the lab, with a day behind it."""
    made = Lab(square(), tick_s=1.0, delay=False)
    past, _ = load(SEED)
    config = made.instance.directory / "config.yaml"
    config.write_text(
        f"tick_s: 1.0\ndata_step_s: {DATA_STEP_S}\nlearning: {{enabled: false}}\nhold: true\n"
    )
    times = (np.arange(len(past)) * int(DATA_STEP_S)).astype(np.int64)
    save_matrices(
        TrafficMatrices("history", square().names, times, past / 1e6, synthetic=True),
        made.instance.directory / "history.npz",
    )
    return made


def _start(lab: Lab, host: int, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.integration.vip_traffic", *arguments]
    process: subprocess.Popen[bytes] = lab.host(host).popen(command, cwd=str(ROOT))
    return process


def _listens(lab: Lab, host: int) -> bool:
    found = lab.host(host).cmd("ss -Hltn")
    return all(f"{address}:{port}" in found for address, port in (WEB, DB))


def _rows(lab: Lab) -> list[tuple[float, int, str, str]]:
    """Return connections: when, to which port, where they arrived, from where they came."""
    rows = []
    for place in "AB":
        path = lab.directory / f"asked-{place}"
        lines = path.read_text().splitlines() if path.exists() else []
        rows += [(*json.loads(line), place) for line in lines]
    return sorted(rows)


def _declare() -> None:
    for name, (address, port) in (("web", WEB), ("db", DB)):
        instances = [
            {"name": f"{name}-{place}", "location": place, "address": f"10.{at}.0.1"}
            for at, place in ((3, "C"), (4, "D"))
        ]
        body = {"address": address, "protocol": 6, "port": port, "instances": instances}
        ask("PUT", f"services/{name}", body)


def diverted(lab: Lab) -> dict[str, Any]:
    """Have the morning come, and see what moves, when, and that it comes back."""
    lab.start()
    ends = [f"{address}:{port}" for address, port in (WEB, DB)]
    traffic = []
    for number, place in ((3, "C"), (4, "D")):
        for address, _ in (WEB, DB):
            lab.host(number).cmd(f"ip addr add {address}/32 dev lo")
        traffic.append(_start(lab, number, "serve", place, *ends))
    # servers are up before anyone is sent to them
    for number in (3, 4):
        lab.until(lambda n=number: _listens(lab, n), 10, "the servers listen")
    _declare()
    for number, place in ((1, "A"), (2, "B")):
        file = str(lab.directory / f"asked-{place}")
        traffic.append(_start(lab, number, "ask", file, str(PER_S), *ends))
    lab.until(
        lambda: sum(row[2] in {"C", "D"} for row in _rows(lab)) > 40, 15, "connections are answered"
    )
    _, window = load(SEED)
    replay = Replay(
        lab.directory, lab.network.hosts(), window / BITS, router_mac=ROUTER_MAC, step_s=1.0
    )
    # the day goes on where the history ends: ticks and intervals begin together
    begins = time.monotonic() + 0.5
    lab.instance.save_settings({**lab.instance.settings(), "origin_s": begins})
    replay.start_at(begins)
    process = lab.instance.start_once("replay", replay.command)
    assert process is not None
    lab.until(lambda: time.monotonic() > begins + 3.0, 10, "the load begins")
    planned: dict[str, Any] = {}

    def would_act() -> bool:
        time.sleep(0.5)
        planned.update(ask("POST", "policies/plan", {"text": document(), "name": "first.yaml"}))
        return bool(planned["rules_began"])

    lab.until(would_act, REPLAYED, "the plan shows the divert")
    applied = ask("PUT", "policies", {"text": document(), "comment": "the first example"})
    seen: list[dict[str, Any]] = []
    ahead: dict[str, Any] = {}
    while time.monotonic() < begins + REPLAYED:
        rulings = ask("GET", "policies/rulings")
        demands = ask("GET", "demands")
        seen.append(
            {
                "at_s": time.monotonic() - begins,
                "observed": sum(row[PLACE] for row in demands["observed_bps"]) / FULL_BPS,
                "active": [one["name"] for one in rulings["active"]],
                "refused": [one["why"] for one in rulings["refused"]],
            }
        )
        if seen[-1]["active"] and not ahead:
            ahead = {"why": rulings["active"][0]["why"], "at_s": seen[-1]["at_s"],
                     "number": ask("GET", "decisions?limit=1")["decisions"][0]}  # fmt: skip
        time.sleep(0.2)
    replay.stop()
    process.wait(10)
    over = time.monotonic()
    lab.until(lambda: not ask("GET", "policies/rulings")["active"], 70, "the divert is over")
    undone = time.monotonic()
    lab.until(lambda: len([r for r in _rows(lab) if r[0] > undone + 1.0]) > 60, 20, "and after it")
    for one in reversed(traffic):  # clients first
        one.terminate()
        one.wait(10)
    rows = _rows(lab)
    timeline = ask("GET", "decisions?limit=100")["decisions"]
    told = [one["rules"] for one in timeline if any("relieve-c" in x for x in one["rules"])]
    return {
        "planned": planned,
        "version": applied["version"],
        "ahead": ahead,
        "seen": seen,
        "crossed_s": next((s["at_s"] for s in seen if s["observed"] > HIGH), None),
        "web": _where(rows, WEB[1], begins),
        "db": _where(rows, DB[1], begins),
        "over_s": over - begins,
        "undone_s": undone - begins,
        "after": _where([row for row in rows if row[0] > undone + 1.0], WEB[1], begins),
        "told": told[-1] if told else [],
        "counted": counters(lab),
        "state": {key: lab.instance.state()[key] for key in ("rule_errors", "skipped_ticks")},
    }


def _where(rows: list[tuple[float, int, str, str]], port: int, begins: float) -> dict[str, Any]:
    """Return how many connections arrived where, and when the first arrived at D."""
    mine = [row for row in rows if row[1] == port]
    first = next((row[0] - begins for row in mine if row[2] == "D"), None)
    return {
        "total": len(mine),
        "lost": [
            (round(row[0] - begins, 2), row[3], row[2]) for row in mine if row[2] not in {"C", "D"}
        ],
        "at_d": sum(row[2] == "D" for row in mine),
        "first_at_d_s": first,
    }
