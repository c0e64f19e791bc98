"""Every command as its user starts it: in a process of its own, with nothing loaded before it."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

COMMANDS = sorted({one.name for one in entry_points(group="foresteer.commands")})
TOP = [name for name in COMMANDS if "." not in name and name != "mn"]
"""`mn` hands all its arguments on to Mininet's own command."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TOP)
def test_command_loads_with_all_that_others_add_to_it(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "controller.cli", name, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    added = [one.partition(".")[2] for one in COMMANDS if one.startswith(f"{name}.")]
    assert all(one in done.stdout for one in added)
