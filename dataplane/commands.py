"""The data plane's part of the ``foresteer`` command."""

import os
from pathlib import Path

import click


@click.command()
@click.option(
    "--network",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="The network file that names this machine's engines.",
)
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
@click.option(
    "--pins",
    type=click.Path(path_type=Path),
    help="Where programs are pinned (a bpffs is mounted there).",
)
@click.option("--name", default="", help="The agent's name (default: the host's).")
@click.option(
    "--connections",
    type=click.IntRange(1024, 1 << 24),
    default=131072,
    show_default=True,
    help="How many connections of virtual addresses are held.",
)
@click.option("--detach", is_flag=True, help="Take the programs off again at the end.")
def engine(
    network: Path,
    instance: Path | None,
    pins: Path | None,
    name: str,
    connections: int,
    *,
    detach: bool,
) -> None:
    """Serve the forwarding engines of this machine."""
    # one thread is enough for comparing tables, and each would keep memory of its own
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from bus.errors import BusError, InstanceError
    from bus.instance import Instance
    from dataplane.bpffs import mount_bpffs
    from dataplane.errors import DataplaneError
    from dataplane.loader import start_load
    from headers.errors import FileError

    try:
        found = Instance.find(instance)
        lock = found.hold("agent")
        if lock is None:
            raise click.ClickException(f"an agent is running already in {found.directory}")
        where = pins or found.directory / "bpf"
        mount_bpffs(where)
        # the compiler works while the rest is read in
        loading = start_load(where, found.directory / "kernel-stub", connections)
        from dataplane.agent import run

        run(found, network, where, name, keep=not detach, loading=loading)
    except (BusError, DataplaneError, FileError, InstanceError) as error:
        raise click.ClickException(str(error)) from error
