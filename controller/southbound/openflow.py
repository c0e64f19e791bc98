"""The one place where flows become OpenFlow messages and flow statistics become flows again."""

from typing import Any

from controller.southbound.flows import COOKIE_BASE, COOKIE_MASK, Action, Flow

_REG_MOVE, _DEC_NSH_TTL = "NXActionRegMove", "NXActionDecNshTtl"


def _action(parser: Any, protocol: Any, action: Action) -> Any:
    kind = action[0]
    if kind == "output":
        return parser.OFPActionOutput(action[1])
    if kind == "in_port":
        return parser.OFPActionOutput(protocol.OFPP_IN_PORT)
    if kind == "controller":
        return parser.OFPActionOutput(protocol.OFPP_CONTROLLER, protocol.OFPCML_NO_BUFFER)
    if kind == "set":
        return parser.OFPActionSetField(**{str(action[1]): action[2]})
    if kind == "move":
        return parser.NXActionRegMove(src_field=action[1], dst_field=action[2], n_bits=action[3])
    if kind == "dec_ttl":
        return parser.OFPActionDecNwTtl()
    if kind == "dec_nsh_ttl":
        return parser.NXActionDecNshTtl()
    raise AssertionError(f"no such action: {kind}")


def flow_mod(datapath: Any, flow: Flow, generation: int, *, remove: bool = False) -> Any:
    """Return the message that adds a flow, or changes its actions, or strictly removes it."""
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    actions = [_action(parser, protocol, action) for action in flow.actions]
    return parser.OFPFlowMod(
        datapath,
        cookie=COOKIE_BASE | (generation & 0xFFFFFFFF),
        command=protocol.OFPFC_DELETE_STRICT if remove else protocol.OFPFC_ADD,
        priority=flow.priority,
        match=parser.OFPMatch(**dict(flow.match)),
        out_port=protocol.OFPP_ANY,
        out_group=protocol.OFPG_ANY,
        instructions=[]
        if remove
        else [parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, actions)],
    )


def stats_request(datapath: Any, generation: int | None = None) -> Any:
    """Ask for our flows, or for those of one generation only."""
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    return parser.OFPFlowStatsRequest(
        datapath,
        0,
        protocol.OFPTT_ALL,
        protocol.OFPP_ANY,
        protocol.OFPG_ANY,
        COOKIE_BASE | (0 if generation is None else generation & 0xFFFFFFFF),
        COOKIE_MASK | (0 if generation is None else 0xFFFFFFFF),
        parser.OFPMatch(),
    )


def count_request(datapath: Any) -> Any:
    """Ask how many flows of ours there are."""
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    return parser.OFPAggregateStatsRequest(
        datapath,
        0,
        protocol.OFPTT_ALL,
        protocol.OFPP_ANY,
        protocol.OFPG_ANY,
        COOKIE_BASE,
        COOKIE_MASK,
        parser.OFPMatch(),
    )


def _read_action(protocol: Any, action: Any) -> Action:
    name = type(action).__name__
    if name == "OFPActionOutput":
        if action.port == protocol.OFPP_CONTROLLER:
            return ("controller",)
        if action.port == protocol.OFPP_IN_PORT:
            return ("in_port",)
        return ("output", action.port)
    if name == "OFPActionSetField":
        return ("set", action.key, action.value)
    if name == _REG_MOVE:
        return ("move", action.src_field, action.dst_field, action.n_bits)
    if name == "OFPActionDecNwTtl":
        return ("dec_ttl",)
    if name == _DEC_NSH_TTL:
        return ("dec_nsh_ttl",)
    return (name,)


def read_flow(datapath: Any, row: Any) -> Flow:
    """Return the flow that a row of flow statistics describes."""
    protocol = datapath.ofproto
    actions: list[Action] = []
    for instruction in row.instructions:
        actions += [_read_action(protocol, a) for a in getattr(instruction, "actions", [])]
    fields: dict[str, int | str] = {}
    for key, value in row.match.items():
        fields[key] = "/".join(value) if isinstance(value, tuple) else value
    return Flow(row.priority, tuple(sorted(fields.items())), tuple(actions))
