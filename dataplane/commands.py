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


@click.group()
def packet() -> None:
    """Make and read steering packets."""


@packet.command()
@click.option("--circuit", type=click.IntRange(1, 0x7FFFFF), required=True)
@click.option("--si", type=click.IntRange(0, 255), default=1, show_default=True)
@click.option("--source", required=True, help="The inner packet's source address.")
@click.option("--destination", required=True, help="The inner packet's destination address.")
@click.option("--engine", "engine_number", type=click.IntRange(0, 65535), default=0)
@click.option("--epoch", type=click.IntRange(0, 255), default=0)
@click.option("--forecast", type=click.IntRange(0, 0xFFFFFF), default=0)
@click.option("--payload", default="foresteer", show_default=True, help="The UDP payload.")
@click.option("--wrong-tag", is_flag=True, help="Spoil the tag, to see the fallback at work.")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def make(
    circuit: int,
    si: int,
    source: str,
    destination: str,
    engine_number: int,
    epoch: int,
    forecast: int,
    payload: str,
    *,
    wrong_tag: bool,
    instance: Path | None,
) -> None:
    """Print a steering packet in hexadecimal digits, tagged with the instance's key.

    Python reads it with ``Ether(bytes.fromhex(...))`` after ``import headers.packet.scapy_layer``.
    """
    import ipaddress

    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    from bus import Instance, InstanceError, derive_key
    from headers.packet.scapy_layer import NSH, Steering, tagged

    try:
        for address in (source, destination):
            ipaddress.IPv4Address(address)
        key = derive_key(Instance.find(instance).secret(), "tag", epoch)
    except (ValueError, InstanceError) as error:
        raise click.ClickException(str(error)) from error
    frame = (
        Ether(src="02:f0:00:00:00:02", dst="02:f0:00:00:00:01")
        / NSH(circuit=circuit, si=si)
        / Steering(engine=engine_number, epoch=epoch, forecast=forecast)
        / IP(src=source, dst=destination)
        / UDP(sport=20000, dport=9)
        / payload.encode()
    )
    frame = tagged(frame, key)
    if wrong_tag:
        frame[Steering].tag ^= 1
    click.echo(bytes(frame).hex())
