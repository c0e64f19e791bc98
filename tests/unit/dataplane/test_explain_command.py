"""``foresteer packet explain``: what it reads, and one line for what it cannot read."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from bus import Instance
from dataplane.explain import frames_of
from dataplane.packet_commands import packet
from dataplane.pcap import PcapWriter
from headers.errors import FormatError


def made(*options: str) -> str:
    result = CliRunner().invoke(packet, ["make", "--circuit", "5", "--engine", "2", *options])
    assert result.exit_code == 0, result.output
    return result.output.strip()


IPV4 = ("--source", "10.1.0.1", "--destination", "10.2.0.1")
IPV6 = ("--source", "fd01::1", "--destination", "fd02::1")
ECHO = ("--echo", "--reply-circuit", "21")


def explained(*options: str, given: bytes = b"") -> Result:
    return CliRunner().invoke(packet, ["explain", *options], input=given)


@pytest.mark.parametrize("kind", [IPV4, IPV6, ECHO])
def test_made_packet_has_the_right_tag_and_a_spoiled_one_has_not(
    instance_directory: Path, kind: tuple[str, ...]
) -> None:
    for options, words in (((), "ok     tag"), (("--wrong-tag",), "wrong  tag")):
        result = explained(made(*kind, *options))
        assert result.exit_code == 0, result.output
        assert words in result.output


def test_packets_of_another_instance_have_a_wrong_tag(
    instance_directory: Path, tmp_path: Path
) -> None:
    other = made(*IPV4, "--instance", str(tmp_path / "other"))
    Instance(instance_directory).secret()
    assert "wrong  tag" in explained(other).output
    assert "ok     tag" in explained(other, "--instance", str(tmp_path / "other")).output


def test_key_is_never_printed(instance_directory: Path) -> None:
    frame = made(*IPV4)
    key = (instance_directory / "domain.key").read_text()
    for options in ((), ("--json",)):
        text = explained(frame, *options).output
        assert not any(key[at : at + 8] in text for at in range(len(key) - 8))


def test_explaining_makes_no_instance(instance_directory: Path) -> None:
    frame = "ff" * 60
    assert explained(frame).exit_code == 0
    assert not instance_directory.exists()


def test_standard_input_file_and_word_are_explained_alike(
    instance_directory: Path, tmp_path: Path
) -> None:
    frame = made(*IPV4)
    capture, digits = tmp_path / "one.pcap", tmp_path / "one.hex"
    with capture.open("wb") as file, PcapWriter(file) as writer:
        writer.write(0, bytes.fromhex(frame))
    digits.write_text(f"0x{frame}\n")
    wanted = explained(frame).output
    assert explained(str(capture)).output == wanted
    assert explained(str(digits)).output == wanted
    assert explained(given=frame.encode()).output == wanted
    assert explained("-", given=capture.read_bytes()).output == wanted


def test_several_packets_are_numbered(instance_directory: Path) -> None:
    lines = f"{made(*IPV4)}\n\n{made(*ECHO)}\n".encode()
    assert explained(given=lines).output.count("Packet ") == 2
    rows = [json.loads(line) for line in explained("--json", given=lines).output.splitlines()]
    assert [row["packet"] for row in rows] == [1, 2]
    assert rows[1]["summary"] == "an echo, no fault found"
    assert {check["state"] for check in rows[0]["checks"]} == {"ok", "open"}


@pytest.mark.parametrize(
    ("what", "given", "words"),
    [
        ("abc", b"", "odd number of hexadecimal digits (3)"),
        ("0xzz", b"", "'z' is no hexadecimal digit"),
        ("none.pcap", b"", "there is no file none.pcap"),
        ("/", b"", "Is a directory"),
        ("", b"", "nothing to explain"),
        ("-", b"", "no digits"),
        ("-", b"\n  \n", "no digits"),
        ("-", b"aabb\nabc\n", "line 2: an odd number"),
        ("-", b"\xff\xfe\xfd\xfc\xfb", "neither a capture file nor hexadecimal digits"),
        ("-", b"\x0a\x0d\x0d\x0a" + bytes(24), "pcapng"),
        ("-", b"\xd4\xc3\xb2\xa1" + bytes(5), "ends within its header"),
    ],
)
def test_what_cannot_be_read_ends_in_one_line_that_says_why(
    instance_directory: Path, what: str, given: bytes, words: str
) -> None:
    result = explained(what, given=given)
    assert result.exit_code == 1
    assert words in result.output
    assert result.output.count("\n") == 1


@pytest.mark.slow
def test_reader_that_has_read_enough_is_no_error(instance_directory: Path) -> None:
    command = "from dataplane.packet_commands import packet; packet()"
    child = subprocess.Popen(
        [sys.executable, "-c", command, "explain"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin
    assert child.stdout
    assert child.stderr
    child.stdin.write(b"aabb\n" * 10_000)
    child.stdin.close()
    assert child.stdout.readline().startswith(b"Packet 1: 2 bytes")
    child.stdout.close()
    child.wait(20)
    assert child.stderr.read() == b""
    child.stderr.close()


def test_empty_capture_is_said_to_be_empty(instance_directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "none.pcap"
    with file.open("wb") as out:
        PcapWriter(out)
    result = explained(str(file))
    assert result.exit_code == 1
    assert "without a frame" in result.output


@pytest.mark.parametrize(
    "options", [("--port", "e1f"), ("--pins", "/nowhere"), ("--instance", "/nowhere")]
)
def test_tables_that_were_asked_for_and_are_not_there_are_an_error(
    instance_directory: Path, options: tuple[str, ...]
) -> None:
    result = explained("ff" * 60, *options)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1


def test_secret_that_others_may_read_is_not_used(instance_directory: Path) -> None:
    frame = made(*IPV4)
    (instance_directory / "domain.key").chmod(0o644)
    result = explained(frame)
    assert result.exit_code == 1
    assert "chmod 600" in result.output


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--source", "10.1.0.1"),
        ("--echo",),
        ("--echo", "--reply-circuit", "5", *IPV4),
        ("--source", "fd00::1", "--destination", "10.2.0.1"),
    ],
)
def test_packet_that_cannot_be_made_is_one_line(
    instance_directory: Path, options: tuple[str, ...]
) -> None:
    result = CliRunner().invoke(packet, ["make", "--circuit", "5", *options])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1


@given(st.binary(max_size=100))
def test_any_input_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        for frame in frames_of("-", io.BytesIO(data)):
            assert len(frame.data) <= frame.length


@given(st.text(max_size=40))
def test_any_word_is_read_or_refused(word: str) -> None:
    with contextlib.suppress(FormatError, OSError):
        assert list(frames_of(word, io.BytesIO(b"")))
