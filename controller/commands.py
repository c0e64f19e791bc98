"""The controller's part of the ``foresteer`` command."""

from pathlib import Path

import click


@click.command()
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="The configuration file (default: config.yaml in the instance's directory).",
)
def brain(instance: Path | None, config_file: Path | None) -> None:
    """Run the loop, the API and the page."""
    from bus import BusError, Instance, InstanceError
    from controller.brain import main
    from controller.config import load_config
    from controller.errors import ControllerError

    try:
        found = Instance.find(instance)
        default = found.directory / "config.yaml"
        config = load_config(config_file or (default if default.exists() else None))
        lock = found.hold("brain")
        if lock is None:
            raise click.ClickException(f"a brain is running already in {found.directory}")
        main(found, config)
    except (BusError, ControllerError, InstanceError) as error:
        raise click.ClickException(str(error)) from error
