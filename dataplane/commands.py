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
    from headers.files.network import load_network

    try:
        found = Instance.find(instance)
        # agents of one machine whose engines are told apart by name have programs of their own
        several = name and name in {x.engine.agent for x in load_network(network).locations}
        own = f".{name}" if several else ""
        lock = found.hold(f"agent{own}")
        if lock is None:
            raise click.ClickException(f"an agent is running already in {found.directory}")
        where = pins or found.directory / f"bpf{own}"
        mount_bpffs(where)
        # the compiler works while the rest is read in
        loading = start_load(where, found.directory / f"kernel-stub{own}", connections)
        from dataplane.agent import run

        run(found, network, where, name, keep=not detach, loading=loading)
    except (BusError, DataplaneError, FileError, InstanceError) as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.option("--inside", required=True, help="The port that the customer's hosts are behind.")
@click.option("--outside", required=True, help="The port towards the provider's edge.")
@click.option(
    "--secret",
    type=click.Path(path_type=Path),
    required=True,
    help="The customer's secret: `foresteer keys customer` at the provider's writes it.",
)
@click.option(
    "--circuit",
    "circuits",
    multiple=True,
    required=True,
    metavar="PREFIX=NUMBER",
    help="Traffic to this prefix wishes for this granted circuit; may be repeated.",
)
@click.option("--epoch", type=click.IntRange(0, 255), default=0, show_default=True)
@click.option("--priority", type=click.IntRange(0, 15), default=0, show_default=True)
@click.option("--application", type=click.IntRange(0, 65535), default=0, show_default=True)
@click.option(
    "--pins",
    type=click.Path(path_type=Path),
    default=Path("/run/foresteer/marker/bpf"),
    show_default=True,
    help="Where programs are pinned (a bpffs is mounted there).",
)
def mark(
    inside: str,
    outside: str,
    secret: Path,
    circuits: tuple[str, ...],
    epoch: int,
    priority: int,
    application: int,
    pins: Path,
) -> None:
    """Mark on a customer's side, with that customer's key; take it off with `foresteer detach`."""
    from dataplane.errors import DataplaneError
    from dataplane.marker import Marking, read_secret, start_marker

    wanted = {}
    for text in circuits:
        prefix, _, number = text.partition("=")
        if not number.isdigit():
            raise click.BadParameter(f"{text!r} is no PREFIX=NUMBER", param_hint="--circuit")
        wanted[prefix] = int(number)
    marking = Marking(wanted, epoch, priority, application)
    try:
        start_marker(inside, outside, read_secret(secret), marking, pins, pins.parent / "stub")
    except DataplaneError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"marking what comes in at {inside}, out of {outside}, epoch {epoch}")


@click.command()
@click.argument("port")
@click.option("--rate", type=float, required=True, help="The link's rate in Mbit/s.")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
@click.option("--pins", type=click.Path(path_type=Path), help="Where programs are pinned.")
def shape(port: str, rate: float, instance: Path | None, pins: Path | None) -> None:
    """Limit a port's egress; steered packets of a higher priority go first."""
    from bus.errors import InstanceError
    from bus.instance import Instance
    from dataplane.errors import DataplaneError
    from dataplane.shaping import shape_link

    try:
        where = pins or Instance.find(instance).directory / "bpf"
        shape_link(port, rate * 1e6, where)
    except (DataplaneError, InstanceError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{port}: {rate:g} Mbit/s, the highest priority first")
