"""Programming one switch: a change as one bundle, refused circuits left out, and read back."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.southbound import openflow, wire
from controller.southbound.difference import Groups, Step, difference, settle
from controller.southbound.flows import (
    COOKIE_BASE,
    COOKIE_MASK,
    GENERATION_MASK,
    Flow,
    Flows,
    Key,
)
from controller.southbound.labels import groups_of, is_ours
from controller.southbound.refusals import is_error, is_full, reason
from controller.southbound.session import Session, SwitchGoneError

LOG = logging.getLogger("foresteer.southbound")
TRIES = 8
MESSAGES_PER_S = 2000
"""The slowest that a switch may be before it counts as gone."""

READ_BACK = 256
"""Up to so many flows of a generation are read back one by one; of more, only their number."""

GENERATIONS = 8


@dataclass(slots=True)
class Done:
    """What bringing a switch to a state took; ``refused``: circuits and the switch's reasons."""

    added: int = 0
    removed: int = 0
    mismatches: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Failure:
    """What of a change was refused: by step, in order; and the switch's words where none was."""

    steps: list[tuple[int, Any]]
    words: str = ""


class Program:
    """The flows and groups of ours that one switch holds, as far as is known."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.flows: Flows = {}
        self.groups: Groups = {}
        self.foreign = 0
        self.foreign_groups = 0
        self.bundles: bool | None = None
        self._bundle = 0
        openflow.teach(session.datapath)

    # reading

    def _read(self, parts: list[Any]) -> Flows:
        datapath = self.session.datapath
        if is_error(parts[-1]):
            raise SwitchGoneError(f"it does not tell its flows: {reason(parts[-1])}")
        rows = (row for part in parts for row in part.body)
        return {flow.key: flow for flow in (openflow.read_flow(datapath, row) for row in rows)}

    def _read_groups(self, parts: list[Any]) -> Groups:
        rows = [row for part in parts if not is_error(part) for row in part.body]
        ours = [row for row in rows if is_ours(row.group_id)]
        self.foreign_groups = len(rows) - len(ours)
        groups = (openflow.read_group(self.session.datapath, row) for row in ours)
        return {group.number: group for group in groups}

    def adopt(self) -> None:
        """Take what the switch holds of ours as the state to go on from."""
        datapath = self.session.datapath
        flows, groups, count = self.session.ask(
            openflow.stats_request(datapath),
            openflow.groups_request(datapath),
            openflow.count_request(datapath, 0, 0),
        )
        self.flows, self.groups = self._read(flows), self._read_groups(groups)
        self.foreign = max(0, _count(count) - len(self.flows))

    def agrees(self) -> bool:
        """Whether numbers of flows and all groups are what they should be: the cheap question."""
        datapath = self.session.datapath
        ours, everybody, groups = self.session.ask(
            openflow.count_request(datapath),
            openflow.count_request(datapath, 0, 0),
            openflow.groups_request(datapath),
        )
        count = _count(ours)
        self.foreign = max(0, _count(everybody) - count)
        return count == len(self.flows) and self._read_groups(groups) == self.groups

    # writing

    def bring(self, wanted: Flows) -> Done:
        """Bring the switch to hold these flows, and the groups that they need.

        A circuit that it refuses any part of stays as it was.

        Raises:
            SwitchGoneError: it disconnected or did not answer.
        """
        done = Done()
        before = dict(self.flows)
        keys: dict[Key, str] = {}
        for attempt in range(TRIES):
            target = settle(before, wanted, done.refused, keys)
            change = difference(self.flows, self.groups, target, groups_of(target.values()))
            plain = self.bundles is False
            steps = change.one_by_one() if plain else change.at_once()
            if not steps:
                break
            failure = self._send_plain(steps) if plain else self._send_bundle(steps)
            if failure is None:
                self.flows, self.groups = target, groups_of(target.values())
                self._count_up(done, steps)
                done.mismatches = self._read_back([s.adds for s in change.adds if s.adds])
                break
            if failure.words == _NO_BUNDLES:
                continue
            if attempt == TRIES - 2 or not failure.steps:
                # no end in sight: whatever is new is left out
                why = failure.words or reason(failure.steps[0][1])
                failure = _Failure([], why)
                self._leave_out(range(len(steps)), steps, why, target, done, keys)
            for index, error in failure.steps:
                those = [index]
                if is_full(error):
                    those += _alike(steps, index)
                self._leave_out(those, steps, reason(error), target, done, keys)
        done.errors += [f"{why}: a flow of {_what(key)}" for key, why in keys.items()]
        return done

    @staticmethod
    def _count_up(done: Done, steps: Sequence[Step]) -> None:
        done.added += sum(not step.removes and not step.leftover for step in steps)
        done.removed += sum(len(step.removes) for step in steps)

    @staticmethod
    def _leave_out(
        those: Sequence[int],
        steps: Sequence[Step],
        why: str,
        target: Flows,
        done: Done,
        keys: dict[Key, str],
    ) -> None:
        for index in those:
            step = steps[index]
            flows = [step.adds] if step.adds else list(step.removes)
            if step.group is not None:
                flows = [flow for flow in target.values() if flow.group == step.group]
            for flow in flows:
                if flow.circuit:
                    done.refused.setdefault(flow.circuit, why)
                else:
                    keys.setdefault(flow.key, why)

    def _send_plain(self, steps: Sequence[Step]) -> _Failure | None:
        xids = self.session.reserve(len(steps))
        errors = self.session.watch(xids)
        self.session.send(step.pack(xid) for step, xid in zip(steps, xids, strict=True))
        self.session.barrier(3 + len(steps) / MESSAGES_PER_S)
        failed = [(i, errors[xid]) for i, xid in enumerate(xids) if errors[xid] is not None]
        if not failed:
            return None
        self.adopt()  # some of it is there now
        return _Failure(failed)

    def _send_bundle(self, steps: Sequence[Step]) -> _Failure | None:
        session = self.session
        self._bundle += 1
        bundle = self._bundle
        start, *xids, commit = session.reserve(len(steps) + 2)
        errors = session.watch((start, *xids))
        with session.expecting(start, commit):
            session.send([wire.bundle_control(bundle, wire.OPEN, start)])
            if self.bundles is None:
                session.wait(start)
                self.bundles = errors[start] is None
                if not self.bundles:
                    return _Failure([], _NO_BUNDLES)
            session.send(
                wire.bundle_add(bundle, step.pack(xid))
                for step, xid in zip(steps, xids, strict=True)
            )
            session.send([wire.bundle_control(bundle, wire.COMMIT, commit)])
            (answer,) = session.wait(commit, 3 + len(steps) / MESSAGES_PER_S)
        failed = [(i, errors[xid]) for i, xid in enumerate(xids) if errors[xid] is not None]
        if failed or is_error(answer):
            return _Failure(failed, "" if failed else reason(answer))
        return None

    def _read_back(self, added: Sequence[Flow]) -> int:
        """Return how many flows are not as they were sent; then the switch was read as it is."""
        datapath = self.session.datapath
        expected: dict[int, Flows] = {flow.generation: {} for flow in added}
        if len(expected) > GENERATIONS:
            expected = {}
        if expected:
            for key, flow in self.flows.items():
                if flow.generation in expected:
                    expected[flow.generation][key] = flow
        requests = [openflow.count_request(datapath), openflow.count_request(datapath, 0, 0)]
        for generation, flows in expected.items():
            ask = openflow.count_request if len(flows) > READ_BACK else openflow.stats_request
            cookie, mask = COOKIE_BASE | generation, COOKIE_MASK | GENERATION_MASK
            requests.append(ask(datapath, cookie, mask))
        ours, everybody, *answers = self.session.ask(*requests)
        count = _count(ours)
        self.foreign = max(0, _count(everybody) - count)
        wrong = abs(count - len(self.flows))
        for flows, parts in zip(expected.values(), answers, strict=True):
            if len(flows) > READ_BACK:
                wrong = max(wrong, abs(_count(parts) - len(flows)))
            else:
                held = self._read(parts)
                wrong = max(wrong, sum(held.get(key) != flow for key, flow in flows.items()))
        if wrong:
            LOG.error("switch %s holds %d flows otherwise than it said", datapath.id, wrong)
            self.adopt()
        return wrong


_NO_BUNDLES = "no bundles"


def _alike(steps: Sequence[Step], index: int) -> list[int]:
    """Return the later steps that need room of the same kind."""
    first = steps[index]
    return [
        i
        for i, step in enumerate(steps)
        if i > index
        and step.new == first.new
        and (step.adds and step.adds.table) == (first.adds and first.adds.table)
        and not step.removes
    ]


def _count(parts: list[Any]) -> int:
    return 0 if is_error(parts[0]) else int(parts[0].body.flow_count)


def _what(key: Key) -> str:
    return ", ".join(f"{name} {value}" for name, value in key[2])
