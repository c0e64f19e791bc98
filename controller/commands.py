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


@click.group()
def keys() -> None:
    """Epochs of the domain's keys, and what is handed to customers."""


def _epoch_of(instance: Path | None, *, rotate: bool) -> str:
    """Return a line about the key epoch, after advancing it where asked to."""
    import asyncio
    import time

    from bus import Bus, Instance
    from controller.epochs import EPOCHS, KeyEpoch, keep_epoch, kept_epoch

    async def work() -> str:
        bus = await Bus.connect(Instance.find(instance).bus_address(), "keys", timeout_s=3)
        try:
            kept = await kept_epoch(bus)
            now = time.time()
            if kept is None:
                return "no epoch is kept yet: the brain keeps one with its first plan"
            if rotate:
                kept = KeyEpoch((kept.number + 1) % EPOCHS, now)
                await keep_epoch(bus, kept)
                return f"epoch {kept.number} from the next plan on"
            return f"epoch {kept.number}, for {now - kept.since_s:.0f} s"
        finally:
            await bus.close()

    return asyncio.run(work())


@keys.command("show")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def show_epoch(instance: Path | None) -> None:
    """Say which epoch is marked with; no key is ever shown."""
    from bus import BusError, InstanceError

    try:
        click.echo(_epoch_of(instance, rotate=False))
    except (BusError, InstanceError, ValueError) as error:
        raise click.ClickException(str(error)) from error


@keys.command()
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def rotate(instance: Path | None) -> None:
    """Go on to the next epoch; packets of the one before stay valid until the next rotation."""
    from bus import BusError, InstanceError

    try:
        click.echo(_epoch_of(instance, rotate=True))
    except (BusError, InstanceError, ValueError) as error:
        raise click.ClickException(str(error)) from error


@keys.command()
@click.argument("number", type=click.IntRange(1, 65535))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write; it must not exist.",
)
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def customer(number: int, output: Path, instance: Path | None) -> None:
    """Write the secret that a customer marks with into a file for that customer alone."""
    import os

    from bus import Instance, InstanceError
    from bus.keys import customer_secret

    try:
        secret = customer_secret(Instance.find(instance).secret(), number)
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret.hex() + "\n")
    except (InstanceError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: the secret of customer {number}, to be handed over in confidence")
