"""One mutant before the fuzzer: ``python -m tests.fuzz.judge BASELINE PACKETS SEED FILE``.

Runs in namespaces of its own, in the folder of a copy of the sources. Prints one word and why:
``compile``, ``verifier``, ``same`` (it is no other program), ``fuzz`` (killed) or ``survived``.
With 0 PACKETS it writes the baseline. FILE is the one that may be wrong.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from dataplane import loader, syscall
from dataplane.errors import LoadError
from tests.fuzz.differential import fuzz
from tests.fuzz.world import CONNECTIONS, EVENT_PAGES

Compiled = tuple[dict[str, bytes], dict[str, int], object]


def normal(code: dict[str, bytes], maps: dict[str, int]) -> dict[str, str]:
    """Return programs and maps in words that do not depend on descriptors."""
    names = sorted(maps)
    numbers = {maps[name]: place for place, name in enumerate(names)}
    found = {name: loader.relocated(body, numbers).hex() for name, body in code.items()}
    return found | {name: str(syscall.map_info(maps[name])) for name in names}


def judge(baseline: Path, packets: int, seed: int, base: Path, file: str) -> tuple[str, str]:
    """Return what becomes of the programs as they are here, of which one file may be wrong."""
    flags = loader.load_flags(CONNECTIONS, EVENT_PAGES)
    files = [file] if file in loader._SOURCES else list(loader._SOURCES)
    names = [name for each in files for name in loader._SOURCES[each]]
    try:
        code, maps, module = loader.compiled(loader.source(files), names, flags, base / "stub")
    except LoadError as error:
        return "compile", str(error)
    now = normal(code, maps)
    if not packets:
        baseline.write_text(json.dumps(now))
        return "baseline", ""
    known = json.loads(baseline.read_text())
    if now.items() <= known.items():
        return "same", ""
    # what lies in other files is as it was
    descriptors = dict(enumerate(maps[name] for name in sorted(maps)))
    for name in loader.PROGRAMS:
        if name not in code:
            code[name] = loader.relocated(bytes.fromhex(known[name]), descriptors)
    ready: Compiled = code, maps, module
    loader._compiled_in_two = lambda *_: ready
    try:
        loader.compile_and_pin(base / "bpf", base / "stub", CONNECTIONS, EVENT_PAGES)
    except LoadError as error:
        return "verifier", str(error)[:300]
    try:
        fuzz([(packets, seed)], base)
    except Exception as error:
        return "fuzz", str(error).split("\n", maxsplit=1)[0][:200]
    return "survived", ""


def main() -> int:
    """Judge what lies in the present folder."""
    baseline, packets = Path(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "bpf").mkdir()
        subprocess.run(["mount", "-t", "bpf", "bpf", str(base / "bpf")], check=True)
        try:
            verdict = judge(baseline, packets, int(sys.argv[3]), base, sys.argv[4])
        finally:
            subprocess.run(["umount", "-l", str(base / "bpf")], check=False)
    print(json.dumps(verdict))
    return 0


if __name__ == "__main__":
    sys.exit(main())
