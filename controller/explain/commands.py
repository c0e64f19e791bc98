"""The ``explain``, ``replay`` and ``whatif`` commands of ``foresteer``."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from controller.explain.whatif import Question, Ran
    from controller.journal import Journal

FILE = click.Path(path_type=Path, dir_okay=False)
MOST_SHOWN = 20
MOST_SEARCHED = 1000
"""Decisions that are looked through for where a circuit began."""


@contextmanager
def _opened(journal: Path | None, instance: Path | None) -> Iterator["Journal"]:
    """Open a journal to read; what can go wrong is said in a sentence."""
    from bus import Instance, InstanceError
    from controller.decide import DecideError
    from controller.errors import JournalError
    from controller.explain.errors import ExplainError
    from controller.journal import Journal

    try:
        path = journal or Instance.find(instance).journal
        if not path.exists():
            raise click.ClickException(f"there is no journal {path}")
        found = Journal(path)
        try:
            yield found
        finally:
            found.close()
    except (DecideError, ExplainError, InstanceError, JournalError) as error:
        raise click.ClickException(str(error)) from error


def _say(facts: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    click.echo(json.dumps(facts, indent=1) if as_json else "\n".join(lines))


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON."),
        click.option("--instance", type=click.Path(path_type=Path), help="A running one's."),
        click.option("--journal", type=FILE, help="The journal's file (default: the instance's)."),
    ):
        command = option(command)
    return command


@click.group()
def explain() -> None:
    """Say in plain words why something is as it is, from the journal."""


@explain.command()
@click.argument("demand", metavar="SRC>DST")
@click.option("--decision", default="last", show_default=True, help="Which decision, by number.")
@_options
def demand(
    demand: str, decision: str, journal: Path | None, instance: Path | None, *, as_json: bool
) -> None:
    """Forecast, alternatives with their costs, moves and effect of one demand."""
    from controller.explain import facts, words

    src, arrow, dst = demand.replace("→", ">").partition(">")
    if not arrow:
        raise click.BadParameter(f"{demand!r} is not like SRC>DST")
    with _opened(journal, instance) as opened:
        found = facts.demand_facts(facts.pick(opened, decision), src, dst)
    _say(found, words.demand(found), as_json=as_json)


@explain.command()
@click.argument("circuit", metavar="NUMBER|NAME")
@_options
def circuit(circuit: str, journal: Path | None, instance: Path | None, *, as_json: bool) -> None:
    """Path, backup, users and firewall of one circuit, and since when it is there."""
    from controller.explain import circuit_facts, words

    with _opened(journal, instance) as opened:
        found = circuit_facts(list(opened.decisions(MOST_SEARCHED)), circuit)
    _say(found, words.circuit(found), as_json=as_json)


@explain.command()
@click.argument("decision", metavar="NUMBER|last")
@_options
def decision(decision: str, journal: Path | None, instance: Path | None, *, as_json: bool) -> None:
    """Cause, forecast, what was refused and why, moves, expected and real effect of a decision."""
    from controller.explain import facts, words

    with _opened(journal, instance) as opened:
        found = facts.decision_facts(facts.pick(opened, decision))
    _say(found, words.decision(found), as_json=as_json)


@click.command()
@click.argument("journal", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print what differs as JSON.")
def replay(journal: Path, *, as_json: bool) -> None:
    """Make every decision of JOURNAL again and compare; exit with 1 if one comes out different."""
    from controller.explain.replay import HOW
    from controller.explain.replay import replay as again
    from controller.journal.file import made_with

    with _opened(journal, None) as opened:
        rows = list(again(opened.decisions()))
    counts = Counter(row.how for row in rows)
    others = sorted({row.made_with for row in rows} - {made_with()})
    if others:
        click.echo(
            f"made with {' and '.join(others)}, replayed with {made_with()}: plans may differ",
            err=True,
        )
    different = [row for row in rows if row.how == "different"]
    if as_json:
        body = {
            "counts": {how: counts[how] for how in HOW},
            "made_with": others or [made_with()],
            "different": [
                {"decision": row.number, "tick": row.tick, "fields": row.fields}
                for row in different
            ],
        }
        click.echo(json.dumps(body, indent=1))
    else:
        click.echo(", ".join(f"{counts[how]} {how}" for how in HOW))
        for row in different[:MOST_SHOWN]:
            click.echo(f"decision {row.number} (tick {row.tick}): {', '.join(row.fields)}")
    if different:
        raise SystemExit(1)


def _settings(_context: object, _option: object, texts: tuple[str, ...]) -> tuple[Any, ...]:
    pairs = [tuple(text.split("=", 1)) for text in texts]
    for pair in pairs:
        if len(pair) != 2:
            raise click.BadParameter(f"{pair[0]!r} is not like key=value")
    return tuple(pairs)


@click.command()
@click.option("--journal", type=FILE, help="Decisions that were recorded.")
@click.option("--tm", type=FILE, help="Matrices, where there is no journal.")
@click.option("--topology", type=FILE, help="With --tm: its network; else another one to try.")
@click.option("--other-topology", type=FILE, help="With --tm: another network to try.")
@click.option("--from", "start", type=int, default=None, help="First interval (with --tm).")
@click.option("--to", "stop", type=int, default=None, help="Interval to stop before (with --tm).")
@click.option("--set", "settings", multiple=True, callback=_settings, help="POLICY=VALUE")
@click.option("--fail", "failed", multiple=True, metavar="LINK", help="A cable that is cut.")
@click.option("--scale", type=click.FloatRange(0, min_open=True), default=1.0, help="Of traffic.")
@click.option("--plot", type=FILE, default=None, help="Draw both into FILE.svg or FILE.html.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def whatif(
    journal: Path | None,
    tm: Path | None,
    topology: Path | None,
    other_topology: Path | None,
    start: int | None,
    stop: int | None,
    settings: tuple[tuple[str, str], ...],
    failed: tuple[str, ...],
    scale: float,
    plot: Path | None,
    *,
    as_json: bool,
) -> None:
    """Decide again as it was and as asked, and print the difference."""
    from controller.backtest.network import links_of
    from controller.decide import DecideError
    from controller.explain.errors import ExplainError
    from controller.explain.history import made_from
    from controller.explain.plot import draw
    from controller.explain.whatif import (
        Change,
        changed,
        differing,
        questions_of_journal,
        run,
    )
    from headers.errors import FileError
    from headers.files import load_topology
    from models import ForecastError

    if (journal is None) == (tm is None) or (tm is not None and topology is None):
        raise click.UsageError("give either --journal, or --tm and --topology")
    other = other_topology if tm is not None else topology
    previous = None
    try:
        change = Change(
            settings, failed, scale, links_of(load_topology(other)) if other else ()
        )  # fmt: skip
        if journal is not None:
            with _opened(journal, None) as opened:
                made = list(made_from(opened.decisions()))
            questions = list(questions_of_journal(made))
            previous = made[0].previous if made else None
        else:
            assert tm is not None
            assert topology is not None
            questions = _asked(tm, topology, start, stop)
        if not questions:
            raise ExplainError("there is no decision to make again")
        was = run(questions, previous)
        asked = run([changed(question, change) for question in questions], previous)
    except (DecideError, ExplainError, FileError, ForecastError) as error:
        raise click.ClickException(str(error)) from error
    differ = differing(was, asked)
    if plot:
        plot.write_text(draw(plot.suffix, was.utilisation, asked.utilisation))
    if as_json:
        body = {"as_it_was": was.to_dict(), "as_asked": asked.to_dict(), "differing": differ}
        click.echo(json.dumps(body, indent=1))
        return
    _print(was, asked, differ)


def _asked(tm: Path, topology: Path, start: int | None, stop: int | None) -> "list[Question]":
    from controller.backtest.network import test_network
    from controller.decide import DecideError
    from controller.explain.whatif import questions_of_matrices
    from controller.state import Policies
    from headers.files import load_matrices, load_topology

    network = test_network(load_topology(topology), load_matrices(tm))
    count = len(network.tm_bps)
    first = max(count // 2, 2) if start is None else start
    last = count if stop is None else stop
    if not 1 <= first < last <= count:
        raise DecideError(f"there are no intervals {first} to {last} among {count}")
    return list(questions_of_matrices(network, Policies(), first, last))


def _print(was: "Ran", asked: "Ran", differ: int) -> None:
    one, other = was.to_dict(), asked.to_dict()
    rows = (
        ("max utilisation, mean", "max_utilisation", "mean", 100.0, "%"),
        ("max utilisation, p95", "max_utilisation", "p95", 100.0, "%"),
        ("overloaded link-minutes", "overloaded_link_minutes", "", 1.0, ""),
        ("lost, GB", "lost_bytes", "", 1e-9, ""),
        ("moved per decision", "moved_share", "", 100.0, "%"),
    )
    click.echo(f"{'':<24} {'as it was':>12} {'as asked':>12} {'difference':>12}")
    for title, key, part, factor, unit in rows:
        a, b = (x[key][part] if part else x[key] for x in (one, other))
        if a is None or b is None:
            click.echo(f"{title:<24} {'not known':>12}")
            continue
        click.echo(
            f"{title:<24} {a * factor:12.3f} {b * factor:12.3f} {(b - a) * factor:+12.3f} {unit}"
        )
    click.echo(f"{differ} of {one['decisions']} decisions differ")
