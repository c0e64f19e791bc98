"""Circuits of operators and their firewall rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from controller.console import terms
from controller.console.terms import call, every, given, quoted, say


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
    return given(
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
