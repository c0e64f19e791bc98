"""``foresteer packet``: steering packets made and explained."""

from pathlib import Path

import click

INSTANCE = click.option(
    "--instance", type=click.Path(path_type=Path), help="The instance's directory."
)


@click.group()
def packet() -> None:
    """Make and explain steering packets."""


@packet.command()
@click.option("--circuit", type=click.IntRange(1, 0x7FFFFF), required=True)
@click.option("--si", type=click.IntRange(0, 255), default=1, show_default=True)
@click.option("--source", help="The inner packet's source address, IPv4 or IPv6.")
@click.option("--destination", help="The inner packet's destination address.")
@click.option("--engine", "engine_number", type=click.IntRange(0, 65535), default=0)
@click.option("--epoch", type=click.IntRange(0, 255), default=0)
@click.option("--forecast", type=click.IntRange(0, 0xFFFFFF), default=0)
@click.option("--payload", default="foresteer", show_default=True, help="The UDP payload.")
@click.option("--echo", is_flag=True, help="Make an echo (O bit), which has no packet inside.")
@click.option(
    "--reply-circuit",
    type=click.IntRange(1, 0x7FFFFF),
    help="Of an echo: the circuit that the answer comes back on.",
)
@click.option("--reply-si", type=click.IntRange(0, 255), default=1, show_default=True)
@click.option("--sequence", type=click.IntRange(0, 0xFFFFFFFF), default=1, show_default=True)
@click.option("--wrong-tag", is_flag=True, help="Spoil the tag, to see the fallback at work.")
@INSTANCE
def make(
    circuit: int,
    si: int,
    source: str | None,
    destination: str | None,
    engine_number: int,
    epoch: int,
    forecast: int,
    payload: str,
    reply_circuit: int | None,
    reply_si: int,
    sequence: int,
    *,
    echo: bool,
    wrong_tag: bool,
    instance: Path | None,
) -> None:
    """Print a steering packet in hexadecimal digits, tagged with the instance's key.

    Python reads it with ``Ether(bytes.fromhex(...))`` after ``import headers.packet.scapy_layer``.
    """
    import time

    from bus import Instance, InstanceError, derive_key
    from dataplane.made import echo_packet, udp_packet
    from headers.packet import SteeringHeader
    from headers.packet.steering import Echo

    header = SteeringHeader(circuit, si, engine_number, epoch=epoch, forecast=forecast)
    try:
        key = derive_key(Instance.find(instance).secret(), "tag", epoch)
        if echo:
            if source or destination or reply_circuit is None:
                raise click.ClickException(
                    "an echo has no addresses, but a circuit back: --echo --reply-circuit N"
                )
            back = Echo(reply_circuit, reply_si, sequence, time.monotonic_ns())
            frame = echo_packet(key, header, back)
        elif source and destination:
            frame = udp_packet(key, header, source, destination, payload.encode())
        else:
            raise click.ClickException("name --source and --destination, or make an --echo")
    except (ValueError, InstanceError) as error:
        raise click.ClickException(str(error)) from error
    if wrong_tag:
        last = _TAG_END - 1
        frame = frame[:last] + bytes([frame[last] ^ 1]) + frame[last + 1 :]
    click.echo(frame.hex())


_TAG_END = 14 + 24


@packet.command()
@click.argument("what", metavar="[HEX | FILE.pcap | -]", default="-")
@INSTANCE
@click.option(
    "--pins",
    type=click.Path(path_type=Path),
    help="Where programs are pinned (default: bpf in the instance's directory).",
)
@click.option("--port", default="", help="The port it comes in at: a name, or ENGINE:NAME.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per packet and line.")
def explain(
    what: str, instance: Path | None, pins: Path | None, port: str, *, as_json: bool
) -> None:
    """Explain packets field by field, and what an engine would do with them.

    Packets are hexadecimal digits, one packet a line, or a capture file (pcap); - and nothing read
    the standard input. Tags are checked with the instance's key. Where engines run here, their
    tables say what they would do with each packet; nothing is sent, and no counter moves.
    """
    import json
    import sys

    from bus import InstanceError
    from dataplane.errors import DataplaneError
    from dataplane.explain import explain as explained
    from dataplane.explain import frames_of
    from dataplane.explain.sight import keys_of, plane_below
    from headers.errors import FormatError

    number = 0
    try:
        key_of, directory = keys_of(instance)
        plane, why = plane_below(pins, directory, wanted=bool(port))
        for number, frame in enumerate(frames_of(what, sys.stdin.buffer), 1):
            found = explained(frame, key_of=key_of, plane=plane, port=port, why=why)
            if as_json:
                click.echo(json.dumps({"packet": number, **found.as_dict()}))
            else:
                before = "\n" if number > 1 else ""
                click.echo(f"{before}Packet {number}: " + "\n".join(found.lines()))
    except (DataplaneError, FormatError, InstanceError) as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        raise  # whoever read has read enough: click ends quietly
    except OSError as error:
        raise click.ClickException(f"{what}: {error.strerror}") from error
    if not number:
        raise click.ClickException(f"{what}: a capture file without a frame")
