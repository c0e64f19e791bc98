"""``foresteer capture``: frames sampled by the real programs on real veths, decoded by tshark."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from dataplane import loader
from dataplane.bpffs import mount_bpffs
from dataplane.capture import attached_ports
from dataplane.desired import State
from dataplane.keys import write_keys
from dataplane.maps import PORT, U32, Maps, open_maps
from dataplane.netns import network_namespace
from dataplane.pcap import Frame, read_pcap
from dataplane.ports import attach_engine
from dataplane.tools_commands import capture
from headers.files.network import Engine
from headers.messages import ApplyEngines, EdgeCircuit, EngineDemand, EngineDesired
from tests.bpf.tools import Namespaces
from tests.interop.conftest import decode_file

ROUTER_MAC = "02:f0:00:00:00:01"
RUN = "from dataplane.tools_commands import capture; capture()"
CIRCUIT = 5


def frame(dst: str = "10.2.0.1", payload: int = 40) -> bytes:
    return bytes(
        Ether(src="02:00:00:00:00:01", dst=ROUTER_MAC)
        / IP(src="10.1.0.1", dst=dst)
        / UDP(sport=1234, dport=9)
        / (b"x" * payload)
    )


@dataclass
class Site:
    """An engine that marks what comes for 10.2.0.0/16, and the host before it."""

    engine: int
    host: int
    maps: Maps
    directory: Path
    pins: Path

    def send(self, what: bytes, times: int, into: str = "e-eth1") -> None:
        """Send a frame into a port, again and again."""
        pid, peer = (self.host, "h-eth0") if into == "e-eth1" else (self.engine, "s-eth1")
        with network_namespace(pid):
            handle = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            handle.bind((peer, 0))
        with handle:
            for _ in range(times):
                handle.send(what)

    def rates(self) -> dict[str, int]:
        return {
            port.name: PORT.unpack(self.maps.ports.get(U32.pack(port.ifindex)) or b"")[-1]
            for port in attached_ports(self.pins)
            if port.name.startswith("e-")
        }

    def until_rate(self, rate: int) -> None:
        deadline = time.monotonic() + 10
        while self.rates()["e-eth1"] != rate:
            assert time.monotonic() < deadline, self.rates()
            time.sleep(0.005)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("capture")
    pins = base / "instance" / "bpf"
    mount_bpffs(pins)
    try:
        with Namespaces() as namespaces:
            yield _build(namespaces, base, pins)
    finally:
        subprocess.run(["umount", str(pins)], check=True)


def _build(namespaces: Namespaces, base: Path, pins: Path) -> Site:
    engine, host = namespaces.start(), namespaces.start()
    quiet = "sysctl -qw net.ipv6.conf.default.disable_ipv6=1"
    for pid, line in (
        (engine, quiet),
        (host, quiet),
        (engine, f"ip link add e-eth1 type veth peer name h-eth0 netns {host}"),
        (engine, "ip link add e-eth2 mtu 1600 type veth peer name s-eth1 mtu 1600"),
        (engine, "ip link set e-eth1 up"),
        (engine, "ip link set e-eth2 up"),
        (engine, "ip link set s-eth1 up"),
        (host, "ip link set h-eth0 up"),
    ):
        subprocess.run(f"nsenter --net=/proc/{pid}/ns/net {line}", shell=True, check=True)
    loader.ensure_loaded(pins, base / "stub")
    maps = open_maps(pins)
    write_keys(maps, bytes(range(32)), 0, ())
    with network_namespace(engine):
        attached = attach_engine(
            Engine("e", 1, ("e-eth1",), "e-eth2", 1, None, "s-eth1"),
            maps,
            pins,
            max_frame=1614,
            router_mac=bytes.fromhex(ROUTER_MAC.replace(":", "")),
        )
    done = State(maps, {1: attached}).apply(
        ApplyEngines(
            term=1,
            generation=1,
            epoch=0,
            forecast=77,
            router_mac=ROUTER_MAC,
            engines=(
                EngineDesired(
                    1,
                    (EngineDemand("10.2.0.0/16", (CIRCUIT,) * 256),),
                    (EdgeCircuit(CIRCUIT, 2 << 16, 1 << 28, 1),),
                    (),
                    (),
                ),
            ),
        )
    )
    assert done.mismatches == 0
    return Site(engine, host, maps, base, pins)


@pytest.fixture
def start(site: Site, tmp_path: Path) -> Iterator[Start]:
    """Start a capture of the host port in a process of its own; wait until it samples."""
    children: list[subprocess.Popen[str]] = []

    def run(*options: str, rate: int = 1, wait: bool = True) -> subprocess.Popen[str]:
        words = ["e-eth1", "--instance", str(site.directory / "instance"), "--rate", str(rate)]
        children.append(
            subprocess.Popen(
                [sys.executable, "-c", RUN, *words, *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        if wait:
            site.until_rate(rate)
        return children[-1]

    yield run
    for child in children:
        child.terminate()  # with the rate taken back, for the tests that follow
        child.communicate(timeout=20)


def command(site: Site, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        capture, [*words, "--instance", str(site.directory / "instance"), "--seconds", "0.1"]
    )
    return result.exit_code, result.output


def read(path: Path) -> list[Frame]:
    with path.open("rb") as file:
        return list(read_pcap(file))


def test_frames_are_written_as_they_came_and_as_they_left_and_tshark_reads_them(
    site: Site, start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "port.pcap"
    child = start("--count", "20", "-o", str(path))
    sent_ns = time.time_ns()
    site.send(frame(), 10)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 0, said
    assert said == "20 frames written (in 10, redirect 10), 0 lost\n"
    frames = read(path)
    assert [one.data for one in frames[::2]] == [frame()] * 10
    assert all(abs(one.time_ns - sent_ns) < 5e9 for one in frames)
    packets = decode_file(path)
    assert [p["frame"]["frame.protocols"] for p in packets] == [
        "eth:ethertype:ip:udp:data",
        "eth:ethertype:nsh:ip:udp:data",
    ] * 10
    assert {p["nsh"]["nsh.spi"] for p in packets[1::2]} == {str(CIRCUIT)}
    assert {p["ip"]["ip.checksum.status"] for p in packets} == {"1"}
    assert "_ws." not in str(packets)
    assert site.rates() == {"e-eth1": 0, "e-eth2": 0}


def test_frame_that_is_passed_on_is_there_with_its_verdict(
    site: Site, start: Start, tmp_path: Path
) -> None:
    child = start("--count", "2", "-o", str(tmp_path / "port.pcap"))
    site.send(frame("10.9.0.1"), 1)
    _, said = child.communicate(timeout=20)
    assert said == "2 frames written (in 1, pass 1), 0 lost\n"


def test_large_frame_is_cut_and_keeps_its_length(site: Site, start: Start, tmp_path: Path) -> None:
    path = tmp_path / "port.pcap"
    child = start("--count", "2", "-o", str(path))
    site.send(frame(payload=1400), 1)
    child.communicate(timeout=20)
    assert [(len(one.data), one.length) for one in read(path)] == [(256, 1442), (256, 1466)]
    nsh = decode_file(path)[1]["nsh"]
    assert nsh["nsh.spi"] == str(CIRCUIT)


def test_standard_output_can_be_piped(site: Site, start: Start) -> None:
    with subprocess.Popen(
        ["tshark", "-r", "-", "-T", "fields", "-e", "nsh.spi"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as reader:
        assert reader.stdin is not None
        words = ["e-eth1", "--instance", str(site.directory / "instance"), "--count", "2"]
        with subprocess.Popen(
            [sys.executable, "-c", RUN, *words, "-o", "-"],
            stdout=reader.stdin,
            stderr=subprocess.PIPE,
        ) as child:
            site.until_rate(1)
            site.send(frame(), 1)
            assert child.wait(20) == 0
        out, _ = reader.communicate(timeout=20)
    assert out.split() == [b"5"]


def test_one_frame_in_so_many_is_taken(site: Site, start: Start, tmp_path: Path) -> None:
    path = tmp_path / "port.pcap"
    child = start("--seconds", "60", "-o", str(path), rate=20)
    site.send(frame(), 4000)
    child.send_signal(signal.SIGINT)  # what was sampled before it is written all the same
    child.communicate(timeout=20)
    assert 120 < len(read(path)) / 2 < 300  # 200 expected, standard deviation 14


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_it_in_order_and_the_rate_is_taken_back(
    site: Site, start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "port.pcap"
    child = start("--seconds", "60", "-o", str(path))
    site.send(frame(), 3)
    child.send_signal(number)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 0, said
    assert "6 frames written" in said
    assert len(read(path)) == 6
    assert site.rates()["e-eth1"] == 0


def test_full_disk_is_said_in_a_line_and_the_rate_is_taken_back(site: Site, start: Start) -> None:
    child = start("--seconds", "60", "-o", "/dev/full", wait=False)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 1
    assert said == "Error: /dev/full: No space left on device\n"
    assert site.rates()["e-eth1"] == 0


def test_samples_that_found_no_room_are_counted(site: Site, start: Start, tmp_path: Path) -> None:
    path = tmp_path / "port.pcap"
    child = start("--seconds", "60", "-o", str(path))
    child.send_signal(signal.SIGSTOP)
    site.send(frame(), 3000)  # two samples each; the ring holds some 3,600
    child.send_signal(signal.SIGCONT)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=20)
    written, lost = int(said.split()[0]), int(said.split()[-2])
    assert 3000 < written < 4000
    assert written + lost == 6000


def test_rate_that_a_killed_capture_left_is_taken_away_by_the_next(
    site: Site, start: Start, tmp_path: Path
) -> None:
    child = start("--seconds", "60", "-o", str(tmp_path / "one.pcap"), rate=3)
    child.kill()
    child.wait()
    assert site.rates()["e-eth1"] == 3
    code, _ = command(site, "e-eth2", "-o", str(tmp_path / "two.pcap"))
    assert code == 0
    assert site.rates() == {"e-eth1": 0, "e-eth2": 0}
    assert read(tmp_path / "two.pcap") == []


def test_samples_that_a_killed_capture_left_are_not_taken_for_new_ones(
    site: Site, start: Start, tmp_path: Path
) -> None:
    child = start("--seconds", "60", "-o", str(tmp_path / "one.pcap"))
    child.send_signal(signal.SIGSTOP)
    site.send(frame(), 50)
    child.kill()
    child.wait()
    assert command(site, "e-eth1", "-o", str(tmp_path / "two.pcap"))[0] == 0
    assert read(tmp_path / "two.pcap") == []


def test_samples_of_another_port_are_left_out(site: Site, start: Start, tmp_path: Path) -> None:
    child = start("--seconds", "60", "-o", str(tmp_path / "one.pcap"))
    other = next(port for port in attached_ports(site.pins) if port.name == "e-eth2")
    key = U32.pack(other.ifindex)
    fields = PORT.unpack(site.maps.ports.get(key) or b"")
    site.maps.ports.set(key, PORT.pack(*fields[:-1], 1))
    site.send(frame(), 5, into="e-eth2")
    site.maps.ports.set(key, PORT.pack(*fields))
    site.send(frame("10.9.0.1"), 1)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=20)
    assert said == "2 frames written (in 1, pass 1), 0 lost\n"


def test_second_capture_is_refused(site: Site, start: Start, tmp_path: Path) -> None:
    start("--seconds", "60", "-o", str(tmp_path / "one.pcap"), rate=2)
    code, said = command(site, "e-eth2", "-o", str(tmp_path / "two.pcap"))
    assert code == 1
    assert "another capture is running" in said
    assert not (tmp_path / "two.pcap").exists()
    assert site.rates()["e-eth1"] == 2


REFUSED: list[tuple[str, str]] = [
    ("eth9", "no engine here has a port eth9; there are: e:e-eth1, e:e-eth2, e:s-eth1"),
    ("s-eth1", "s-eth1 carries a program that passes everything on"),
]


@pytest.mark.parametrize(("port", "words"), REFUSED)
def test_port_that_cannot_be_sampled_is_refused_by_name(
    site: Site, tmp_path: Path, port: str, words: str
) -> None:
    code, said = command(site, port, "-o", str(tmp_path / "one.pcap"))
    assert code == 1
    assert words in said


def test_port_may_be_named_with_its_engine(site: Site, tmp_path: Path) -> None:
    code, said = command(site, "e:e-eth1", "-o", str(tmp_path / "one.pcap"))
    assert code == 0, said


def test_file_that_cannot_be_written_is_named_and_nothing_is_sampled(site: Site) -> None:
    code, said = command(site, "e-eth1", "-o", "/nowhere/one.pcap")
    assert code == 1
    assert "/nowhere/one.pcap: No such file" in said
    assert site.rates()["e-eth1"] == 0


def test_where_no_engine_is_attached_it_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        capture, ["e-eth1", "--instance", str(tmp_path), "-o", str(tmp_path / "one.pcap")]
    )
    assert result.exit_code == 1
    assert "start one with `foresteer engine`" in result.output


def test_same_port_name_on_two_engines_must_be_said_in_full(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    twice: Any = [(name, "eth0", number) for number, name in enumerate(("a", "b"))]
    from dataplane.capture import SampledPort

    monkeypatch.setattr(
        "dataplane.capture.attached_ports", lambda _: tuple(SampledPort(*one) for one in twice)
    )
    code, said = command(site, "eth0", "-o", str(tmp_path / "one.pcap"))
    assert code == 1
    assert "more than one engine has a port eth0: say which: a:eth0, b:eth0" in said
    assert list(tmp_path.iterdir()) == []
