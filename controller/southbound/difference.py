"""From what a switch holds to what it should hold: as few messages as that takes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

from controller.southbound import wire
from controller.southbound.flows import Flow, Flows, Key
from controller.southbound.labels import Group

Groups = dict[int, Group]


@dataclass(frozen=True, slots=True)
class Step:
    """One message: how it is packed with its number, and what it does.

    ``adds``: the flow that it brings, ``new`` where there was none in its place; ``removes``: the
    flows that it takes away; ``group``: the group that it is about, ``leftover`` if that goes.
    """

    pack: Callable[[int], bytes]
    adds: Flow | None = None
    new: bool = False
    removes: tuple[Flow, ...] = ()
    group: int | None = None
    leftover: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """All steps, in three parts: groups first, then flows, then groups that nothing needs."""

    groups: list[Step] = field(default_factory=list)
    adds: list[Step] = field(default_factory=list)
    removals: list[Step] = field(default_factory=list)
    leftovers: list[Step] = field(default_factory=list)

    def at_once(self) -> list[Step]:
        """Return the order for a bundle, which happens at once: room is made first."""
        return [*self.groups, *self.removals, *self.adds, *self.leftovers]

    def one_by_one(self) -> list[Step]:
        """Return the order without bundles: the new is there before the old goes."""
        return [*self.groups, *self.adds, *self.removals, *self.leftovers]


def settle(held: Flows, wanted: Flows, circuits: Collection[int], keys: Collection[Key]) -> Flows:
    """Return what is wanted, save that these circuits and flows stay as they are held."""
    if not circuits and not keys:
        return dict(wanted)

    def stays(flow: Flow) -> bool:
        return (flow.circuit != 0 and flow.circuit in circuits) or flow.key in keys

    target = {key: flow for key, flow in wanted.items() if not stays(flow)}
    target.update({key: flow for key, flow in held.items() if stays(flow)})
    return target


def difference(
    flows: Flows, groups: Mapping[int, Group], wanted: Flows, wanted_groups: Mapping[int, Group]
) -> Change:
    """Return the steps from flows and groups to others; nothing that is right is touched."""
    change = Change()
    for number, group in wanted_groups.items():
        if groups.get(number) != group:
            command = wire.GROUP_MODIFY if number in groups else wire.GROUP_ADD
            change.groups.append(Step(partial(wire.group_mod, group, command), group=number))
    for key, flow in wanted.items():
        before = flows.get(key)
        if before != flow:
            change.adds.append(Step(partial(wire.flow_add, flow), flow, before is None))
    change.removals.extend(_removals(flows, wanted))
    for number, group in groups.items():
        if number not in wanted_groups:
            change.leftovers.append(
                Step(partial(wire.group_mod, group, wire.GROUP_DELETE), group=number, leftover=True)
            )
    return change


def _removals(flows: Flows, wanted: Flows) -> list[Step]:
    """Return removals: by cookie where all that has it goes, else one by one."""
    going = [flow for key, flow in flows.items() if key not in wanted]
    if not going:
        return []
    # what stays, or is replaced within the same change, must not go with its cookie
    staying = {flow.cookie for key, flow in flows.items() if key in wanted}
    staying |= {flow.cookie for flow in wanted.values()}
    whole: dict[int, list[Flow]] = {}
    steps = []
    for flow in going:
        # what bears our cookie and no match of ours can be named by its cookie only
        if (flow.circuit or not wire.packable(flow.match)) and flow.cookie not in staying:
            whole.setdefault(flow.cookie, []).append(flow)
        elif wire.packable(flow.match):
            steps.append(Step(partial(wire.flow_remove, flow), removes=(flow,)))
    steps += [
        Step(partial(wire.cookie_remove, cookie), removes=tuple(those))
        for cookie, those in whole.items()
    ]
    return steps
