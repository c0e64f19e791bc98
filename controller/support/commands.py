"""``foresteer support-bundle``."""

from pathlib import Path

import click


@click.command("support-bundle")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write (default: foresteer-support-TIME.tar.gz); it must not exist.",
)
@click.option("--decisions", default=50, show_default=True, type=click.IntRange(0, 10_000),
              help="How many of the journal's last decisions go along.")  # fmt: skip
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True),
    help="The configuration file (default: config.yaml in the instance's directory).",
)
def support_bundle(
    output: Path | None, decisions: int, instance: Path | None, config: Path | None
) -> None:
    """Collect state, logs, journal, configuration and versions in a file for those who help.

    Tokens, keys and passwords are taken out; addresses, names and traffic figures stay: look into
    it before you hand it on.
    """
    import time

    from bus import Instance, InstanceError
    from controller.support import write_bundle

    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = output or Path(f"foresteer-support-{stamp}.tar.gz")
    try:
        problems = write_bundle(Instance.find(instance), path, decisions, config)
    except (InstanceError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for problem in problems:
        click.echo(f"not to be had: {problem}", err=True)
    click.echo(f"{path}: {path.stat().st_size / 1024:.0f} KiB, readable by you only")
