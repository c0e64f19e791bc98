"""Which rules are in force: those whose condition holds or held a moment ago, and the loop's own.

Only rules of the layers given come out, so what is withdrawn leaves nothing behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.decide.candidates import Floats
from controller.decide.policy.condition import compile_condition
from controller.decide.policy.errors import ConditionError
from controller.decide.policy.outlook import Outlook
from controller.decide.policy.vector import Facts, Verdicts, evaluate
from controller.decide.reasons import percent
from controller.layers import (
    DIVERT,
    LOOP,
    ActiveRule,
    Bound,
    Global,
    GranularRule,
    RefusedRule,
    Ruling,
)

LEAST = 1e-9
"""Shares below are none."""

HOLDS, LASTS, RESTS = "holds", "lasts", "rests"
"""How a rule is in force: its condition holds; its end does not yet; its lifetime is not over."""


@dataclass(frozen=True, slots=True)
class InForce:
    """A rule in force, and what of it is told; ``held``: the share it had before."""

    rule: GranularRule
    told: ActiveRule
    held: float = 0.0


def in_force(
    rules: Sequence[GranularRule],
    facts: Facts,
    nodes: tuple[str, ...],
    previous: Ruling,
    time_s: float,
) -> tuple[list[InForce], list[RefusedRule]]:
    """Return the operators' rules in force, and those whose condition cannot be told."""
    living = [rule for rule in rules if rule.expires_s is None or time_s < rule.expires_s]
    good, refused = _compiled(living)
    verdicts = evaluate([compile_condition(rule.condition or "true") for rule in good], facts)
    asked = _asked(good, nodes)
    refused += _untold(good, verdicts, asked, nodes)
    found = {(int(r), int(n)): HOLDS for r, n in np.argwhere(verdicts.holds & asked)}
    held: dict[tuple[int, int], ActiveRule] = {}
    index = {name: number for number, name in enumerate(nodes)}
    places = {rule.name: number for number, rule in enumerate(good)}
    for old in previous.active:
        if old.written_by != LOOP and old.name in places and old.location in index:
            key = places[old.name], index[old.location]
            if asked[key] and good[key[0]].action == old.action:
                held[key] = old
    lasting = [key for key in sorted(held) if key not in found and good[key[0]].until]
    ends = evaluate([compile_condition(good[r].until) for r, _ in lasting], facts)
    for at, (r, n) in enumerate(lasting):
        if not ends.holds[at, n] and not ends.codes[at, n]:
            found[r, n] = LASTS
    for key, old in held.items():
        if key not in found and old.until_s is not None and time_s < old.until_s:
            found[key] = RESTS
    return [
        _told(good[r], nodes[n], how, held.get((r, n)), time_s)
        for (r, n), how in sorted(found.items())
    ], refused


def _compiled(
    rules: Sequence[GranularRule],
) -> tuple[list[GranularRule], list[RefusedRule]]:
    """Return the rules by name whose conditions compile, and the others with the reason."""
    good: list[GranularRule] = []
    refused: list[RefusedRule] = []
    for rule in sorted(rules, key=lambda rule: rule.name):
        try:
            for text in filter(None, (rule.condition, rule.until)):
                compile_condition(text)
        except ConditionError as error:
            refused.append(RefusedRule(rule.name, "", "", f"its condition is wrong: {error}"))
        else:
            good.append(rule)
    return good, refused


def _told(
    rule: GranularRule, location: str, how: str, old: ActiveRule | None, time_s: float
) -> InForce:
    """Return a rule in force; ``old``: as it was, None where it is new."""
    until: float | None = time_s + rule.lifetime_s
    if not rule.condition:
        until, why = None, "it holds always"
    elif how == HOLDS:
        why = f"{rule.condition} holds at {location}"
    elif how == LASTS:
        why = f"it began with {rule.condition}, and {rule.until} does not hold yet"
    else:
        until = old.until_s if old else time_s
        why = f"what keeps it held at {location} less than {rule.lifetime_s:g} s ago"
    if rule.expires_s is not None:
        until = rule.expires_s if until is None else min(until, rule.expires_s)
    since = old.since_s if old is not None else time_s
    changed = old.changed_s if old is not None and old.share == rule.share else time_s
    targets = old.targets if old is not None else ()
    return InForce(
        rule,
        ActiveRule(
            rule.name, rule.action, location, rule.share, rule.written_by, why, since, until,
            changed, targets,
        ),
    )  # fmt: skip


