"""What the journal says of a demand, a circuit or a decision, as plain values."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from controller.explain import demand
from controller.explain.demand import shares_of, skill_facts
from controller.explain.errors import ExplainError
from controller.explain.history import Made, made_from
from controller.journal import Entry, Journal
from controller.state import Circuit, Plan

MOST_MOVES = 10
"""Demands that a decision's account names, those with the most traffic first."""


def effect_facts(entry: Entry) -> dict[str, Any] | None:
    """Return what came of a decision on the matrix that was really there; None: not yet known."""
    found = entry.realised
    if found is None:
        return None
    return {**asdict(found), "regret": found.regret, "regret_of_reacting": found.regret_of_reacting}


def demand_facts(made: Made, src: str, dst: str) -> dict[str, Any]:
    """Return what is known of a demand in a decision; see ``demand.demand_facts``."""
    return {**demand.demand_facts(made, src, dst), "effect": effect_facts(made.entry)}


def circuit_facts(entries: Sequence[Entry], asked: str) -> dict[str, Any]:
    """Return what is known of a circuit, by number or name, from decisions, oldest first.

    Raises:
        ExplainError: no decision has it.
    """
    last = next(
        (entry for entry in reversed(entries) if _find(entry.plan, asked) is not None), None
    )
    if last is None:
        raise ExplainError(f"no decision that is kept has a circuit {asked}")
    plan = last.plan
    circuit = _find(plan, asked)
    assert circuit is not None
    since = last
    for entry in reversed(entries[: entries.index(last)]):
        before = _find(entry.plan, str(circuit.spi))
        if before is None or (before.src, before.dst, before.links, before.name) != (
            circuit.src, circuit.dst, circuit.links, circuit.name,
        ):  # fmt: skip
            break
        since = entry
    rules = next((one for one in plan.filters if one.spi == circuit.spi), None)
    return {
        **{key: getattr(circuit, key) for key in circuit.__slots__},
        "links": list(circuit.links),
        "backup": list(circuit.backup),
        "decision": last.number,
        "in_force": last is entries[-1],
        "since_decision": since.number,
        "since_s": since.time_s,
        "since_or_earlier": since is entries[0],
        "carries": [
            {"demand": f"{split.src}>{split.dst}", "share": share}
            for split in plan.splits
            for spi, share in zip(split.spis, split.shares, strict=True)
            if spi == circuit.spi
        ],
        "stands_by_for": sorted(
            {
                f"{split.src}>{split.dst}"
                for split in plan.splits
                if circuit.spi in split.backups
            }
        ),
        "firewall": None
        if rules is None
        else {"rules": [asdict(rule) for rule in rules.rules], "allow_rest": rules.allow_rest},
        "worst_utilisation": max((plan.utilisation.get(x, 0.0) for x in circuit.links), default=0),
    }  # fmt: skip


def _find(plan: Plan, asked: str) -> Circuit | None:
    for circuit in plan.circuits:
        if circuit.name == asked or str(circuit.spi) == asked:
            return circuit
    return None


def decision_facts(made: Made) -> dict[str, Any]:
    """Return what is known of a decision: cause, forecast, what was left out, moves, effect."""
    entry, plan = made.entry, made.decided
    worst = max(plan.utilisation, key=lambda name: plan.utilisation[name], default="")
    return {
        "decision": entry.number,
        "tick": entry.tick,
        "time_s": entry.time_s,
        "trigger": entry.event or "tick",
        "computed": entry.computed,
        "observed": entry.observed,
        "plan": plan.number,
        "previous": entry.previous,
        "method": plan.method,
        "reason": plan.reason,
        "forecast": {
            "number": made.forecast.number,
            "model": made.forecast.model,
            "quantile": made.policies.quantile,
            "horizon_steps": made.policies.horizon_steps,
            "skill": skill_facts(made.forecast.skill, made.policies.horizon_steps),
        },
        "notes": list(plan.notes),
        "refused_paths": [asdict(one) for one in made.snapshot.refused],
        "links_down": [link.name for link in made.snapshot.links if not link.up],
        "rules": [rule.words for rule in plan.ruling.active],
        "refused_rules": [rule.words for rule in plan.ruling.refused],
        "services": _services(made),
        "moves": _moves(made),
        "moved_buckets": plan.moved_buckets,
        "expected": {"worst_link": worst, "max_utilisation": plan.max_utilisation},
        "effect": effect_facts(entry),
        "outcome": asdict(entry.decision.outcome),
        "iterations": plan.iterations,
        "decide_ms": entry.decision.decide_ms,
        "made_with": entry.made_with,
    }


def _moves(made: Made) -> list[dict[str, Any]]:
    """Return the demands that take other paths than before, those with the most traffic first."""
    if made.previous is None:
        return []
    index = {name: at for at, name in enumerate(made.snapshot.nodes)}
    fan = made.forecast.quantile(made.policies.horizon_steps, made.policies.quantile)
    found = []
    for split in made.decided.splits:
        after = shares_of(made.decided, split.src, split.dst)
        before = shares_of(made.previous, split.src, split.dst)
        share = sum(max(0.0, value - before.get(path, 0.0)) for path, value in after.items())
        if share > 1e-9 and before:
            rate = float(fan[index[split.src], index[split.dst]]) * share
            found.append({"demand": f"{split.src}>{split.dst}", "share": share, "bps": rate})
    return sorted(found, key=lambda one: -float(str(one["bps"])))[:MOST_MOVES]


def _services(made: Made) -> list[dict[str, Any]]:
    """Return where clients' connections go otherwise than in the plan before, and why."""
    before = (
        {(one.service, one.src): one for one in made.previous.services} if made.previous else {}
    )
    found = []
    for one in made.decided.services:
        old = before.get((one.service, one.src))
        if old is None or (old.instances, old.shares) != (one.instances, one.shares):
            shares = dict(zip(one.instances, one.shares, strict=True))
            found.append(
                {"service": one.service, "src": one.src, "shares": shares, "reason": one.reason}
            )
    return found


def pick(journal: Journal, asked: str) -> Made:
    """Return one decision by number, or the ``last``, with the plan before it.

    Raises:
        ExplainError: it is not kept, or does not hold what it was made from.
        JournalError: the file is damaged.
    """
    if asked == "last":
        rows = list(journal.decisions(2))
    elif asked.isdigit():
        found = journal.decision(int(asked)), journal.decision(int(asked) - 1)
        rows = [row for row in reversed(found) if row is not None] if found[0] else []
    else:
        raise ExplainError(f"{asked!r} is neither a decision's number nor 'last'")
    if not rows:
        newest = [str(row.number) for row in journal.decisions(1)]
        last = f"; the newest is {newest[0]}" if newest else ", nor any other"
        raise ExplainError(f"decision {asked} is not kept{last}")
    made = list(made_from(rows))
    if not made or made[-1].entry is not rows[-1]:
        raise ExplainError(f"decision {rows[-1].number} does not hold what it was made from")
    return made[-1]
