"""One scenario of the integration tests, in namespaces of its own, for what measures it."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from topologies.lab.namespaces import start_inside


def once(scenario: str, **environment: str) -> dict[str, Any]:
    """Run ``MODULE.FUNCTION`` of tests/integration and return what it found."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        child, lifeline = start_inside(
            "tests.integration.lab",
            [scenario, str(result)],
            keep=[Path(folder)],
            environment=environment,
        )
        try:
            child.wait()
        finally:
            os.close(lifeline)
        found: dict[str, Any] = json.loads(result.read_text())
        return found
