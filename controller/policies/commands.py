"""The ``policy`` commands of ``foresteer``."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

INSTANCE = click.option(
    "--instance", type=click.Path(path_type=Path), help="The instance's directory."
)
FILE = click.option(
    "-f",
    "--file",
    "file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True),
    help="The policy document (YAML); -: standard input.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Values for scripts.")


@click.group()
def policy() -> None:
    """Policies: see what a document would change, apply it, go back. See docs/policies.md."""


def _ask(method: str, path: str, body: Any = None, *, instance: Path | None) -> Any:
    from controller.client import ClientError, ask

    try:
        return ask(method, path, body, instance=instance)
    except ClientError as error:
        raise click.ClickException(str(error)) from error


def _document(file: Path) -> dict[str, Any]:
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            return {"text": opened.read(), "name": str(file)[-200:]}
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file}: {error}") from error


@policy.command()
@FILE
@JSON
@INSTANCE
def plan(file: Path, instance: Path | None, *, as_json: bool) -> None:
    """Show what a document would change now: rules, circuits, shares. Nothing is changed."""
    found = _ask("POST", "policies/plan", _document(file), instance=instance)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for line in difference_lines(found):
        click.echo(line)
    click.echo(f"against version {found['version']}; apply with --expect {found['version']}")


@policy.command()
@FILE
@click.option("-m", "--comment", default="", help="Why, in a few words.")
@click.option("--expect", type=click.IntRange(0), help="Only if this version is still in force.")
@JSON
@INSTANCE
def apply(
    file: Path, comment: str, expect: int | None, instance: Path | None, *, as_json: bool
) -> None:
    """Apply a document as the next version."""
    body = {**_document(file), "comment": comment, "expected_version": expect}
    _told(_ask("PUT", "policies", body, instance=instance), as_json=as_json)


@policy.command()
@click.argument("version", type=click.IntRange(0))
@click.option("--expect", type=click.IntRange(0), help="Only if this version is still in force.")
@JSON
@INSTANCE
def rollback(version: int, expect: int | None, instance: Path | None, *, as_json: bool) -> None:
    """Have an earlier version's document in force again; 0: no policies."""
    body = {"version": version, "expected_version": expect}
    _told(_ask("POST", "policies/rollback", body, instance=instance), as_json=as_json)


@policy.command()
@click.argument("version", type=click.IntRange(1), required=False)
@INSTANCE
def show(version: int | None, instance: Path | None) -> None:
    """Print the document in force, or a version's."""
    path = "policies" if version is None else f"policies/versions/{version}"
    found = _ask("GET", path, instance=instance)
    click.echo(found["text"] or "# no policies are in force", nl=not found["text"].endswith("\n"))


@policy.command()
@JSON
@INSTANCE
def versions(instance: Path | None, *, as_json: bool) -> None:
    """List the versions that are kept, newest first."""
    found = _ask("GET", "policies/versions", instance=instance)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found["versions"]:
        when = datetime.fromtimestamp(one["time_s"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        click.echo(f"{one['version']:>4}  {when}  {one['author']:<10}  {one['comment']}")
    if not found["versions"]:
        click.echo("no document was applied yet")


@policy.command()
@JSON
@INSTANCE
def rules(instance: Path | None, *, as_json: bool) -> None:
    """List the rules in force, who wrote them, why and until when; and the refused ones."""
    found = _ask("GET", "policies/rulings", instance=instance)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found["active"]:
        click.echo(_rule(one))
    for one in found["refused"]:
        click.echo(_refused(one))
    if not found["active"] and not found["refused"]:
        click.echo("no rule is in force")


def difference_lines(found: dict[str, Any]) -> list[str]:
    """Return what would change, in lines."""
    lines = [f"+ {_rule(one)}" for one in found["rules_began"]]
    lines += [f"- {one['name']} at {one['location']} ends" for one in found["rules_ended"]]
    lines += [f"~ {_rule(one)}" for one in found["rules_changed"]]
    lines += [f"! {_refused(one)}" for one in found["rules_refused"]]
    for sign, key in (("+", "circuits_made"), ("-", "circuits_gone")):
        for one in found[key]:
            name = f" {one['name']!r}" if one["name"] else ""
            lines.append(f"{sign} circuit{name} {' '.join(one['links'])}")
    for one in found["services"]:
        lines.append(
            f"~ {one['service']} from {one['source']}: {_shares(one['before'])} ->"
            f" {_shares(one['after'])} ({one['reason']})"
        )
    for one in found["demands"]:
        lines.append(
            f"~ {one['source']}>{one['destination']}: {_shares(one['before'])} ->"
            f" {_shares(one['after'])}"
        )
    for key, count in found["counts"].items():
        listed = len(found[key])
        if count > listed:
            lines.append(f"and {count - listed} more of {key.replace('_', ' ')}")
    lines += [f"note: {note}" for note in found["notes"]]
    before, after = found["max_utilisation"]
    lines.append(f"the worst link: {100 * before:.1f} % -> {100 * after:.1f} %")
    return lines


def _rule(one: dict[str, Any]) -> str:
    where = f" at {one['location']}" if one["location"] else ""
    to = f" to {', '.join(one['targets'])}" if one["targets"] else ""
    until = one["until_s"]
    ends = (
        "until it is withdrawn"
        if until is None
        else f"until {datetime.fromtimestamp(until, UTC).strftime('%H:%M:%SZ')}"
    )
    return (
        f"{one['name']}: {one['action']} {100 * one['share']:.0f} %{where}{to}, by"
        f" {one['written_by']}, {ends}: {one['why']}"
    )


def _refused(one: dict[str, Any]) -> str:
    where = f" at {one['location']}" if one["location"] else ""
    what = f" for {one['service']}" if one["service"] else ""
    return f"{one['name']}{where}{what} has no effect: {one['why']}"


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{100 * share:.0f} % {name}" for name, share in shares.items()) or "nothing"


def _told(made: dict[str, Any], *, as_json: bool) -> None:
    click.echo(json.dumps(made) if as_json else f"version {made['version']} is in force")
