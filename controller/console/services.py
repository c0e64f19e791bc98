"""Services: declared and withdrawn."""

from pathlib import Path
from typing import Any

import click

from controller.console import terms
from controller.console.terms import call, every, quoted, say


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
