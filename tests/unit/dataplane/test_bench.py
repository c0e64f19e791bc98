"""The benchmark's frames are what engines take, and its figures are what they are called."""

import ipaddress
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from dataplane import loader
from dataplane.bench import compile as compiler
from dataplane.bench import traffic
from dataplane.bench.bars import BARS, Bar
from dataplane.bench.cases import Case, Table, check_names, chooser
from dataplane.bench.commands import bench
from dataplane.bench.engines import NUMBER, VIP_NUMBER, flows
from dataplane.bench.measure import spread
from dataplane.bench.report import Result
from dataplane.bench.rig import FRAME_SET, GENERATOR, MAX_HELD, SEEN, Run
from dataplane.bench.system import Load, starved
from dataplane.errors import DataplaneError, LoadError
from dataplane.maps import flow_key
from headers.packet.siphash import siphash24
from headers.packet.steering import SteeringHeader

KEY = bytes(range(16))


def raw(frames: np.ndarray, row: int, length: int) -> bytes:
    return frames[row].tobytes().ljust(length, b"\0")


def test_many_messages_hash_as_one_by_one() -> None:
    words = np.random.default_rng(1).integers(0, 1 << 63, (50, 3), np.uint64)
    found = traffic.siphash24_many(KEY, words)
    assert [int(x) for x in found] == [siphash24(KEY, row.tobytes()) for row in words]


def test_plain_frames_are_good_udp() -> None:
    frames = traffic.plain(40)
    for row in range(40):
        data = raw(frames, row, traffic.PLAIN_FRAME)
        packet = Ether(data)
        given = packet[IP].chksum
        del packet[IP].chksum
        assert IP(bytes(packet[IP])).chksum == given
        assert packet[UDP].len == traffic.PLAIN_FRAME - 34
        assert ipaddress.ip_address(packet[IP].dst) in ipaddress.ip_network("10.0.0.0/8")


def test_steered_frames_hold_what_the_codec_would_write() -> None:
    plain = traffic.plain(40)
    frames = traffic.steered(plain, KEY)
    circuits = set()
    for row in range(40):
        data = raw(frames, row, traffic.STEERED_FRAME)
        header = SteeringHeader.decode(data[14:])
        inner = IP(data[38:])
        assert header == header.tagged(KEY, inner.src, inner.dst)
        assert header.si == 2
        assert data[38:62] == raw(plain, row, 64)[14:38]
        circuits.add(header.circuit)
    assert len(circuits) > 30
    assert max(circuits) <= traffic.CIRCUITS


def test_ten_thousand_destinations_are_in_as_many_networks() -> None:
    found = traffic.destinations(traffic.TEN_THOUSAND)
    assert len({int(x) >> 8 for x in found}) == traffic.TEN_THOUSAND


@pytest.mark.parametrize("flags", [traffic.TCP_SYN, traffic.TCP_ACK])
def test_tcp_frames_carry_their_flags(flags: int) -> None:
    for frames in (traffic.tcp_to_vip(8, flags, VIP_NUMBER), traffic.fresh(flags, VIP_NUMBER)):
        packet = Ether(raw(frames, 5, traffic.PLAIN_FRAME))
        assert (packet[IP].dst, packet[TCP].dport) == (traffic.VIP, traffic.VIP_PORT)
        assert int(packet[TCP].flags) == flags
        assert packet[TCP].dataofs == 5


def test_a_connection_opens_with_syn_and_ack_of_the_same_flow() -> None:
    frames = traffic.openings(VIP_NUMBER)
    keys = flows(frames)
    assert (keys[::2] == keys[1::2]).all()
    assert [int(Ether(raw(frames, n, 64))[TCP].flags) for n in (4, 5)] == [
        traffic.TCP_SYN,
        traffic.TCP_ACK,
    ]


def test_clients_are_numbered_and_all_others() -> None:
    frames = traffic.clients(1000, traffic.TCP_ACK, VIP_NUMBER)
    assert [Ether(raw(frames, n, 64))[TCP].seq for n in (0, 999)] == [1, 1000]
    assert len(set(frames["saddr"].tolist())) == 1000


def test_a_lifetime_ends_with_fin() -> None:
    frames = traffic.lifetimes(VIP_NUMBER)
    assert [str(Ether(raw(frames, n, 64))[TCP].flags) for n in (3, 4, 5)] == ["S", "A", "FA"]


def test_entered_connections_have_the_engines_keys() -> None:
    frames = traffic.tcp_to_vip(3, traffic.TCP_ACK, VIP_NUMBER)
    packet = Ether(raw(frames, 1, 64))
    wanted = flow_key(
        ipaddress.ip_address(packet[IP].src).packed,
        ipaddress.ip_address(packet[IP].dst).packed,
        packet[TCP].sport,
        packet[TCP].dport,
        6,
        NUMBER,
    )
    assert flows(frames)[1].tobytes() == wanted


def test_steer_can_be_built_without_its_tag_check() -> None:
    text = loader.source()
    changed = compiler.without_tag(text)
    assert changed != text
    with pytest.raises(LoadError, match="tag_holds"):
        compiler.without_tag(changed)


