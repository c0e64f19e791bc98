"""Tokens of the API."""

from pathlib import Path

import click

from controller.console import terms
from controller.console.terms import call, given, moment, quoted, say, seconds


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
    body = given(name=name, role=role, lifetime_s=lifetime_s)
    made = call("POST", "tokens", body, instance=instance)
    say(made, as_json=as_json, words=made["token"])


@token.command("revoke")
@click.argument("number", metavar="ID")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def revoke_token(number: str, instance: Path | None) -> None:
    """Revoke a token by its id."""
    call("DELETE", f"tokens/{quoted(number)}", instance=instance)
    click.echo(f"token {number} is revoked")
