"""From a Plan to the network: make before break, read back, report."""

from controller.act.actor import Actor
from controller.act.compile import ROUTER_MAC, engine_states, switch_states

__all__ = ["ROUTER_MAC", "Actor", "engine_states", "switch_states"]
