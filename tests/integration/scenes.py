"""Scenes of the integration tests: a module's scenario in namespaces of its own, and its result."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from topologies.lab.namespaces import start_inside


def play(module: str, scenario: str, folder: Path, seconds: float = 120.0) -> dict[str, Any]:
    """Run ``python -m tests.integration.MODULE [SCENARIO] RESULT``; return what it wrote as JSON.

    What is left of it when the time is over ends with its namespaces. An ``error`` in the result
    fails the test, with what the scene said and its logs.
    """
    result = folder / "result.json"
    arguments = [*filter(None, [scenario]), str(result)]
    child, lifeline = start_inside(f"tests.integration.{module}", arguments, keep=[folder])
    try:
        child.wait(seconds)
    finally:
        child.kill()
        child.wait()
        os.close(lifeline)
    found: dict[str, Any] = json.loads(result.read_text())
    if "error" in found:
        logs = found.get("logs", {})
        text = "\n".join(f"--- {name}\n{lines}" for name, lines in logs.items())
        pytest.fail(f"{found['error']}\n{found.get('said', '')}\n{text}")
    return found


run = partial(play, "lab")
"""In the usual network of Open vSwitch, engines, southbound and brain."""
