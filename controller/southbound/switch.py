"""One switch: what it holds, brought to what it should hold by difference, and read back."""

import logging
from collections.abc import Mapping
from typing import Any

import eventlet
from eventlet.event import Event
from eventlet.semaphore import Semaphore

from controller.southbound import openflow
from controller.southbound.flows import Flow, Match
from headers.messages import SwitchApplied, SwitchInfo, SwitchPort

LOG = logging.getLogger("foresteer.southbound")
REPLY_TIMEOUT_S = 3.0

Flows = dict[tuple[int, Match], Flow]


class SwitchGoneError(Exception):
    """The switch disconnected or did not answer in time."""


class Switch:
    """A connected switch, its ports, and the flows of ours that it is known to hold."""

    def __init__(self, datapath: Any) -> None:
        self.datapath = datapath
        self.dpid: int = datapath.id
        self.ports: dict[int, SwitchPort] = {}
        self.flows: Flows = {}
        self.adopted = False
        self.errors = 0
        self._waiting: dict[int, Event] = {}
        self._parts: dict[int, list[Any]] = {}
        self._lock = Semaphore()

    def info(self) -> SwitchInfo:
        """Return what the brain is told of it."""
        return SwitchInfo(self.dpid, tuple(self.ports[n] for n in sorted(self.ports)))

    def note_port(self, description: Any) -> bool:
        """Take a port's description; return whether it changed."""
        protocol = self.datapath.ofproto
        if description.port_no > protocol.OFPP_MAX:
            return False
        down = bool(
            description.config & protocol.OFPPC_PORT_DOWN
            or description.state & protocol.OFPPS_LINK_DOWN
        )
        port = SwitchPort(
            description.port_no,
            description.name.decode(errors="replace"),
            description.hw_addr,
            not down,
            description.curr_speed * 1000,
        )
        changed = self.ports.get(port.number) != port
        self.ports[port.number] = port
        return changed

    def _ask(self, message: Any) -> list[Any]:
        """Send a request and return the parts of its answer."""
        self.datapath.set_xid(message)
        event = Event()
        self._waiting[message.xid] = event
        self._parts[message.xid] = []
        try:
            if not self.datapath.send_msg(message):
                raise SwitchGoneError("not connected")
            with eventlet.Timeout(REPLY_TIMEOUT_S, SwitchGoneError("no answer")):
                parts: list[Any] = event.wait()
            return parts
        finally:
            self._waiting.pop(message.xid, None)
            self._parts.pop(message.xid, None)

    def answer(self, message: Any, *, more: bool = False) -> None:
        """Give an arrived reply to whoever waits for it."""
        parts = self._parts.get(message.xid)
        if parts is None:
            return
        parts.append(message)
        if not more:
            self._waiting[message.xid].send(parts)

    def gone(self) -> None:
        """Tell whoever waits for an answer that none will come."""
        for event in self._waiting.values():
            event.send_exception(SwitchGoneError("disconnected"))
        self._waiting.clear()
        self._parts.clear()

    def barrier(self) -> None:
        """Wait until the switch has done all that it was sent."""
        self._ask(self.datapath.ofproto_parser.OFPBarrierRequest(self.datapath))

    def read_flows(self, generation: int | None = None) -> Flows:
        """Return the flows of ours that the switch really holds."""
        parts = self._ask(openflow.stats_request(self.datapath, generation))
        flows = (openflow.read_flow(self.datapath, row) for part in parts for row in part.body)
        return {flow.key: flow for flow in flows}

    def count_flows(self) -> int:
        """Return how many flows of ours the switch holds."""
        count: int = self._ask(openflow.count_request(self.datapath))[0].body.flow_count
        return count

    def adopt(self) -> None:
        """Take what the switch holds of ours as the state to go on from."""
        self.flows = self.read_flows()
        self.adopted = True

    def apply(self, wanted: Mapping[tuple[int, Match], Flow], generation: int) -> SwitchApplied:
        """Bring the switch to hold these flows: adds and changes first, then removals.

        What it added is read back by the generation in its cookie, and all of ours are counted;
        differences are reported, and mended by reading everything.
        """
        with self._lock:
            try:
                return self._apply(wanted, generation)
            except SwitchGoneError as error:
                self.adopted = False
                return SwitchApplied(self.dpid, False, 0, 0, 0, str(error))

    def _apply(self, wanted: Mapping[tuple[int, Match], Flow], generation: int) -> SwitchApplied:
        if not self.adopted:
            self.adopt()
        errors = self.errors
        adds = [flow for key, flow in wanted.items() if self.flows.get(key) != flow]
        gone = [flow for key, flow in self.flows.items() if key not in wanted]
        if not adds and not gone:
            return SwitchApplied(self.dpid, True, 0, 0, 0)
        for flow in adds:
            self._send(openflow.flow_mod(self.datapath, flow, generation))
        for flow in gone:
            self._send(openflow.flow_mod(self.datapath, flow, generation, remove=True))
        self.barrier()
        held = self.read_flows(generation) if adds else {}
        mismatches = sum(held.get(flow.key) != flow for flow in adds)
        count = self.count_flows()
        if count != len(wanted) or mismatches:
            mismatches = max(mismatches, abs(count - len(wanted)))
            self.adopt()
        else:
            self.flows = dict(wanted)
        refused = self.errors - errors
        return SwitchApplied(
            self.dpid,
            True,
            len(adds),
            len(gone),
            mismatches,
            f"the switch refused {refused} messages" if refused else "",
        )

    def _send(self, message: Any) -> None:
        if not self.datapath.send_msg(message):
            raise SwitchGoneError("not connected")

    def packet_out(self, port: int, frame: bytes) -> None:
        """Send a frame out of a port."""
        parser, protocol = self.datapath.ofproto_parser, self.datapath.ofproto
        self.datapath.send_msg(
            parser.OFPPacketOut(
                self.datapath,
                protocol.OFP_NO_BUFFER,
                protocol.OFPP_CONTROLLER,
                [parser.OFPActionOutput(port)],
                frame,
            )
        )
