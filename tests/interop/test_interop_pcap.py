"""tshark and scapy read the capture files that we write, and we read scapy's."""

from pathlib import Path
from typing import Any

from scapy.layers.l2 import Ether
from scapy.utils import PcapReader, wrpcap

from dataplane.pcap import PcapWriter, read_pcap
from tests.interop.conftest import decode_file

START_NS = 1_795_264_069_123_456_789


def test_tshark_reads_times_lengths_and_bytes_of_our_file(
    tmp_path: Path, specimens: list[Any]
) -> None:
    path = tmp_path / "ours.pcap"
    with PcapWriter(path.open("wb")) as writer:
        for number, one in enumerate(specimens):
            writer.write(START_NS + number, one.frame)
        writer.write(START_NS + 1000, specimens[0].frame[:50], 1500)
    *packets, cut = decode_file(path)
    for number, (one, layers) in enumerate(zip(specimens, packets, strict=True)):
        seconds, fraction = layers["frame"]["frame.time_epoch"].split(".")
        assert int(seconds) * 10**9 + int(fraction) == START_NS + number
        assert int(layers["frame"]["frame.len"]) == len(one.frame)
        assert int(layers["nsh"]["nsh.si"]) == one.header.si
    assert (cut["frame"]["frame.len"], cut["frame"]["frame.cap_len"]) == ("1500", "50")


def test_scapy_reads_our_file_and_we_read_scapys(tmp_path: Path, specimens: list[Any]) -> None:
    ours, theirs = tmp_path / "ours.pcap", tmp_path / "theirs.pcap"
    frames = [one.frame for one in specimens]
    with PcapWriter(ours.open("wb")) as writer:
        for frame in frames:
            writer.write(START_NS, frame)
    with PcapReader(str(ours)) as reader:
        assert [bytes(packet) for packet in reader] == frames
    wrpcap(str(theirs), [Ether(frame) for frame in frames])
    with theirs.open("rb") as file:
        assert [frame.data for frame in read_pcap(file)] == frames
