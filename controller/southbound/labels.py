"""Labels as flows, and their ways around a dead port as fast-failover groups.

A group's number says all that it does, so circuits that leave by the same port and fall back to the
same one share it, two switches never disagree about it, and a group of ours that exists is right
unless somebody changed it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from controller.southbound.flows import (
    ETH_NSH,
    PRIORITY_LABEL,
    PRIORITY_LABEL_ECHO,
    PRIORITY_LABEL_FILTERED,
    PRIORITY_LABEL_PORT,
    TABLE_LABELS,
    TABLE_RULES,
    Action,
    Flow,
    match,
)
from headers.messages import TURN_BACK, Label

PROTECTION = 1 << 23
CIRCUIT = PROTECTION - 1
LARGEST_PORT = 0x1FFF
"""Ports up to here fit into a group's number; beyond, a label goes without protection."""

_OURS, _OURS_MASK = 0xF0000000, 0xF8000000
_TURN = 1 << 26
_ECHO_FLAG = "2/2"

SET_PROTECTION: tuple[Action, ...] = (
    # the number cannot be set in part, so it goes by way of a register
    ("move", "nsh_spi", "reg0", 24),
    ("load", "reg0", 23, 1, 1),
    ("move", "reg0", "nsh_spi", 24),
)

SAVE: tuple[Action, ...] = (
    ("move", "nsh_ttl", "reg1", 8),
    ("move", "nsh_si", "reg1", 8, 0, 8),
    ("move", "nsh_flags", "reg1", 8, 0, 16),
    ("move", "nsh_spi", "reg3", 24),
    ("move", "nsh_c1", "reg4", 32),
    ("move", "nsh_c2", "reg5", 32),
    ("move", "nsh_c3", "reg6", 32),
    ("move", "nsh_c4", "reg7", 32),
    ("move", "eth_src_nxm", "xxreg2", 48),
    ("move", "eth_dst_nxm", "xxreg2", 48, 0, 48),
)
"""Keep the headers in registers: a packet that was asked for its addresses gets them back."""

RESTORE: tuple[Action, ...] = (
    ("encap", "nsh"),
    *(
        ("move", str(after), str(before), int(bits), *reversed(ends))
        for _, before, after, bits, *ends in SAVE[:-2]
    ),
    ("encap", "ethernet"),
    *(
        ("move", str(after), str(before), int(bits), *reversed(ends))
        for _, before, after, bits, *ends in SAVE[-2:]
    ),
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a group does while ``watch`` is alive, unless an earlier bucket's port is."""

    watch: int
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A fast-failover group of ours."""

    number: int
    buckets: tuple[Bucket, ...]


def is_ours(number: int) -> bool:
    """Whether a group's number is one that we give."""
    return number & _OURS_MASK == _OURS


def group_number(port: int, backup: int, *, turn: bool) -> int:
    """Return the number of the group for ``port`` with a way around it by ``backup``.

    ``turn``: ``backup`` is where the packet came in.
    """
    return _OURS | (_TURN if turn else 0) | port << 13 | backup


def group(number: int) -> Group:
    """Return the group that a number of ours stands for."""
    port, backup = number >> 13 & LARGEST_PORT, number & LARGEST_PORT
    back: Action = ("in_port",) if number & _TURN else ("output", backup)
    return Group(
        number,
        (Bucket(port, (("output", port),)), Bucket(backup, (*SET_PROTECTION, back))),
    )


def groups_of(flows: Iterable[Flow]) -> dict[int, Group]:
    """Return the groups that flows need."""
    numbers = {flow.group for flow in flows} - {None}
    return {number: group(number) for number in sorted(n for n in numbers if n is not None)}


def _leave(label: Label) -> Action:
    """Return how a label's packets leave."""
    turn = label.backup_port == TURN_BACK
    backup = label.in_port if turn else label.backup_port
    if label.port == label.in_port:
        return ("in_port",)
    if not backup or backup == label.port or max(backup, label.port) > LARGEST_PORT:
        return ("output", label.port)
    return ("group", group_number(label.port, backup, turn=turn or backup == label.in_port))


def label_flows(label: Label, *, filtered: bool = False) -> tuple[Flow, ...]:
    """Return a label's flows: one, or with a firewall three.

    A filtered packet is taken out of its headers and asked in table 1 what it is; the label itself
    stands in table 2. Echoes hold no packet that could be asked, and only engines make them.
    """
    where = {"in_port": label.in_port} if label.in_port else {}
    fields = match(eth_type=ETH_NSH, nsh_spi=label.spi, **where)
    mark = {"circuit": label.spi & CIRCUIT, "generation": label.generation}
    priority = PRIORITY_LABEL_PORT if label.in_port else PRIORITY_LABEL
    actions: tuple[Action, ...] = (("dec_nsh_ttl",), _leave(label))
    if not filtered:
        return (Flow(priority, fields, actions, **mark),)
    echo = match(**dict(fields), nsh_flags=_ECHO_FLAG)
    ask: tuple[Action, ...] = (*SAVE, ("decap",), ("decap",), ("resubmit", TABLE_RULES))
    return (
        Flow(PRIORITY_LABEL_ECHO, echo, (("resubmit", TABLE_LABELS),), **mark),
        Flow(PRIORITY_LABEL_FILTERED, fields, ask, **mark),
        Flow(priority, fields, actions, TABLE_LABELS, **mark),
    )
