"""Packet formats: the steering header."""

from headers.packet.siphash import siphash24
from headers.packet.steering import ETHERTYPE, LENGTH, SteeringHeader, steer_frame, tag

__all__ = ["ETHERTYPE", "LENGTH", "SteeringHeader", "siphash24", "steer_frame", "tag"]
