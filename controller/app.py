"""The southbound as a Ryu application: ``ryu-manager controller/app.py``.

It owns the OpenFlow connections: discovery, counters, hosts, and bringing each switch to its
desired state. It knows nothing of forecasts. It starts a bus and a brain when none is running, and
keeps the switches as they are while the brain is away.
"""

import atexit
import contextlib
import logging
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import eventlet
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_3

from bus import Instance, InstanceError, derive_key, logs
from controller.southbound import discovery, hosts, probes, refusals, tls
from controller.southbound.admission import GRACE_S, Admission
from controller.southbound.desired import Desired
from controller.southbound.flows import Flows
from controller.southbound.link import BrainLink
from controller.southbound.pipeline import base_flows, switch_flows
from controller.southbound.switch import Switch, SwitchGoneError
from headers.messages import (
    Applied,
    ApplySwitches,
    EdgePort,
    Host,
    LinkProbes,
    NetworkLinks,
    PortCounter,
    PortCounters,
    SwitchApplied,
)

LOG = logging.getLogger("foresteer.southbound")
POLL_S = 0.25
ENSURE_S = 1.0
CHECK_S = 2.0
ADMIT_S = 0.1
OFPP_CONTROLLER = ofproto_v1_3.OFPP_CONTROLLER


class Foresteer(app_manager.RyuApp):
    """The southbound: switches on one side, the brain on the other."""

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.switches: dict[int, Switch] = {}
        self.links = discovery.Links()
        self.hosts = hosts.Hosts()
        self.refused: Counter[str] = Counter()
        self.desired = Desired(self.refused)
        self.away: set[int] = set()
        # later than any of a process before this one
        logs.set_up()
        self.sequence = int(time.time()) << 16
        self.sequences = discovery.Sequences()
        try:
            self.instance = Instance.find()
            self.lock = self.instance.hold("southbound")
            self.key = derive_key(self.instance.secret(), "discovery", length=32)
            self.admission = Admission(self.instance.settings().get("switches"))
        except (InstanceError, ValueError) as error:
            sys.exit(f"foresteer: {error}")
        if self.lock is None:
            sys.exit(f"foresteer: a southbound is running already in {self.instance.directory}")
        self.probes = probes.Probes(self.key, self.sequence)
        tls.install(self.refused)
        self.brain = BrainLink(self.instance.southbound_socket, self.apply, self._greeting)

    def start(self) -> None:
        """Start serving; called by ryu-manager."""
        super().start()
        started: list[str] = []
        atexit.register(self._end_children, started)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        eventlet.spawn_n(self.brain.serve)
        eventlet.spawn_n(self._discover)
        eventlet.spawn_n(self._poll)
        eventlet.spawn_n(self._probe)
        eventlet.spawn_n(self._refresh)
        eventlet.spawn_n(self._reconcile)
        eventlet.spawn_n(self._ensure, started)

    # what runs all the time

    def _ensure(self, started: list[str]) -> None:
        """Have a bus and a brain, whoever started them."""
        children = []
        while True:
            try:
                for name, ensure in (
                    ("bus", self.instance.ensure_bus),
                    ("brain", self.instance.ensure_brain),
                ):
                    child = ensure()
                    if child is not None:
                        LOG.warning("started the %s, process %d", name, child.pid)
                        started.append(name)
                        children.append(child)
            except InstanceError as error:
                LOG.error("%s", error)
            children = [child for child in children if child.poll() is None]
            eventlet.sleep(ENSURE_S)

    def _end_children(self, started: list[str]) -> None:
        for name in reversed(started):
            self.instance.stop(name)

    def _discover(self) -> None:
        while True:
            self.sequence += 1
            for switch in list(self.switches.values()):
                edges = self.desired.edges(switch.dpid)
                for port in list(switch.ports.values()):
                    if port.up and port.number not in edges:
                        frame = discovery.build(self.key, switch.dpid, port.number, self.sequence)
                        switch.packet_out(port.number, frame)
            now = time.monotonic()
            for dpid in self.away:
                self.links.hold(dpid, now)
            if self.links.expire(now):
                self._announce()
            eventlet.sleep(discovery.PERIOD_S)

    def _probe(self) -> None:
        """Measure the links in turn, evenly spread; those that were lost too, to see them come."""
        while True:
            links = {end for end, _ in (*self.links.seen_s, *self.links.lost)}
            ends = probes.ends_to_ask(links, self.switches)
            for dpid, port in ends:
                switch = self.switches.get(dpid)
                if switch is not None and (port == probes.SELF_LOOP or port in switch.ports):
                    frame = self.probes.send((dpid, port), time.monotonic())
                    if frame is not None:
                        switch.packet_out(port or OFPP_CONTROLLER, frame)
                eventlet.sleep(probes.interval_s(len(ends)))
            if rows := self.probes.results():
                self.brain.tell(LinkProbes(time.monotonic(), rows))
            # what was told is written now: not while the next probe is on its way
            eventlet.sleep(probes.interval_s(len(ends)))

    def _refresh(self) -> None:
        """Ask known hosts again now and then: one that got another address is noticed."""
        while True:
            for switch in list(self.switches.values()):
                self._ask_hosts(switch)
            eventlet.sleep(hosts.REFRESH_S)

    def _ask_hosts(self, switch: Switch) -> None:
        edges, wanted = self.desired.edges(switch.dpid), self.desired.current
        for host in list(self.hosts.known.values()):
            edge = edges.get(host.port)
            if host.dpid == switch.dpid and edge is not None and wanted is not None:
                request = hosts.arp_request(wanted.router_mac, edge.gateway, host.address)
                switch.packet_out(host.port, request)

    def _reconcile(self) -> None:
        """Compare every switch with its state, each in a thread of its own, and mend it."""
        busy: set[int] = set()

        def one(switch: Switch) -> None:
            try:
                if mended := switch.check():
                    self.refused["flows_mended"] += mended
                    self._announce()
            finally:
                busy.discard(switch.dpid)

        while True:
            for switch in list(self.switches.values()):
                if not self.admission.admits(switch.dpid, self.desired.inventory):
                    eventlet.spawn_n(self._wait_admission, switch.datapath)
                elif switch.dpid not in busy:
                    busy.add(switch.dpid)
                    eventlet.spawn_n(one, switch)
                eventlet.sleep(CHECK_S / max(len(self.switches), 1))
            eventlet.sleep(0 if self.switches else CHECK_S)

    def _poll(self) -> None:
        while True:
            for switch in list(self.switches.values()):
                parser, protocol = switch.datapath.ofproto_parser, switch.datapath.ofproto
                switch.datapath.send_msg(
                    parser.OFPPortStatsRequest(switch.datapath, 0, protocol.OFPP_ANY)
                )
            eventlet.sleep(POLL_S)

    # towards the brain

    def _greeting(self) -> list[Any]:
        return [self._network()]

    def _network(self) -> NetworkLinks:
        def flat(links: Any) -> tuple[tuple[int, int, int, int], ...]:
            return tuple((*src, *dst) for src, dst in sorted(links))

        return NetworkLinks(
            tuple(switch.info() for switch in self.switches.values()),
            flat(self.links.seen_s),
            flat(self.links.lost),
            tuple(self.hosts.known.values()),
            dict(self.refused + self.brain.refused),
        )

    def _announce(self) -> None:
        self.brain.tell(self._network())

    def apply(self, wanted: ApplySwitches) -> Applied:
        """Hold all switches to a state; a switch that is away gets it when it comes back."""
        refusal = self.desired.accept(wanted)
        if refusal:
            decision = logs.decision_id(wanted.term, wanted.generation)
            LOG.warning("%s: refused: %s", decision, refusal)
            return Applied(wanted.generation, (), refusal)
        current = self.desired.current or wanted
        jobs = [eventlet.spawn(self._bring, state.dpid) for state in current.switches]
        done = tuple(job.wait() for job in jobs)
        changed = sum(one.added + one.removed for one in done)
        LOG.log(
            logging.INFO if changed else logging.DEBUG,
            "%s: %d flows changed in %d switches",
            logs.decision_id(wanted.term, wanted.generation),
            changed,
            len(done),
        )
        return Applied(wanted.generation, done)

    def _bring(self, dpid: int) -> SwitchApplied:
        """Bring a switch to the newest state that is wanted of it."""
        switch = self.switches.get(dpid)
        if switch is None:
            return SwitchApplied(dpid, False, 0, 0, 0, "not connected")
        if not switch.adopted:
            self._adopt(switch)

        def newest() -> Flows:
            state, current = self.desired.of(dpid), self.desired.current
            if state is None or current is None:
                return switch.flows
            known = [host for host in self.hosts.known.values() if host.dpid == dpid]
            return switch_flows(state, known, current.router_mac)

        done = switch.apply(newest)
        return replace(done, refused=(*done.refused, *self.desired.stale(dpid)))

    # from the switches

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def on_state(self, event: Any) -> None:
        """A switch came or went."""
        datapath = event.datapath
        if event.state == MAIN_DISPATCHER:
            eventlet.spawn_n(self._welcome, datapath)
        elif datapath.id is not None:
            known = self.switches.get(datapath.id)
            if known is not None and known.datapath is datapath:
                del self.switches[datapath.id]
                known.gone()
                self.probes.forget(datapath.id)
                self.away.add(datapath.id)
                self._announce()

    def _welcome(self, datapath: Any) -> None:
        """Take a switch as it is, then bring it where it should be."""
        other = self.switches.get(datapath.id)
        if other is not None and other.datapath.is_active:
            self.refused["duplicate_dpid"] += 1
            LOG.error("datapath id %016x is there twice; the newer one is refused", datapath.id)
            datapath.close()
            return
        if not self._wait_admission(datapath):
            return
        switch = Switch(datapath)
        for port in datapath.ports.values():
            switch.note_port(port)
        self.switches[switch.dpid] = switch
        self.away.discard(switch.dpid)
        self._adopt(switch)
        if self.desired.of(switch.dpid) is not None:
            done = self._bring(switch.dpid)
            LOG.warning("switch %d refilled: %s", switch.dpid, done)
            self._ask_hosts(switch)
        else:
            with contextlib.suppress(SwitchGoneError):
                for flow in base_flows():
                    if switch.flows.get(flow.key) != flow:
                        switch.add(flow)
        self._announce()

    def _wait_admission(self, datapath: Any) -> bool:
        """Whether a switch may be here; an unknown one is given time, then disconnected."""
        deadline = time.monotonic() + (0 if self.admission.strict else GRACE_S)
        while not self.admission.admits(datapath.id, self.desired.inventory):
            if time.monotonic() >= deadline:
                self.refused["unknown_dpid"] += 1
                LOG.error("datapath id %016x is not one of this network's: refused", datapath.id)
                datapath.close()
                self._announce()
                return False
            eventlet.sleep(ADMIT_S)
        return bool(datapath.is_active)

    def _adopt(self, switch: Switch) -> None:
        """Learn what a switch holds, and from its flows the hosts behind it."""
        try:
            switch.adopt()
        except SwitchGoneError:
            return
        for flow in switch.flows.values():
            fields = dict(flow.match)
            macs = [a[2] for a in flow.actions if a[:2] == ("set", "eth_dst")]
            if "ipv4_dst" in fields and "in_port" not in fields and macs:
                address, port = str(fields["ipv4_dst"]), flow.actions[-1][1]
                self.hosts.known.setdefault(
                    address, Host(address, str(macs[0]), switch.dpid, int(port))
                )

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def on_port(self, event: Any) -> None:
        """A port appeared, changed or went."""
        message = event.msg
        switch = self.switches.get(message.datapath.id)
        if switch is None:
            return
        number = message.desc.port_no
        if message.reason == message.datapath.ofproto.OFPPR_DELETE:
            changed = switch.drop_port(number)
            up = False
        else:
            changed = switch.note_port(message.desc)
            up = number in switch.ports and switch.ports[number].up
        if not up:
            changed |= self.links.drop_port((switch.dpid, number))
        if changed:
            self._announce()

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet(self, event: Any) -> None:
        """A discovery frame, an ARP frame or a packet to an unknown host."""
        message = event.msg
        switch = self.switches.get(message.datapath.id)
        if switch is None:
            return
        port = message.match["in_port"]
        edge = self.desired.edges(switch.dpid).get(port)
        kind = message.data[12:14]
        if kind == b"\x88\xb5":
            self._on_discovery(switch, port, edge, message.data)
        elif kind == b"\x88\xb6":
            self._on_probe(switch, port, edge, message.data)
        elif kind == b"\x08\x06" and edge is not None:
            self._on_arp(switch, edge, message.data)
        elif kind == b"\x08\x00":
            self._on_unknown_host(switch, port, message.data)
        else:
            self.refused["packet_in"] += 1

    def _on_discovery(self, switch: Switch, port: int, edge: EdgePort | None, frame: bytes) -> None:
        if edge is not None:
            self.refused["discovery_at_edge"] += 1
            return
        try:
            src, sequence = discovery.parse(self.key, frame)
        except discovery.DiscoveryError as error:
            self.refused[f"discovery_{error.reason}"] += 1
            return
        if not self.sequences.fresh(src, sequence, self.sequence):
            self.refused["discovery_replayed"] += 1
            return
        if self.links.heard(src, (switch.dpid, port), time.monotonic()):
            self._announce()

    def _on_probe(self, switch: Switch, port: int, edge: EdgePort | None, frame: bytes) -> None:
        now = time.monotonic()
        if edge is not None:
            self.refused["probe_at_edge"] += 1
            return
        try:
            self.probes.take(switch.dpid, None if port == OFPP_CONTROLLER else port, frame, now)
        except probes.ProbeError as error:
            self.refused[f"probe_{error.reason}"] += 1

    def _on_arp(self, switch: Switch, edge: EdgePort, frame: bytes) -> None:
        arp = hosts.parse_arp(frame)
        if arp is None:
            self.refused["arp"] += 1
            return
        _, mac, address = arp
        if self.hosts.crowded(address, switch.dpid, edge.port):
            self.refused["too_many_hosts"] += 1
            return
        if not self.hosts.learn(Host(address, mac, switch.dpid, edge.port), edge):
            return
        eventlet.spawn_n(self._install_host, switch, address)

    def _install_host(self, switch: Switch, address: str) -> None:
        wanted = self.desired.current
        if wanted is None or self.desired.of(switch.dpid) is None:
            return
        self._bring(switch.dpid)
        self._announce()
        host = self.hosts.known[address]
        for frame in self.hosts.release(address):
            macs = bytes.fromhex((host.mac + wanted.router_mac).replace(":", ""))
            switch.packet_out(host.port, macs + frame[12:])

    def _on_unknown_host(self, switch: Switch, port: int, frame: bytes) -> None:
        address = hosts.destination(frame)
        edges, wanted = self.desired.edges(switch.dpid), self.desired.current
        edge = next((e for e in edges.values() if e.port != port), None) or edges.get(port)
        if address is None or edge is None or wanted is None:
            self.refused["packet_in"] += 1
            return
        if self.hosts.hold(address, frame, time.monotonic()):
            request = hosts.arp_request(wanted.router_mac, edge.gateway, address)
            for candidate in edges.values():
                switch.packet_out(candidate.port, request)

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, MAIN_DISPATCHER)
    def on_counters(self, event: Any) -> None:
        """A switch's port counters."""
        message = event.msg
        limit = message.datapath.ofproto.OFPP_MAX
        self.brain.tell(
            PortCounters(
                time.monotonic(),
                tuple(
                    PortCounter(
                        message.datapath.id,
                        row.port_no,
                        row.tx_bytes,
                        row.tx_packets,
                        row.tx_dropped,
                        row.rx_bytes,
                        row.rx_packets,
                    )
                    for row in message.body
                    if row.port_no <= limit
                ),
            )
        )

    @set_ev_cls(
        [
            ofp_event.EventOFPFlowStatsReply,
            ofp_event.EventOFPAggregateStatsReply,
            ofp_event.EventOFPGroupDescStatsReply,
            ofp_event.EventOFPBarrierReply,
            ofp_event.EventONFBundleCtrlMsg,
        ],
        MAIN_DISPATCHER,
    )
    def on_reply(self, event: Any) -> None:
        """An answer that somebody waits for."""
        message = event.msg
        switch = self.switches.get(message.datapath.id)
        if switch is not None:
            # of a bundle's answer, flags say something else
            multipart = message.msg_type == message.datapath.ofproto.OFPT_MULTIPART_REPLY
            more = multipart and message.flags & message.datapath.ofproto.OFPMPF_REPLY_MORE
            switch.session.answer(message, more=bool(more))

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def on_error(self, event: Any) -> None:
        """A switch refused something."""
        message = event.msg
        self.refused["openflow_error"] += 1
        switch = self.switches.get(message.datapath.id)
        if switch is not None:
            switch.session.error(message, refusals.reason(message))
