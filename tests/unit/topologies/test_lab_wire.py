"""The wire: one layout in two languages, which cables have one, and files that are not its own."""

import re
import subprocess
from pathlib import Path

import pytest

from headers.files import Link, Node, Topology
from topologies import cabling
from topologies.cabling import Cabling
from topologies.errors import LabError
from topologies.lab import wire
from topologies.lab.compiler import compile_program
from topologies.lab.wire import MAGIC, MAX_ENDS, Cable, Wire, far_side

LAYOUTS = {"header": wire._HEADER, "end": wire._END}
CABLE = Cable("s1-eth2", "s2-eth2", 5.0, 7.0, 20e6, 20e6)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(wire.SOURCE, tmp_path_factory.mktemp("wire"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_struct_is_laid_out_alike_in_both_languages(tmp_path: Path, name: str) -> None:
    dtype, text = LAYOUTS[name], wire.SOURCE.read_text()
    start, stop = text.index("struct header {"), text.index("struct side {")
    lines = [f'printf("%zu\\n", sizeof(struct {name}));']
    lines += [f'printf("%zu\\n", offsetof(struct {name}, {f}));' for f in dtype.names or ()]
    (tmp_path / "layout.c").write_text(
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n"
        f"{text[start:stop]}int main(void) {{ {' '.join(lines)} return 0; }}\n"
    )
    layout = tmp_path / "layout"
    subprocess.run(["gcc", "-w", "-o", layout, tmp_path / "layout.c"], check=True)
    found = subprocess.run([layout], check=True, capture_output=True, text=True).stdout.split()
    fields = dtype.fields or {}
    assert list(map(int, found)) == [dtype.itemsize, *(fields[f][1] for f in dtype.names or ())]


def test_constants_are_the_same_in_both_languages() -> None:
    defines = dict(re.findall(r"#define (\w+) (\w+)$", wire.SOURCE.read_text(), re.MULTILINE))
    assert int(defines["MAGIC"].rstrip("u"), 16) == MAGIC
    assert int(defines["MAX_ENDS"]) == MAX_ENDS
    states = re.search(r"enum state \{([^}]*)\}", wire.SOURCE.read_text())
    assert states is not None
    assert [x.strip() for x in states[1].split(",")] == ["STATE_UP", "STATE_DOWN", "STATE_SILENT"]
    assert (wire.UP, wire.DOWN, wire.SILENT) == (0, 1, 2)


@pytest.fixture
def one_cable(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wire:
    monkeypatch.setattr(wire, "compile_program", lambda *_: program)
    return Wire(tmp_path, [CABLE])


def test_each_direction_has_its_delay_and_room_for_what_is_on_its_way(one_cable: Wire) -> None:
    there, back = one_cable._ends
    assert (there["ifname"], there["port"]) == (far_side("s1-eth2").encode(), b"s1-eth2")
    assert (there["delay_ns"], back["delay_ns"]) == (5_000_000, 7_000_000)
    assert (there["other"], back["other"]) == (1, 0)
    # 20 Mb/s for 5 ms, in the shortest frames
    assert there["frames"] >= 20e6 * 0.005 / 480


def test_cut_is_of_both_directions_unless_one_is_asked_for(one_cable: Wire) -> None:
    one_cable.cut("s2-eth2", wire.SILENT, None)
    assert list(one_cable._ends["state"]) == [2, 2]
    one_cable.cut("s2-eth2", wire.UP, None)
    one_cable.cut("s2-eth2", wire.SILENT, None, one_way=True)
    assert list(one_cable._ends["state"]) == [0, 2]


@pytest.mark.parametrize("content", [b"", b"nothing of ours", bytes(400)])
def test_file_that_is_not_a_wires_is_refused(program: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("wire: ")


def test_too_many_cables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cables"):
        Wire(tmp_path, [CABLE] * (MAX_ENDS // 2 + 1))


@pytest.mark.parametrize(
    ("delay_ms", "netem", "options", "wired", "words"),
    [
        (5.0, False, {}, True, "wires"),
        (5.0, True, {}, False, "netem"),
        (5.0, False, {"delay": False}, False, "not wanted"),
        (None, False, {}, False, "has none"),
        (None, True, {"wire": True}, True, "has none"),
    ],
)
def test_wire_is_where_there_is_a_length_and_no_netem_or_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    delay_ms: float | None,
    netem: bool,
    options: dict[str, bool],
    wired: bool,
    words: str,
) -> None:
    monkeypatch.setattr(cabling, "has_netem", lambda: netem)
    shape = Topology("t", (Node("x"), Node("y")), (Link("x", "y", 1.0, 1.0, delay_ms),))
    made = Cabling(dict.fromkeys(shape.links, 1e6), **{"delay": True, "wire": False, **options})
    assert made.wired is wired
    assert words in made.about_delay()
