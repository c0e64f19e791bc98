"""What the brain may do, and asking its API for anything else."""

import json
from pathlib import Path

import click

from controller.console import terms
from controller.console.terms import call, say


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