def test_sources_of_new_flows_leave_room_for_the_generator() -> None:
    frames = traffic.fresh(None, None)
    assert not (frames["saddr"].astype(int) & 0x3FFFF).any()
    assert len(set(frames["sport"].tolist())) == traffic.FRESH


def test_the_generators_state_is_laid_out_as_in_c(tmp_path: Path) -> None:
    text = compiler.SOURCE.read_text()
    structs = re.findall(r"struct (?:frame_set|generator|held) \{.*?\n\};", text, re.DOTALL)
    assert len(structs) == 3
    layouts = {"frame_set": FRAME_SET, "generator": GENERATOR, "held": SEEN}
    lines = [
        f'printf("%zu ", offsetof(struct {name}, {field}));'
        for name, dtype in layouts.items()
        for field in dtype.names or ()
    ] + [f'printf("%zu ", sizeof(struct {name}));' for name in layouts]
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/types.h>\n"
        + "\n".join(structs)
        + f"\nint main(void) {{ {''.join(lines)} }}"
    )
    program = tmp_path / "layout"
    subprocess.run(["cc", "-o", str(program), str(source)], check=True)
    found = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    wanted = [
        dtype.fields[field][1]
        for dtype in layouts.values()
        for field in dtype.names or ()
        if dtype.fields
    ]
    assert [int(x) for x in found.split()] == wanted + [x.itemsize for x in layouts.values()]
    assert f"#define MAX_HELD {MAX_HELD}\n" in text


def test_blocks_follow_one_another_and_parts_begin_them() -> None:
    table = Table()
    first = table.add(traffic.plain(5), 64)
    second = table.add(traffic.plain(7), 64)
    assert (first.base, second.base, table.size) == (0, 5, 12)
    assert second.part(3) == traffic.Block(5, 3, 64)
    with pytest.raises(ValueError, match="8 of 7"):
        second.part(8)


def test_a_bar_compares_rates_upwards_and_costs_downwards() -> None:
    figures = {"a": 4.0, "b": 2.0}
    assert Bar("a", "b", 1).ratio(figures, {}) == 2
    assert Bar("a", "b", 1, cost=True).ratio({}, figures) == 0.5
    assert Bar("a", "c", 1).ratio(figures, {}) is None


def test_a_run_counts_what_arrives() -> None:
    run = Run(sent=1000, delivered=900, elapsed_ns=1_000_000)
    assert run.mpps == pytest.approx(0.9)
    assert run.lost == pytest.approx(0.1)


def test_only_the_names_that_were_asked_for_are_measured() -> None:
    wanted = chooser("mark, fib_1")
    assert wanted("mark")
    assert wanted("fib_1")
    assert not wanted("drop")
    assert chooser(None)("drop")


def test_names_of_no_figure_are_refused_with_those_that_there_are() -> None:
    block = traffic.Block(0, 1, 64)
    known = [Case("mark", "mark", block)]
    check_names("mark,ovs_afxdp_overload", known)
    check_names(None, known)
    with pytest.raises(DataplaneError, match="called marc: mark, ovs"):
        check_names("marc", known)


def test_the_spread_is_that_of_the_middle_half() -> None:
    assert spread([4.0]) == 0
    assert spread([1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert spread([2.0, 2.0, 2.0, 9.0]) == pytest.approx(5.25 / 2)


def test_the_result_says_which_bars_are_met(tmp_path: Path) -> None:
    mpps = {"redirect": 4.0, "redirect_steered": 4.0, "mark": 3.0, "steer_tag": 3.0}
    result = Result(mpps, {"mark": 50.0}, {"mark": 0.02}, {"mark": 0.1}, 3, "busy")
    text = result.table()
    assert re.search(r"met +mark +0\.75 x redirect", text)
    assert re.search(r"MISSED +steer_tag +0\.75 x redirect_steered", text)
    assert "warning: busy" in text
    file = tmp_path / "figures.json"
    result.write(file)
    content = json.loads(file.read_text())
    assert content["mpps"] == mpps
    assert content["spread"] == {"mark": 0.1}
    assert content["ns_per_packet"] == {"mark": 50.0}
    met = {(bar["name"], bar["peer"]): bar["met"] for bar in content["bars"]}
    assert len(content["bars"]) == len(BARS)
    assert met["mark", "redirect"] is True
    assert met["steer_tag", "redirect_steered"] is False
    assert met["balance", "redirect_established"] is None


def test_a_connection_that_got_fewer_than_its_turn_lost_packets() -> None:
    packets = np.array([10, 11, 9, 10], np.uint32)
    assert starved(packets, 41) == 1
    assert starved(packets, 36) == 0


def test_without_root_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    done = CliRunner().invoke(bench, ["dataplane"])
    assert done.exit_code == 1
    assert "sudo" in done.output


def test_what_a_load_gave_is_printed_with_its_losses() -> None:
    load = Load(1e6, 10, 1000, 990, 900, 100, 1, 2, 3, 4, 7, 5, 60.0, 0.05, {"balanced": 990})
    text = load.text()
    assert re.search(r"lost +10 \(1\.0000%\)", text)
    assert re.search(r"100 connections, 1 broken, 2 with packets lost", text)
    assert re.search(r"7 read by the agent, 5 lost", text)
    assert load.values()["lost"] == 10
