"""The ``foresteer`` command: each folder adds its own subcommands through an entry point."""

import sys
from importlib.metadata import entry_points
from typing import Any

import click

GROUP = "foresteer.commands"


class Commands(click.Group):
    """A group whose commands are loaded only when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all registered commands."""
        return sorted({point.name for point in entry_points(group=GROUP)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a command."""
        for point in entry_points(group=GROUP):
            if point.name == cmd_name:
                command: Any = point.load()
                return command if isinstance(command, click.Command) else None
        return None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="foresteer", prog_name="foresteer")
def main() -> None:
    """Foresteer forecasts traffic and moves it before the load arrives."""


if __name__ == "__main__":
    sys.exit(main())
