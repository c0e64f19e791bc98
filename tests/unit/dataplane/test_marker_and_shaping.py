"""A customer's marker and a shaped link: what needs no kernel."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bus import Instance
from bus.keys import customer_secret
from controller.commands import keys
from dataplane.commands import mark, shape
from dataplane.errors import DataplaneError
from dataplane.marker import Marking, desired, read_secret
from dataplane.shaping import PRIORITIES, shape_link, tc_lines


def secret_file(tmp_path: Path, text: str = "ab" * 32, mode: int = 0o600) -> Path:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_secret_is_read_from_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    assert read_secret(secret_file(tmp_path)) == b"\xab" * 32


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("ab" * 32, 0o640, "can be read by others: chmod 600"),
        ("ab" * 31, 0o600, "holds 31 bytes, not 32"),
        ("xyz", 0o600, "no hexadecimal digits"),
    ],
)
def test_secret_that_is_no_secret_is_refused_in_words(
    tmp_path: Path, text: str, mode: int, words: str
) -> None:
    with pytest.raises(DataplaneError, match=words):
        read_secret(secret_file(tmp_path, text, mode))


def test_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataplaneError, match="none: No such file"):
        read_secret(tmp_path / "none")


def test_marker_wishes_for_circuits_by_prefix() -> None:
    wanted = desired(Marking({"10.2.0.0/16": 70, "fd02::/64": 71}, 3, 9, 5))
    (engine,) = wanted.engines
    assert wanted.epoch == 3
    assert [(d.prefix, set(d.buckets)) for d in engine.demands] == [
        ("10.2.0.0/16", {70}),
        ("fd02::/64", {71}),
    ]
    assert {c.spi: (c.c1, c.c2, c.si) for c in engine.circuits} == {
        70: (0, 1 << 28 | 9 << 24 | 5 << 8, 1),
        71: (0, 1 << 28 | 9 << 24 | 5 << 8, 1),
    }


@pytest.mark.parametrize("circuit", ["10.2.0.0/16", "10.2.0.0/16=", "10.2.0.0/16=x", "=-1"])
def test_circuit_that_is_no_pair_is_refused(tmp_path: Path, circuit: str) -> None:
    secret = str(secret_file(tmp_path))
    done = CliRunner().invoke(
        mark,
        ["--inside", "a", "--outside", "b", "--secret", secret, "--circuit", circuit],
    )
    assert done.exit_code == 2
    assert "is no PREFIX=NUMBER" in done.output


@given(st.floats(1e4, 1e11))
def test_every_priority_has_a_class_and_a_queue_and_higher_ones_go_first(rate: float) -> None:
    lines = tc_lines("eth0", rate)
    classes = [line for line in lines if line.startswith("class") and "parent 1:1 " in line]
    queues = [line for line in lines if "pfifo_head_drop" in line]
    assert len(classes) == len(queues) == PRIORITIES
    order = [int(line.split(" prio ")[1]) for line in classes]
    assert order == sorted(order, reverse=True)
    assert (order[0], order[-1]) == (7, 0)
    assert all(f"ceil {int(rate)} " in line for line in classes)


def test_rate_must_be_above_zero_and_the_port_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rate of 0"):
        shape_link("lo", 0, tmp_path)
    done = CliRunner().invoke(shape, ["nosuchport", "--rate", "5", "--pins", str(tmp_path)])
    assert done.exit_code == 1
    assert "there is no interface nosuchport" in done.output


def test_customers_secret_is_written_for_its_owner_once(tmp_path: Path) -> None:
    instance, out = Instance(tmp_path / "instance"), tmp_path / "customer"
    arguments = ["customer", "9", "-o", str(out), "--instance", str(tmp_path / "instance")]
    done = CliRunner().invoke(keys, arguments)
    assert done.exit_code == 0, done.output
    assert out.stat().st_mode & 0o777 == 0o600
    secret = read_secret(out)
    assert secret == customer_secret(instance.secret(), 9)
    assert secret.hex() not in done.output
    again = CliRunner().invoke(keys, arguments)
    assert again.exit_code == 1
    assert "File exists" in again.output


def test_epoch_without_a_bus_is_an_error_in_one_line(tmp_path: Path) -> None:
    for command in ("show", "rotate"):
        done = CliRunner().invoke(keys, [command, "--instance", str(tmp_path / "instance")])
        assert done.exit_code == 1
        assert done.output.startswith("Error: ")
        assert len(done.output.splitlines()) == 1
