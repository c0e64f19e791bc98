"""From a Plan to the network: make before break, read back, report."""

from controller.act.actor import Actor
from controller.act.circuits import Circuits
from controller.act.compile import ROUTER_MAC, engine_states, switch_states
from controller.act.firewall import Firewall
from controller.act.labels import Ports

__all__ = ["ROUTER_MAC", "Actor", "Circuits", "Firewall", "Ports", "engine_states", "switch_states"]
