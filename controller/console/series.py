"""Announced events, and series that are pushed."""

from pathlib import Path
from typing import Any

import click

from controller.console import terms
from controller.console.terms import call, every, moment, quoted, say, seconds


@click.group()
def event() -> None:
    """Announced events: when traffic will be more or less than usual."""


@event.command("list")
@terms.options
def list_events(instance: Path | None, *, as_json: bool) -> None:
    """List the announced events, and how much of each is believed."""
    found = every("events", "events", instance=instance)
    if as_json:
        say(found, as_json=True)
        return
    terms.table(
        ({**one, "when": moment(one["start_s"])} for one in found),
        (("event", "id"), ("name", "name"), ("from", "when"), ("for s", "duration_s"),
         ("times", "factor"), ("scope", "scope"), ("believed", "credibility")),
    )  # fmt: skip


@event.command("announce")
@click.argument("name")
@click.option("--in", "ahead_s", required=True, callback=seconds, help="When: like 2h.")
@click.option("--for", "duration_s", required=True, callback=seconds, help="How long: like 90m.")
@click.option("--times", "factor", type=click.FloatRange(0, min_open=True), required=True,
              help="Of the usual traffic.")  # fmt: skip
@click.option("--from", "source", default="", help="Only from this location.")
@click.option("--to", "destination", default="", help="Only to this location.")
@terms.options
def announce_event(
    name: str, ahead_s: float, instance: Path | None, *, as_json: bool, **fields: Any
) -> None:
    """Announce an event."""
    import time

    ends = [key for key in ("source", "destination") if fields[key]]
    scope = {0: "all", 1: ends[0] if ends else "", 2: "pair"}[len(ends)]
    body = {"name": name, "start_s": time.time() + ahead_s, "scope": scope, **fields}
    made = call("POST", "events", body, instance=instance)
    say(made, as_json=as_json, words=f"event {made['id']}")


@event.command("recall")
@click.argument("number")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def recall_event(number: str, instance: Path | None) -> None:
    """Recall an event."""
    call("DELETE", f"events/{quoted(number)}", instance=instance)
    click.echo(f"event {number} is recalled")


@click.group()
def series() -> None:
    """Series beside the demands: pushed, forecast, forgotten."""


@series.command("list")
@terms.options
def list_series(instance: Path | None, *, as_json: bool) -> None:
    """List all series by kind."""
    found = call("GET", "series", instance=instance)
    if as_json:
        say(found, as_json=True)
        return
    terms.table(
        ({"kind": kind, **one} for kind, one in found["kinds"].items()),
        (("kind", "kind"), ("unit", "unit"), ("series", "series")),
    )


@series.command("push")
@click.argument("kind")
@click.argument("name")
@click.argument("value", type=float)
@terms.options
def push_series(
    kind: str, name: str, value: float, instance: Path | None, *, as_json: bool
) -> None:
    """Push a value as measured now."""
    body = {"samples": [{"value": value}]}
    made = call("POST", f"series/{quoted(kind)}/{quoted(name)}", body, instance=instance)
    say(made, as_json=as_json, words=f"{made['taken']} taken")


@series.command("forget")
@click.argument("kind")
@click.argument("name", required=False)
@terms.options
def forget_series(kind: str, name: str | None, instance: Path | None, *, as_json: bool) -> None:
    """Delete a series, or all of a kind, and what they taught."""
    path = f"series/{quoted(kind)}" + (f"/{quoted(name)}" if name else "")
    made = call("DELETE", path, instance=instance)
    say(made, as_json=as_json, words=f"{made['deleted']} deleted")
