"""``foresteer packet``: steering packets made and explained."""

from pathlib import Path

import click


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
