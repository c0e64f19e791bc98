"""``foresteer bench openflow``, inside its namespaces: a real switch, and Ryu around our code."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventlet
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub
from ryu.ofproto import ofproto_v1_3

from controller.southbound import openflow, refusals, wire
from controller.southbound.flows import Flow, Flows
from controller.southbound.labels import label_flows
from controller.southbound.switch import Switch
from headers.messages import Label

PORT = 6653
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
OBJECTS = 2000
"""So many by Ryu's objects: it takes long enough."""


def circuits(count: int) -> list[Flow]:
    """Return the flows of as many circuits."""
    return [
        flow for spi in range(1, count + 1) for flow in label_flows(Label(spi, 2, generation=7))
    ]


class Bench(app_manager.RyuApp):
    """Waits for the switch, measures, and is done."""

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.switch: Switch | None = None
        self.here = eventlet.event.Event()

    @set_ev_cls(ofp_event.EventOFPStateChange, MAIN_DISPATCHER)
    def on_state(self, event: Any) -> None:
        """The switch came."""
        self.switch = Switch(event.datapath)
        self.here.send()

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
        multipart = message.msg_type == message.datapath.ofproto.OFPT_MULTIPART_REPLY
        if self.switch is not None:
            self.switch.session.answer(message, more=bool(multipart and message.flags & 1))

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def on_error(self, event: Any) -> None:
        """Nothing should be refused here."""
        if self.switch is not None:
            self.switch.session.error(event.msg, refusals.reason(event.msg))


def measure(switch: Switch, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return flows per second of each way; they take turns, so that drift meets all alike."""
    session = switch.session
    flows = circuits(count)
    few = flows[: min(count, OBJECTS)]
    wanted: Flows = {flow.key: flow for flow in flows}

    def objects() -> int:
        for flow in few:
            switch.datapath.send_msg(openflow.flow_mod(switch.datapath, flow))
        session.barrier(60)
        return len(few)

    def templates() -> int:
        xids = session.reserve(count)
        session.send(wire.flow_add(flow, xid) for flow, xid in zip(flows, xids, strict=True))
        session.barrier(60)
        return count

    def bundles() -> int:
        done = switch.apply(lambda: wanted)
        if done.error or done.mismatches or done.added != count:
            raise SystemExit(f"the switch did not take them: {done}")
        return count

    def removal() -> int:
        switch.apply(dict)
        return count

    def forget() -> None:
        """Leave the switch empty."""
        switch.adopt()
        switch.apply(dict)

    ways: dict[str, tuple[Callable[[], int], Callable[[], None]]] = {
        "objects": (objects, forget),
        "templates": (templates, forget),
        "bundles": (bundles, lambda: None),
        "removal": (removal, lambda: None),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (way, after) in ways.items():
            began = time.perf_counter()
            done = way()
            rates[name].append(done / (time.perf_counter() - began))
            after()
    return {
        name: {"median": statistics.median(found), "least": min(found), "most": max(found)}
        for name, found in rates.items()
    }


def start_switch(folder: str) -> None:
    """Start an Open vSwitch with its files in a folder, and a bridge that looks for us."""
    for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"):
        os.environ[name] = folder
    quiet = ["-vconsole:off", "-vfile:off", "--detach", "--no-chdir"]
    socket = f"punix:{folder}/db.sock"
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ovsdb-tool", "create", f"{folder}/conf.db", SCHEMA],
        ["ovsdb-server", f"{folder}/conf.db", f"--remote={socket}", "--pidfile", *quiet],
        ["ovs-vsctl", "--no-wait", "init"],
        ["ovs-vswitchd", f"unix:{folder}/db.sock", "--pidfile", *quiet],
        [
            *("ovs-vsctl", "add-br", "s1", "--", "set", "bridge", "s1", "datapath_type=netdev"),
            *("fail_mode=secure", "protocols=OpenFlow13", "other_config:disable-in-band=true"),
            *("--", "set-controller", "s1", f"tcp:127.0.0.1:{PORT}"),
        ],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure and write what was found."""
    folder, count, rounds, result = sys.argv[1:]
    hub.patch(thread=False)
    start_switch(folder)
    from ryu import cfg

    cfg.CONF(args=[], project="ryu")
    manager = app_manager.AppManager.get_instance()
    manager.load_apps(["ryu.controller.ofp_handler", "controller.southbound.bench"])
    manager.instantiate_apps(**manager.create_contexts())
    (app,) = [one for one in app_manager.SERVICE_BRICKS.values() if type(one).__name__ == "Bench"]
    app.here.wait()
    Path(result).write_text(json.dumps(measure(app.switch, int(count), int(rounds))))
    os._exit(0)


if __name__ == "__main__":
    main()
