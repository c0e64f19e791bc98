"""The ``foresteer`` command: each folder adds its own subcommands through an entry point.

An entry point called ``backtest.te`` adds ``te`` to the group ``backtest`` of another folder.
"""

import sys
from importlib.metadata import entry_points
from typing import Any

import click

GROUP = "foresteer.commands"


class Commands(click.Group):
    """A group whose commands are loaded only when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all registered commands."""
        return sorted({p.name for p in entry_points(group=GROUP) if "." not in p.name})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a command."""
        command: Any = None
        for point in entry_points(group=GROUP):
            if point.name == cmd_name:
                command = point.load()
        if isinstance(command, click.Group):
            for point in entry_points(group=GROUP):
                group, _, name = point.name.partition(".")
                if group == cmd_name and name and name not in command.commands:
                    command.add_command(point.load(), name)
        return command if isinstance(command, click.Command) else None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="foresteer", prog_name="foresteer")
def main() -> None:
    """Foresteer forecasts traffic and moves it before the load arrives."""


if __name__ == "__main__":
    sys.exit(main())
