"""Changing: circuits, rules, services, events, series, mode, freezing, tokens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from controller.console import terms
from controller.console.terms import call, every, moment, quoted, say

DURATIONS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """Return a duration like ``90s``, ``15m``, ``12h`` or ``30d`` in seconds."""
    if value is None:
        return None
    try:
        number = float(value[:-1])
        unit = DURATIONS[value[-1:]]
    except (ValueError, KeyError):
        raise click.BadParameter(f"{value!r} is not like 90s, 15m, 12h or 30d") from None
    if not 0 < number < float("inf"):
        raise click.BadParameter("it must be above 0")
    return number * unit


def _fields(**given: Any) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


# circuits


@click.group()
def circuit() -> None:
    """Circuits of your own: a path, a share of a demand, reserved room."""


@circuit.command("list")
@terms.options
def list_circuits(instance: Path | None, *, as_json: bool) -> None:
    """List the circuits that operators asked for."""
    found = every("requests", "circuits", instance=instance)
    if as_json:
        say(found, as_json=True)
        return
    terms.table(
        ({**one, "room": terms.rate(one["reserved_bps"])} for one in found),
        (("name", "name"), ("from", "src"), ("to", "dst"), ("path", "path"), ("share", "share"),
         ("reserved", "room"), ("priority", "priority"), ("rest allowed", "allow_rest")),
    )  # fmt: skip


def _wanted(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--path", help="Its links, like A>B,B>C; left out: what costs least."),
        click.option("--share", type=click.FloatRange(0, 1), help="Of the demand, 0 to 1."),
        click.option("--reserve", type=click.FloatRange(0), help="Kept free for it, in Mb/s."),
        click.option("--priority", type=click.IntRange(0, 1000), help="Higher ones come first."),
        click.option("--default-deny/--default-allow", "deny", default=None,
                     help="What its firewall does with the rest."),
    ):  # fmt: skip
        command = option(command)
    return command


def _circuit_fields(
    path: str | None, share: float | None, reserve: float | None, priority: int | None,
    deny: bool | None,
) -> dict[str, Any]:  # fmt: skip
    return _fields(
        path=path.split(",") if path else None,
        share=share,
        reserved_bps=reserve * 1e6 if reserve is not None else None,
        priority=priority,
        allow_rest=not deny if deny is not None else None,
    )


@circuit.command("create")
@click.argument("src")
@click.argument("dst")
@click.option("--name", default="", help="What it is called.")
@_wanted
@terms.options
def create_circuit(
    src: str, dst: str, name: str, instance: Path | None, *, as_json: bool, **wanted: Any
) -> None:
    """Ask for a circuit from SRC to DST."""
    body = {"source": src, "destination": dst, "name": name, **_circuit_fields(**wanted)}
    made = call("POST", "requests", body, instance=instance)
    say(made, as_json=as_json, words=f"circuit {made['spi']} {made['name']}: {made['links']}")


@circuit.command("change")
@click.argument("name")
@_wanted
@terms.options
def change_circuit(name: str, instance: Path | None, *, as_json: bool, **wanted: Any) -> None:
    """Change a circuit; what is left out stays."""
    made = call("PATCH", f"requests/{quoted(name)}", _circuit_fields(**wanted), instance=instance)
    say(made, as_json=as_json, words=f"circuit {made['spi']} {made['name']}: {made['links']}")


@circuit.command("delete")
@click.argument("name")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def delete_circuit(name: str, instance: Path | None) -> None:
    """Delete a circuit."""
    call("DELETE", f"requests/{quoted(name)}", instance=instance)
    click.echo(f"circuit {name} is gone")


# firewall rules


@click.group()
def rule() -> None:
    """Firewall rules of a circuit."""


@rule.command("list")
@click.argument("circuit")
@terms.options
def list_rules(circuit: str, instance: Path | None, *, as_json: bool) -> None:
    """List a circuit's rules, and what is odd in them."""
    _rules(call("GET", f"requests/{quoted(circuit)}/rules", instance=instance), as_json=as_json)


