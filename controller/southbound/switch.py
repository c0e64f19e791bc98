"""One switch: its ports, what it holds, and bringing it to what it should hold."""

import logging
from collections.abc import Callable
from typing import Any

from eventlet.semaphore import Semaphore

from controller.southbound import wire
from controller.southbound.difference import settle
from controller.southbound.flows import Flow, Flows
from controller.southbound.program import Program
from controller.southbound.session import Session, SwitchGoneError
from headers.messages import RefusedCircuit, SwitchApplied, SwitchInfo, SwitchPort

LOG = logging.getLogger("foresteer.southbound")
FULL_CHECK_EVERY = 15

__all__ = ["Switch", "SwitchGoneError"]


class Switch:
    """A connected switch, its ports, and the flows of ours that it is known to hold."""

    def __init__(self, datapath: Any) -> None:
        self.datapath = datapath
        self.dpid: int = datapath.id
        self.ports: dict[int, SwitchPort] = {}
        self.session = Session(datapath)
        self.program = Program(self.session)
        self.adopted = False
        self.checks = 0
        self.mended = 0
        self._was_live: set[int] = set()
        self._wanted: Flows | None = None
        self._doubtful = False
        self._lock = Semaphore()

    @property
    def flows(self) -> Flows:
        """The flows of ours that it is known to hold."""
        return self.program.flows

    def info(self) -> SwitchInfo:
        """Return what the brain is told of it."""
        return SwitchInfo(self.dpid, tuple(self.ports[n] for n in sorted(self.ports)))

    def note_port(self, description: Any) -> bool:
        """Take a port's description; return whether it changed.

        A port that was live once and is not any more is down: the other end is not heard of,
        whatever the carrier says.
        """
        protocol = self.datapath.ofproto
        number = description.port_no
        if number > protocol.OFPP_MAX:
            return False
        down = bool(
            description.config & protocol.OFPPC_PORT_DOWN
            or description.state & protocol.OFPPS_LINK_DOWN
        )
        if description.state & protocol.OFPPS_LIVE:
            self._was_live.add(number)
        elif number in self._was_live:
            down = True
        port = SwitchPort(
            number,
            description.name.decode(errors="replace"),
            description.hw_addr,
            not down,
            description.curr_speed * 1000,
        )
        changed = self.ports.get(number) != port
        self.ports[number] = port
        return changed

    def drop_port(self, number: int) -> bool:
        """Forget a port; return whether it was there."""
        self._was_live.discard(number)
        return self.ports.pop(number, None) is not None

    def gone(self) -> None:
        """The connection ended."""
        self.session.gone()

    def adopt(self) -> None:
        """Take what the switch holds of ours as the state to go on from."""
        self.program.adopt()
        self.adopted = True

    def add(self, flow: Flow) -> None:
        """Have one more flow, without waiting."""
        (xid,) = self.session.reserve(1)
        self.session.send([wire.flow_add(flow, xid)])
        self.program.flows[flow.key] = flow

    def apply(self, asked: Callable[[], Flows]) -> SwitchApplied:
        """Bring the switch to hold these flows, and read back what it was sent.

        ``asked`` is called when it is this change's turn, so that the newest state wins.
        What it refuses is left out, circuit by circuit, and reported with its reason.
        """
        with self._lock:
            try:
                if not self.adopted:
                    self.adopt()
                wanted = asked()
                done = self.program.bring(wanted)
                again = None
                if done.mismatches:
                    # what it did not do at first, it may do when asked again
                    again = self.program.bring(settle(self.flows, wanted, done.refused, ()))
            except SwitchGoneError as error:
                self.adopted = False
                return SwitchApplied(self.dpid, False, 0, 0, 0, str(error))
            self._wanted = settle(self.flows, wanted, done.refused, ())
            self._doubtful = bool(again and again.mismatches)
            mended, self.mended = self.mended, 0
            added = done.added + (again.added if again else 0)
            return SwitchApplied(
                self.dpid,
                True,
                added,
                done.removed,
                done.mismatches + mended,
                "; ".join(done.errors),
                tuple(RefusedCircuit(spi, why) for spi, why in sorted(done.refused.items())),
                self.program.foreign,
            )

    def check(self) -> int:
        """Compare what it holds with what it should hold, and mend it; return the differences.

        Numbers of flows and all groups each time, every flow when they differ and every
        FULL_CHECK_EVERY-th time.
        """
        with self._lock:
            wanted = self._wanted
            if wanted is None or not self.adopted:
                return 0
            self.checks += 1
            foreign = self.program.foreign
            try:
                look = self._doubtful or not self.checks % FULL_CHECK_EVERY
                if self.program.agrees() and not look:
                    return 0
                self.program.adopt()
                done = self.program.bring(wanted)
                self._doubtful = bool(done.mismatches)
            except SwitchGoneError:
                self.adopted = False
                return 0
            finally:
                if self.program.foreign != foreign:
                    LOG.warning(
                        "switch %d holds %d flows of others", self.dpid, self.program.foreign
                    )
            found = done.added + done.removed
            self.mended += found
            if found:
                LOG.error("switch %d: %d flows were not as they should be", self.dpid, found)
            return found

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
