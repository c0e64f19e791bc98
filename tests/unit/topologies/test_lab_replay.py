"""The replayer: one layout in two languages, and files that are not its own."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from topologies.errors import LabError
from topologies.lab import replay
from topologies.lab.replay import FRAME, MAGIC, MAX_HOSTS, Replay, ReplayHost, compile_replayer

LAYOUTS = {
    "header": replay._HEADER,
    "host": replay._HOST,
    "demand": replay._DEMAND,
    "tally": replay._TALLY,
}
HOSTS = [
    ReplayHost(1, "h1-eth0", "10.1.0.1", "02:00:00:00:00:01"),
    ReplayHost(1, "h2-eth0", "10.2.0.1", "02:00:00:00:00:02"),
    ReplayHost(1, "h3-eth0", "10.3.0.1", "02:00:00:00:00:03"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_replayer(tmp_path_factory.mktemp("replayer"))


@pytest.fixture
def one_compiler_run(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every replay of a test use the program that is compiled already."""
    monkeypatch.setattr(replay, "compile_replayer", lambda _directory: program)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Sizes and offsets of the C structs, as the compiler sees them."""
    directory = tmp_path_factory.mktemp("layout")
    text = replay.SOURCE.read_text()
    start, stop = text.index("struct header {"), text.index("struct payload {")
    lines = []
    for name, dtype in LAYOUTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        lines += [
            f'printf("{name}.{field} %zu\\n", offsetof(struct {name}, {field}));'
            for field in dtype.names or ()
        ]
    (directory / "layout.c").write_text(
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n"
        + text[start:stop]
        + "int main(void) {\n"
        + "\n".join(lines)
        + "\nreturn 0;\n}\n"
    )
    command = ["gcc", "-w", "-o", str(directory / "layout"), str(directory / "layout.c")]
    subprocess.run(command, check=True)
    out = subprocess.run(
        [str(directory / "layout")], check=True, capture_output=True, text=True
    ).stdout
    return {name: int(value) for name, value in (line.split() for line in out.splitlines())}


@pytest.mark.parametrize("name", LAYOUTS)
def test_struct_is_laid_out_alike_in_both_languages(compiled: dict[str, int], name: str) -> None:
    dtype = LAYOUTS[name]
    assert compiled[name] == dtype.itemsize
    fields = dtype.fields or {}
    assert {f: compiled[f"{name}.{f}"] for f in fields} == {f: at[1] for f, at in fields.items()}


def test_constants_are_the_same_in_both_languages() -> None:
    defines = dict(re.findall(r"#define (\w+) (\w+)$", replay.SOURCE.read_text(), re.MULTILINE))
    assert int(defines["MAGIC"].rstrip("u"), 16) == MAGIC
    assert int(defines["MAX_HOSTS"]) == MAX_HOSTS


def make(directory: Path, **options: float) -> Replay:
    rates = np.arange(18.0).reshape(2, 3, 3)
    settings = {"router_mac": "02:f0:00:00:00:01", "step_s": 0.5, **options}
    return Replay(directory, HOSTS, rates, **settings)  # type: ignore[arg-type]


@pytest.mark.usefixtures("one_compiler_run")
def test_shared_file_holds_what_the_replayer_reads(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.start_at(12.5)
    data = made.path.read_bytes()
    head = np.frombuffer(data, replay._HEADER, 1)[0]
    counts = [int(head[name]) for name in ("magic", "intervals", "demands", "hosts", "frame")]
    assert counts == [MAGIC, 2, 6, 3, FRAME]
    assert (head["origin_ns"], head["step_ns"]) == (12_500_000_000, 500_000_000)
    at = replay._HEADER.itemsize
    hosts = np.frombuffer(data, replay._HOST, 3, at)
    assert data[at + 20 : at + 24] == bytes([10, 1, 0, 1])  # as in a packet
    assert [bytes(h["ifname"]) for h in hosts] == [b"h1-eth0", b"h2-eth0", b"h3-eth0"]
    at += hosts.nbytes
    pairs = np.frombuffer(data, replay._DEMAND, 6, at).tolist()
    assert pairs == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    rates = np.frombuffer(data, "<f8", 12, at + 8 * 6)
    assert rates.tolist() == [1, 2, 3, 5, 6, 7, 10, 11, 12, 14, 15, 16]


@pytest.mark.usefixtures("one_compiler_run")
def test_counts_come_back_as_matrices_by_source_and_destination(tmp_path: Path) -> None:
    made = make(tmp_path)
    tallies = made._tallies
    tallies["sent"][1] = [1, 2, 3, 4, 5, 6]
    assert made.counts("sent")[1].tolist() == [[0, 1, 2], [3, 0, 4], [5, 6, 0]]
    assert not made.counts("sent")[0].any()
    assert not made.counts("received").any()


@pytest.mark.usefixtures("one_compiler_run")
def test_stop_is_seen_in_the_shared_file(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.stop()
    head = np.frombuffer(made.path.read_bytes(), replay._HEADER, 1)[0]
    assert head["stop"] == 1


def test_more_hosts_than_the_replayer_serves_are_refused(tmp_path: Path) -> None:
    count = MAX_HOSTS + 1
    with pytest.raises(LabError, match="at most 64"):
        Replay(
            tmp_path,
            HOSTS[:1] * count,
            np.zeros((1, count, count)),
            router_mac="02:f0:00:00:00:01",
            step_s=1.0,
        )


def run(program: Path, *arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stderr


def test_replayer_without_a_file_tells_its_usage(program: Path) -> None:
    assert run(program) == (2, "usage: replay SHARED_FILE\n")


def test_file_that_is_not_there_is_named(program: Path, tmp_path: Path) -> None:
    status, words = run(program, tmp_path / "none")
    assert (status, words) == (1, f"replay: {tmp_path}/none: No such file or directory\n")


@pytest.mark.parametrize("content", [b"x", b"x" * 64, bytes(64), b"x" * 100_000])
def test_foreign_file_ends_in_one_line(program: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    status, words = run(program, tmp_path / "file")
    assert (status, words) == (2, f"replay: {tmp_path}/file is not a replay file\n")


@pytest.mark.parametrize(
    ("field", "value"),
    [("hosts", 65), ("frame", 4000), ("frame", 60), ("flows", 0), ("step_ns", 0)],
)
@pytest.mark.usefixtures("one_compiler_run")
def test_file_with_an_impossible_header_ends_in_one_line(
    program: Path, tmp_path: Path, field: str, value: int
) -> None:
    made = make(tmp_path)
    made._head[0][field] = value
    status, words = run(program, made.path)
    assert (status, words) == (2, f"replay: {made.path} is not a replay file\n")


@pytest.mark.usefixtures("one_compiler_run")
def test_file_that_is_cut_short_ends_in_one_line(program: Path, tmp_path: Path) -> None:
    made = make(tmp_path)
    whole = made.path.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 65):
        (tmp_path / "cut").write_bytes(whole[:size])
        status, words = run(program, tmp_path / "cut")
        assert (status, words) == (2, f"replay: {tmp_path}/cut is cut short\n")


@pytest.mark.usefixtures("one_compiler_run")
def test_host_that_is_gone_is_named(program: Path, tmp_path: Path) -> None:
    made = make(tmp_path)
    hosts = np.frombuffer(made._memory, replay._HOST, 3, replay._HEADER.itemsize)
    hosts["pid"] = 2**22 + 1  # above what Linux gives out
    status, words = run(program, made.path)
    assert status == 1
    assert "/proc/4194305/ns/net" in words


def test_program_that_does_not_compile_is_an_error_in_the_compilers_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.c"
    broken.write_text("int main(void) { return nothing; }\n")
    monkeypatch.setattr(replay, "SOURCE", broken)
    with pytest.raises(LabError, match=r"(?s)does not compile: .*nothing"):
        compile_replayer(tmp_path)


def test_missing_compiler_is_an_error_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="install gcc"):
        compile_replayer(tmp_path)