def _rules(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(found, as_json=True)
        return
    terms.table(
        found["rules"],
        (("rule", "name"), ("allow", "allow"), ("priority", "priority"), ("source", "source"),
         ("destination", "destination"), ("protocol", "protocol"), ("from port", "source_port"),
         ("to port", "destination_port"), ("direction", "direction")),
    )  # fmt: skip
    click.echo(f"the rest is {'allowed' if found['allow_rest'] else 'refused'}")
    for one in found["findings"]:
        click.echo(f"note: {one['rule']} is {one['what']} by {one['other']}")


@rule.command("put")
@click.argument("circuit")
@click.argument("name")
@click.option("--allow/--deny", required=True, help="What it does.")
@click.option("--priority", type=click.IntRange(0, 999), default=100, show_default=True)
@click.option("--source", default="", help="A prefix.")
@click.option("--destination", default="", help="A prefix.")
@click.option("--protocol", type=click.IntRange(0, 255), default=0, help="A number; 0: any.")
@click.option("--source-port", type=click.IntRange(0, 65535), default=0)
@click.option("--destination-port", type=click.IntRange(0, 65535), default=0)
@click.option("--direction", type=click.Choice(["forward", "reverse", "both"]), default="forward")
@terms.options
def put_rule(
    circuit: str, name: str, instance: Path | None, *, as_json: bool, **fields: Any
) -> None:
    """Add or change a rule."""
    path = f"requests/{quoted(circuit)}/rules/{quoted(name)}"
    _rules(call("PUT", path, fields, instance=instance), as_json=as_json)


@rule.command("delete")
@click.argument("circuit")
@click.argument("name")
@terms.options
def delete_rule(circuit: str, name: str, instance: Path | None, *, as_json: bool) -> None:
    """Take a rule away."""
    path = f"requests/{quoted(circuit)}/rules/{quoted(name)}"
    _rules(call("DELETE", path, instance=instance), as_json=as_json)


# services


@click.group()
def service() -> None:
    """Services: virtual addresses, and the instances that answer there."""


@service.command("list")
@terms.options
def list_services(instance: Path | None, *, as_json: bool) -> None:
    """List the declared services."""
    found = every("services", "services", instance=instance)
    if as_json:
        say(found, as_json=True)
        return
    terms.table(
        (
            {**one, "at": [f"{x['name']} ({x['location']}, {x['address']})"
                           for x in one["instances"]]}
            for one in found
        ),
        (("service", "name"), ("address", "address"), ("protocol", "protocol"), ("port", "port"),
         ("instances", "at")),
    )  # fmt: skip


@service.command("declare")
@click.argument("name")
@click.argument("address")
@click.argument("port", type=click.IntRange(1, 65535))
@click.option("--protocol", type=click.Choice(["tcp", "udp"]), default="tcp", show_default=True)
@click.option(
    "--instance-at", "instances", multiple=True, metavar="NAME@LOCATION=ADDRESS[*CAPACITY]",
    help="An instance; as often as there are.",
)  # fmt: skip
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE")
@terms.options
def declare_service(
    name: str, address: str, port: int, protocol: str, instances: tuple[str, ...],
    labels: tuple[str, ...], instance: Path | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Declare a service, or change it."""
    body = {
        "address": address,
        "port": port,
        "protocol": {"tcp": 6, "udp": 17}[protocol],
        "instances": [_instance(text) for text in instances],
        "labels": dict(_pair(text) for text in labels),
    }
    made = call("PUT", f"services/{quoted(name)}", body, instance=instance)
    say(made, as_json=as_json, words=f"service {name}: {len(made['instances'])} instances")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not like KEY=VALUE")
    return key, value


def _instance(text: str) -> dict[str, Any]:
    where, address = _pair(text)
    name, at, location = where.partition("@")
    address, star, capacity = address.partition("*")
    try:
        weight = float(capacity) if star else 1.0
    except ValueError:
        raise click.BadParameter(f"{capacity!r} is no capacity") from None
    if not at:
        raise click.BadParameter(f"{text!r} is not like NAME@LOCATION=ADDRESS")
    return {"name": name, "location": location, "address": address, "capacity": weight}


@service.command("withdraw")
@click.argument("name")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def withdraw_service(name: str, instance: Path | None) -> None:
    """Withdraw a service."""
    call("DELETE", f"services/{quoted(name)}", instance=instance)
    click.echo(f"service {name} is withdrawn")


# events and series


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


# what the brain may do


@click.command()
@click.argument("wanted", type=click.Choice(["observe", "advise", "act"]), required=False)
@terms.options
def mode(wanted: str | None, instance: Path | None, *, as_json: bool) -> None:
    """Show what the brain may do, or change it: only look, say what it would do, or do it."""
    if wanted:
        made = call("PUT", "mode", {"mode": wanted}, instance=instance)
    else:
        made = call("GET", "mode", instance=instance)
    say(made, as_json=as_json, words=made["mode"])


@click.command()
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def freeze(instance: Path | None) -> None:
    """Hold everything but what must move."""
    call("PUT", "freeze", {"frozen": True}, instance=instance)
    click.echo("frozen: only what must move moves, until `foresteer thaw`")


@click.command()
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def thaw(instance: Path | None) -> None:
    """Let go again."""
    call("PUT", "freeze", {"frozen": False}, instance=instance)
    click.echo("thawed")


# tokens


@click.group()
def token() -> None:
    """Tokens of the API: who may do what."""


@token.command("list")
@terms.options
def list_tokens(instance: Path | None, *, as_json: bool) -> None:
    """List the tokens; never they themselves."""
    found = call("GET", "tokens", instance=instance)["tokens"]
    if as_json:
        say(found, as_json=True)
        return
    terms.table(
        (
            {**one, "made": moment(one["created_s"]), "ends": moment(one["expires_s"])}
            for one in found
        ),
        (("id", "id"), ("name", "name"), ("role", "role"), ("made", "made"), ("ends", "ends")),
    )


@token.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), required=True)
@click.option("--lifetime", "lifetime_s", callback=seconds, help="Like 12h or 30d; else for ever.")
@terms.options
def create_token(
    name: str, role: str, lifetime_s: float | None, instance: Path | None, *, as_json: bool
) -> None:
    """Make a token; it is shown this once."""
    body = _fields(name=name, role=role, lifetime_s=lifetime_s)
    made = call("POST", "tokens", body, instance=instance)
    say(made, as_json=as_json, words=made["token"])


@token.command("revoke")
@click.argument("number", metavar="ID")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def revoke_token(number: str, instance: Path | None) -> None:
    """Revoke a token by its id."""
    call("DELETE", f"tokens/{quoted(number)}", instance=instance)
    click.echo(f"token {number} is revoked")


# shells


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell needs to complete commands: eval "$(foresteer completion bash)"."""
    from click.shell_completion import get_completion_class

    from controller.cli import main

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "foresteer", "_FORESTEER_COMPLETE").source())


@click.command()
@click.argument("method", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"]))
@click.argument("path")
@click.option("--body", help="JSON, or @FILE.")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def api(method: str, path: str, body: str | None, instance: Path | None) -> None:
    """Ask the API for anything else; PATH is below /api/v1/."""
    try:
        text = Path(body[1:]).read_text() if body and body.startswith("@") else body
        content = json.loads(text) if text else None
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error)) from error
    say(call(method, path.lstrip("/"), content, instance=instance), as_json=True)
