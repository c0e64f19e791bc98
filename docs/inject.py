"""Sends a frame, read in hexadecimal digits, out of an interface: ``… | inject.py s2-eth1``."""

import sys

from scapy.layers.l2 import Ether
from scapy.sendrecv import sendp

import headers.packet.scapy_layer  # noqa: F401  (teaches scapy the steering header)

frame = Ether(bytes.fromhex(sys.stdin.read()))
frame.show()
sendp(frame, iface=sys.argv[1], verbose=False)
