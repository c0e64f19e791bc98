"""A triangle with lengths: what probes say of its links, cut and whole."""

import json
import urllib.error
import urllib.request
from typing import Any

from headers.files import Link, Node, Topology
from tests.integration.lab import Lab
from topologies.cabling import SILENT, UP

LENGTHS_MS = {"XY": 3.0, "YZ": 12.0, "ZX": 0.5}


def lab() -> Lab:
    """Return the lab of these scenarios."""
    links = tuple(
        Link(a, b, 100.0, 1.0, delay)
        for pair, delay in LENGTHS_MS.items()
        for a, b in (pair, pair[::-1])
    )
    return Lab(Topology("triangle", tuple(Node(n) for n in "XYZ"), links), wire=True)


def qualities(lab: Lab, part: str = "links") -> Any:
    """Return what the brain knows of its links' (or circuits') quality."""
    try:
        with urllib.request.urlopen(f"{lab.instance.state()['page']}/api/v1/quality") as reply:
            return json.load(reply)[part]
    except urllib.error.HTTPError:
        return {}  # no tick yet


def paths(lab: Lab) -> dict[str, list[str]]:
    """Return the links of every circuit of the plan in force, by its number."""
    with urllib.request.urlopen(f"{lab.instance.state()['page']}/api/v1/circuits") as reply:
        return {str(one["spi"]): one["links"] for one in json.load(reply)["circuits"]}


def in_use(lab: Lab) -> set[str]:
    """Return the numbers of the circuits of the plan in force."""
    return set(paths(lab))


def within(found: dict[str, Any]) -> bool:
    """Whether all links' round trips are those of their cables, to 1 ms and a tenth."""
    asked_ms = {
        name: 2 * length
        for pair, length in LENGTHS_MS.items()
        for name in (f"{pair[0]}>{pair[1]}", f"{pair[1]}>{pair[0]}")
    }
    return found.keys() == asked_ms.keys() and all(
        one["samples"] >= 10 and abs(one["rtt_ms"] - asked_ms[name]) <= 1 + 0.1 * asked_ms[name]
        for name, one in found.items()
    )


def measured(lab: Lab) -> dict[str, Any]:
    """Wait for full windows, then cut a link silently and see its probes lost."""
    lab.start()
    lab.until(lambda: within(qualities(lab)), 60, "every link is measured as long as it is")
    whole = qualities(lab)
    circuits_s = lab.until(
        lambda: set(qualities(lab, "circuits")) >= in_use(lab), 20, "every circuit is measured"
    )
    circuits, ways = qualities(lab, "circuits"), paths(lab)
    lab.network.topo.cabling.cut("X", "Y", SILENT)
    lost = lab.until(
        lambda: qualities(lab).get("X>Y", {}).get("loss", 0) > 0.2, 15, "probes are lost"
    )
    cut = qualities(lab)
    lab.network.topo.cabling.cut("X", "Y", UP)
    back = lab.until(
        lambda: qualities(lab).get("X>Y", {}).get("loss", 1) == 0, 40, "probes come again"
    )
    return {
        "whole": whole,
        "cut": cut,
        "lost_s": lost,
        "back_s": back,
        "circuits": circuits,
        "circuits_s": circuits_s,
        "paths": ways,
    }
