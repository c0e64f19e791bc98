"""What share of small mistakes in the C programs is found: ``python -m tests.fuzz.mutants``.

Each mutant (``tests/fuzz/mutate.py``) is compiled and loaded. One that does not compile, that the
verifier refuses or that is the same program is not counted. The others are killed by a short run
of the differential fuzzer, or by the tests of the programs, or they survive and are listed.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.mutate import Mutant, sources

ROOT = Path(__file__).resolve().parents[2]
PACKETS = 10_000
LIMIT_S = 120
INSIDE = (
    *("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh"),
    *("-c", 'mount --make-rprivate / && ip link set lo up && exec "$@"', "sh"),
)
LAYOUTS = ("maps.h", "reasons.h", "steering.h")
TESTS: dict[str, tuple[str, ...]] = {
    "tests/unit/dataplane/test_layouts.py": LAYOUTS,
    "tests/golden": ("steering.h",),
    "tests/bpf/test_bpf_shape.py": ("shape.bpf.c", "pass.bpf.c", "steering.h"),
    "tests/bpf/test_bpf_caches.py": (),
    "tests/bpf/test_bpf_budget.py": (),
    "tests/bpf/test_bpf_bad_input.py": (),
    "tests/bpf/test_bpf_sampling.py": ("packet.h", "maps.h", "mark.bpf.c", "steer.bpf.c"),
    "tests/bpf/test_bpf_programs.py": (),
    "tests/bpf/test_bpf_capture.py": ("packet.h", "maps.h", "mark.bpf.c", "steer.bpf.c"),
}
"""The tests of the programs, and the files whose mutants they can tell: all where none is named."""
COUNTED = ("fuzz", "tests", "survived")


class Tree:
    """A copy of the sources, in which one file at a time is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(
            ROOT,
            folder,
            ignore=shutil.ignore_patterns(
                ".*", "build", "__pycache__", "*.egg-info", "node_modules"
            ),
        )
        loader = folder / "dataplane" / "loader.py"
        # a warning is no reason not to count a mutant
        text = loader.read_text().replace('"-Werror"', '"-w"')
        loader.write_text(text)

    def path(self, mutant: Mutant) -> Path:
        """Return where the mutant's file is."""
        bpf = self.folder / "dataplane" / "bpf" / mutant.file
        return bpf if bpf.exists() else self.folder / "headers" / "packet" / mutant.file

    def run(self, *module: str) -> tuple[int, str]:
        """Run a module in there, in namespaces of its own; return its status and what it said."""
        try:
            done = subprocess.run(
                [*INSIDE, sys.executable, "-m", *module],
                cwd=self.folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            return 124, "it ran for too long"
        return done.returncode, done.stdout + done.stderr[-2000:]

    def judge(self, baseline: Path, packets: int, seed: int, file: str = "") -> tuple[str, str]:
        """Return what the fuzzer says of the sources in there."""
        status, said = self.run("tests.fuzz.judge", str(baseline), str(packets), str(seed), file)
        lines = [line for line in said.splitlines() if line.startswith('["')]
        if status or not lines:
            return "fuzz", f"status {status}: {said[-300:]}"
        verdict, words = json.loads(lines[-1])
        return verdict, words

    def tested(self, file: str = "") -> tuple[bool, str]:
        """Return whether the tests of the programs, or of one file of them, pass in there."""
        there = [name for name, files in TESTS.items() if not file or not files or file in files]
        status, said = self.run("pytest", "-q", "-x", "-p", "no:randomly", "--no-header", *there)
        failed = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return status == 0, "; ".join(failed)[:200] or said[-300:]


class Hunt:
    """Judges mutants, several at a time."""

    def __init__(self, folder: Path, jobs: int, packets: int, seed: int) -> None:
        self._packets, self._seed = packets, seed
        self._trees = [Tree(folder / f"tree{number}") for number in range(jobs)]
        self._baseline = folder / "baseline.json"
        self._lock = threading.Lock()
        self.found: list[tuple[Mutant, str, str]] = []
        self.json: Path | None = None

    def prove(self) -> str:
        """Make sure that nothing is killed by the programs as they are; return what is wrong."""
        tree = self._trees[0]
        verdict, words = tree.judge(self._baseline, 0, self._seed)
        if verdict != "baseline":
            return f"{verdict}: {words}"
        done, words = tree.tested()
        return "" if done else words

    def one(self, mutant: Mutant) -> None:
        """Judge a mutant in a tree that is free."""
        with self._lock:
            tree = self._trees.pop()
        path = tree.path(mutant)
        whole = path.read_text()
        path.write_text(mutant.applied(whole))
        try:
            verdict, words = tree.judge(self._baseline, self._packets, self._seed, mutant.file)
            if verdict == "survived":
                passed, said = tree.tested(mutant.file)
                verdict, words = (verdict, "") if passed else ("tests", said)
        finally:
            path.write_text(whole)
            with self._lock:
                self._trees.append(tree)
        with self._lock:
            self.found.append((mutant, verdict, words))
            if verdict == "survived":
                print(f"survived: {mutant}", flush=True)
            if len(self.found) % 50 == 0:
                print(f"{len(self.found)} judged: {self.tally()}", flush=True)
            self.save()

    def save(self) -> None:
        """Write each mutant's fate, where that was asked for."""
        if self.json:
            rows = [[str(mutant), verdict, words] for mutant, verdict, words in self.found]
            self.json.write_text(json.dumps(rows, indent=1))

    def tally(self) -> str:
        """Return how many of each there are, and the share that was killed."""
        by = Counter(verdict for _, verdict, _ in self.found)
        counted = sum(by[name] for name in COUNTED)
        killed = by["fuzz"] + by["tests"]
        share = killed / counted if counted else 0.0
        return (
            f"killed {killed} of {counted} ({share:.1%}): {by['fuzz']} by the fuzzer,"
            f" {by['tests']} by tests; not counted: {by['compile']} do not compile,"
            f" {by['verifier']} the verifier refuses, {by['same']} are the same program"
        )


def main() -> int:
    """Hunt as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=400, help="how many mutants; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="of the sample, and of the packets")
    parser.add_argument("--packets", type=int, default=PACKETS)
    parser.add_argument("--file", help="of one file only")
    parser.add_argument("--line", type=int, help="of one line only")
    parser.add_argument("--again", type=Path, help="only what survived in this --json file")
    parser.add_argument("--resume", action="store_true", help="not what --json knows already")
    parser.add_argument("--json", type=Path, help="where to write each mutant's fate")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        hunt = Hunt(Path(folder), asked.jobs, asked.packets, asked.seed)
        hunt.json = asked.json
        tree = Path(folder) / "tree0"
        every = [
            mutant
            for source in sources(tree / "dataplane" / "bpf", tree / "headers" / "packet")
            for mutant in source.mutants()
            if asked.file in (None, source.name) and asked.line in (None, mutant.line)
        ]
        if asked.again:
            rows = json.loads(asked.again.read_text())
            survived = {name for name, verdict, _ in rows if verdict == "survived"}
            every = [mutant for mutant in every if str(mutant) in survived]
        chosen = list(every)
        random.Random(asked.seed).shuffle(chosen)
        chosen = chosen[: asked.limit or len(chosen)]
        if asked.resume and asked.json.exists():
            known = {str(mutant): mutant for mutant in chosen}
            rows = json.loads(asked.json.read_text())
            hunt.found = [(known[name], *fate) for name, *fate in rows if name in known]
            judged = {str(mutant) for mutant, _, _ in hunt.found}
            chosen = [mutant for mutant in chosen if str(mutant) not in judged]
        print(f"{len(chosen)} of {len(every)} mutants, seed {asked.seed}", flush=True)
        wrong = hunt.prove()
        if wrong:
            print(f"the programs themselves do not pass: {wrong}")
            return 2
        with ThreadPoolExecutor(asked.jobs) as pool:
            list(pool.map(hunt.one, chosen))
    for name in sorted({mutant.file for mutant, _, _ in hunt.found}):
        part = Hunt.__new__(Hunt)
        part.found = [one for one in hunt.found if one[0].file == name]
        print(f"{name:16} {part.tally()}")
    print(f"{hunt.tally()}; {time.monotonic() - began:.0f} s")
    for mutant, _, _ in sorted(
        (one for one in hunt.found if one[1] == "survived"), key=lambda one: str(one[0])
    ):
        print(f"survivor: {mutant}")
    hunt.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
