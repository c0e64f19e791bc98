"""``foresteer packet make``: a hand-made steering packet, tagged with the instance's key."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from bus import Instance, derive_key
from dataplane.commands import engine
from dataplane.packet_commands import packet
from headers.packet import SteeringHeader, tag
from headers.packet.scapy_layer import NSH, Steering


def make(*options: str) -> str:
    addresses = ("--source", "10.1.0.1", "--destination", "10.2.0.1")
    result = CliRunner().invoke(packet, ["make", *addresses, *options])
    assert result.exit_code == 0, result.output
    return result.output.strip()


def test_made_packet_is_tagged_with_the_key_of_its_instance_and_epoch(
    instance_directory: Path,
) -> None:
    frame = bytes.fromhex(make("--circuit", "5", "--engine", "2", "--epoch", "3"))
    header = SteeringHeader.decode(frame[14:])
    assert (header.circuit, header.si, header.engine, header.epoch) == (5, 1, 2, 3)
    key = derive_key(Instance(instance_directory).secret(), "tag", 3)
    assert header.tag == tag(key, header, "10.1.0.1", "10.2.0.1")


def test_scapy_reads_the_made_packet_layer_by_layer(instance_directory: Path) -> None:
    frame = Ether(bytes.fromhex(make("--circuit", "9", "--payload", "hello")))
    assert [frame[NSH].circuit, frame[Steering].version] == [9, 1]
    assert (frame[IP].src, frame[IP].dst) == ("10.1.0.1", "10.2.0.1")
    assert bytes(frame[UDP].payload) == b"hello"


def test_wrong_tag_differs_in_the_tag_alone(instance_directory: Path) -> None:
    good = bytes.fromhex(make("--circuit", "5"))
    bad = bytes.fromhex(make("--circuit", "5", "--wrong-tag"))
    differing = [i for i, (a, b) in enumerate(zip(good, bad, strict=True)) if a != b]
    assert differing == [14 + 23]


def test_named_instance_has_a_key_of_its_own(tmp_path: Path, instance_directory: Path) -> None:
    here = make("--circuit", "5")
    there = make("--circuit", "5", "--instance", str(tmp_path / "other"))
    assert here[:-1] != there[:-1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--circuit", "5", "--source", "ten", "--destination", "10.2.0.1"), "ten"),
        (("--circuit", "5", "--source", "fd00::1", "--destination", "10.2.0.1"), "fd00::1"),
        (("--circuit", "0", "--source", "10.1.0.1", "--destination", "10.2.0.1"), "circuit"),
        (("--source", "10.1.0.1", "--destination", "10.2.0.1"), "circuit"),
    ],
)
def test_wrong_option_ends_in_one_line_that_names_it(
    instance_directory: Path, options: tuple[str, ...], words: str
) -> None:
    result = CliRunner().invoke(packet, ["make", *options])
    assert result.exit_code != 0
    assert words in result.output
    assert "Traceback" not in result.output


def test_key_that_others_may_read_is_not_used(instance_directory: Path) -> None:
    make("--circuit", "5")
    (instance_directory / "domain.key").chmod(0o644)
    options = ["make", "--circuit", "5", "--source", "10.1.0.1", "--destination", "10.2.0.1"]
    result = CliRunner().invoke(packet, options)
    assert result.exit_code == 1
    assert "chmod 600" in result.output


def test_engine_command_refuses_a_file_that_is_no_network(
    instance_directory: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "network.json"
    wrong.write_text("[]")
    result = CliRunner().invoke(engine, ["--network", str(wrong)])
    assert result.exit_code == 1
    assert "version" in result.output


def test_second_agent_of_an_instance_is_refused(instance_directory: Path, tmp_path: Path) -> None:
    held = Instance(instance_directory).hold("agent")
    assert held is not None
    network = tmp_path / "network.json"
    network.write_text("{}")
    result = CliRunner().invoke(engine, ["--network", str(network)])
    assert result.exit_code == 1
    assert "running already" in result.output
