"""A short form of ``./run fuzz``: the programs in the kernel do what their twin says."""

import subprocess
import sys
import time

import pytest

ALONE = (
    *("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"),
    *(sys.executable, "-m", "tests.fuzz.inside"),
)


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize(
    ("packets", "seed"),
    [(20_000, 1), (5_000, time.time_ns() & 0xFFFFFF)],
    ids=["20000 of seed 1", "5000 of a new seed"],
)
def test_programs_do_what_their_twin_says(packets: int, seed: int) -> None:
    done = subprocess.run(
        [*ALONE, str(packets), str(seed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{packets} packets, no mismatch" in done.stdout