def _asked(rules: Sequence[GranularRule], nodes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return [R, L]: at which locations each condition is asked."""
    index = {name: number for number, name in enumerate(nodes)}
    asked = np.ones((len(rules), len(nodes)), dtype=np.bool_)
    for at, rule in enumerate(rules):
        places = rule.at or tuple({dst: None for _, dst in rule.demands})
        if places:
            asked[at] = False
            asked[at, [index[name] for name in places if name in index]] = True
    return asked


def _untold(
    rules: Sequence[GranularRule],
    verdicts: Verdicts,
    asked: NDArray[np.bool_],
    nodes: tuple[str, ...],
) -> list[RefusedRule]:
    """Return, once a rule, where its condition could not be evaluated and so does not hold."""
    bad = (verdicts.codes != 0) & asked
    found = []
    for at in np.flatnonzero(bad.any(axis=1)).tolist():
        places = np.flatnonzero(bad[at]).tolist()
        more = f" (and at {len(places) - 1} more)" if len(places) > 1 else ""
        why = f"its condition does not hold: {verdicts.why(at, places[0])}{more}"
        found.append(RefusedRule(rules[at].name, nodes[places[0]], "", why))
    return found


def loop_rules(
    general: Global,
    outlook: Outlook,
    movable: Sequence[bool],
    previous: Ruling,
    time_s: float,
    *,
    frozen: bool,
) -> list[InForce]:
    """Return the rules that the loop itself writes: divert from what will be full, and back.

    A location that binds ``general.high`` gets a divert of ``step``; while it still binds after
    ``hold_s``, one more ``step``, up to ``most``. One that binds ``general.low`` gets a ``step``
    back every ``hold_s`` until the rule is gone, but only where it would stay below ``high`` with
    it, if all its traffic came back in proportion; without ``low`` that alone counts. In between
    nothing changes. A rule that was not looked at for longer than it lives is gone.

    ``movable`` [L]: whether anything could be diverted from there. ``frozen``: they stay as they
    are.
    """
    held = {one.location: one for one in previous.active if one.written_by == LOOP}
    if general.high is None:
        return []
    above = _binds(outlook, general.high, general.high.utilisation, above=True)
    low = general.low or general.high
    shares = np.array([held[x].share if x in held else 0.0 for x in outlook.nodes])
    left = np.maximum(1.0 - shares, LEAST)
    back = general.high.utilisation * left / np.minimum(left + general.step, 1.0)
    below = _binds(outlook, low, np.minimum(low.utilisation, back), above=False)
    found: list[InForce] = []
    for at, location in enumerate(outlook.nodes):
        old = held.get(location)
        if old is not None and old.until_s is not None and time_s > old.until_s:
            old = None
        share = old.share if old else 0.0
        why = old.why if old else ""
        due = old is None or time_s - old.changed_s >= general.hold_s
        if due and not frozen:
            if above[1][at] and movable[at]:
                share, why = min(general.most, share + general.step), _because(
                    general.high, float(above[0][at]), float(outlook.predicted[at]), "above"
                )  # fmt: skip
            elif old and below[1][at]:
                share, why = share - general.step, _because(
                    low, float(below[0][at]), float(outlook.predicted[at]), "below"
                )  # fmt: skip
        if share <= LEAST or (frozen and old is None):
            continue
        changed = old.changed_s if old and old.share == share else time_s
        rule = GranularRule(
            f"loop:{location}", DIVERT, at=(location,), share=share, priority=0, written_by=LOOP
        )
        told = ActiveRule(
            rule.name, DIVERT, location, share, LOOP, why,
            old.since_s if old else time_s,
            time_s + general.hold_s + general.high.horizon_s,
            changed,
            old.targets if old else (),
        )  # fmt: skip
        found.append(InForce(rule, told, old.share if old else 0.0))
    return found


def _binds(
    outlook: Outlook, bound: Bound, utilisation: Floats | float, *, above: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return [L]: the probability, and whether it is high enough; never where it is not known."""
    found = outlook.probability(np.atleast_2d(utilisation), np.array([[bound.horizon_s]]), above)[0]
    return found, np.nan_to_num(found) > bound.probability


def _because(bound: Bound, probability: float, predicted: float, side: str) -> str:
    return (
        f"P(utilisation {side} {percent(bound.utilisation)} within {bound.horizon_s:g} s) is"
        f" {percent(probability)}, {percent(predicted)} predicted"
    )
