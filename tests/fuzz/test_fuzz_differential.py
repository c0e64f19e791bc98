"""A short form of ``./run fuzz``: the programs in the kernel do what their twin says."""

import subprocess
import sys
import time

import pytest

ALONE = (
    *("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"),
    *(sys.executable, "-m", "tests.fuzz.inside"),
)
KNOWN, NEW = 20_000, 5_000


@pytest.mark.slow
@pytest.mark.root
def test_programs_do_what_their_twin_says() -> None:
    seed = time.time_ns() & 0xFFFFFF
    asked = [str(number) for number in (KNOWN, 1, NEW, seed)]
    done = subprocess.run([*ALONE, *asked], capture_output=True, text=True, check=False)
    # what it says begins with the seeds
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{KNOWN + NEW} packets, no mismatch" in done.stdout
