"""What the commands have in common: asking, tables for people, values for scripts, exit codes.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 the network is not well (``status``); 4 refused
because of how things are (409, 412, 422); 5 not allowed (401, 403); 6 nothing answers.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import click

PIPE_COLUMNS = 240
FAILED, UNWELL, REFUSED, FORBIDDEN, AWAY = 1, 3, 4, 5, 6

_HINTS = {
    401: "use a token: FORESTEER_TOKEN=…, or run this on the controller's machine as root",
    403: "this token's role may not do that: ask an admin for another one",
    412: "someone changed it meanwhile: look again, then try again",
    429: "wait a little, or raise the rate in the configuration's api section",
    503: "the brain has just started: try again in a few seconds",
}
_CODES = {401: FORBIDDEN, 403: FORBIDDEN, 409: REFUSED, 412: REFUSED, 422: REFUSED, 0: AWAY}

Rows = Iterable[Mapping[str, Any]]


class Refusal(click.ClickException):
    """An answer that is an error: with what to do, and an exit code of its own."""

    def __init__(self, text: str, status: int) -> None:
        hint = _HINTS.get(status)
        super().__init__(f"{text}\n{hint}" if hint else text)
        self.code = _CODES.get(status, FAILED)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, and end with the code of the answer."""
        super().show(file)
        raise SystemExit(self.code)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Values for scripts."),
        click.option(
            "--instance", type=click.Path(path_type=Path), help="The instance's directory."
        ),
    ):
        command = option(command)
    return command


def call(method: str, path: str, body: Any = None, *, instance: Path | None = None) -> Any:
    """Ask the brain.

    Raises:
        Refusal: it does not answer, or refuses.
    """
    from controller.client import ClientError, ask

    try:
        return ask(method, path, body, instance=instance)
    except ClientError as error:
        raise Refusal(str(error), error.status) from error


def every(path: str, name: str, *, instance: Path | None = None) -> list[dict[str, Any]]:
    """Return a whole list, page after page.

    Raises:
        Refusal: see ``call``.
    """
    found: list[dict[str, Any]] = []
    cursor, joint = "", "&" if "?" in path else "?"
    while True:
        asked = f"{path}{joint}cursor={cursor}" if cursor else path
        answer = call("GET", asked, instance=instance)
        found += answer[name]
        cursor = answer.get("next") or ""
        if not cursor:
            return found


def quoted(name: str) -> str:
    """Return a name as a part of a path."""
    from urllib.parse import quote

    return quote(name, safe="")


def say(value: Any, *, as_json: bool, words: str = "") -> None:
    """Print values for scripts, or words for people."""
    if as_json:
        click.echo(json.dumps(value, indent=1))
    elif words:
        click.echo(words)


def table(rows: Rows, columns: Sequence[tuple[str, str]], *, title: str = "") -> None:
    """Print rows as a table; ``columns``: (heading, key), numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    listed = list(rows)
    drawn = Table(title=title or None, box=None, pad_edge=False, header_style="bold")
    for heading, key in columns:
        numeric = all(isinstance(row.get(key), (int, float)) for row in listed) and bool(listed)
        drawn.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        drawn.add_row(*(Text(cell(row.get(key))) for _, key in columns))
    # into a file or a pipe nothing needs to be folded
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    Console(highlight=False, width=width).print(drawn if listed else Text("(none)"))


def cell(value: Any) -> str:
    """Return a value as it stands in a table."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(one) for one in value)
    return str(value)


def rate(bps: float | None) -> str:
    """Return bit/s in words."""
    if bps is None:
        return "–"
    for size, unit in ((1e9, "Gb/s"), (1e6, "Mb/s"), (1e3, "kb/s")):
        if abs(bps) >= size:
            return f"{bps / size:.1f} {unit}"
    return f"{bps:.0f} b/s"


def percent(share: float | None) -> str:
    """Return a share in percent."""
    return "–" if share is None else f"{100 * share:.1f} %"


def moment(time_s: float | None) -> str:
    """Return a time of day (UTC)."""
    from datetime import UTC, datetime

    if time_s is None:
        return "–"
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


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


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given."""
    return {key: value for key, value in fields.items() if value is not None}
