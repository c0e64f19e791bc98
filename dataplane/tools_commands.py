"""Commands for the person on call: ``foresteer doctor``, ``detach`` and ``capture``."""

from pathlib import Path

import click

INSTANCE = click.option(
    "--instance", type=click.Path(path_type=Path), help="The instance's directory."
)
PINS = click.option(
    "--pins",
    type=click.Path(path_type=Path),
    help="Where programs are pinned (default: bpf in the instance's directory).",
)


@click.command()
@click.option(
    "--network",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The network file that names this machine's engines.",
)
@INSTANCE
@PINS
@click.option("--all", "everything", is_flag=True, help="Print what is in order, too.")
@click.option("--json", "as_json", is_flag=True, help="Print every check as JSON.")
@click.pass_context
def doctor(
    context: click.Context,
    network: Path | None,
    instance: Path | None,
    pins: Path | None,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """Say what is wrong with this host, and the command that mends it.

    Without --network the instance's own network file is used, where there is one. Ends with 1 when
    something keeps engines from running.
    """
    import json

    from bus import Instance, InstanceError
    from bus.instance import DEFAULT
    from dataplane.doctor import Status, diagnose, facts, failed
    from headers.errors import FileError

    try:
        found = Instance.find(instance)
        directory = found.directory
        if network is None and found.network_file.exists():
            network = found.network_file
    except InstanceError:  # without privileges there is no directory, and that is found below
        found, directory = None, instance or DEFAULT
    try:
        findings = diagnose(facts.gather(found, network, pins or directory / "bpf"))
    except FileError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        rows = [
            {"name": x.name, "status": x.status.value, "text": x.text, "mend": x.mend}
            for x in findings
        ]
        click.echo(json.dumps({"ok": not failed(findings), "checks": rows}, indent=1))
    else:
        for finding in findings:
            if everything or finding.status in (Status.WARNING, Status.FAILURE):
                click.echo(f"{finding.status.value:14}  {finding.name}: {finding.text}")
                if finding.mend:
                    click.echo(f"{'':14}  mend: {finding.mend}")
        count = [sum(x.status is status for x in findings) for status in Status]
        click.echo(
            f"ok {count[0]}, warnings {count[1]}, failures {count[2]}, not applicable {count[3]}"
        )
    context.exit(1 if failed(findings) else 0)


@click.command()
@INSTANCE
@PINS
def detach(instance: Path | None, pins: Path | None) -> None:
    """Take everything of Foresteer's off this host: traffic is bridged and routed as without it.

    Stops the agent, takes the programs off all ports, and removes programs and maps. Ends with 1
    when an agent runs all the same.
    """
    from bus import Instance, InstanceError
    from dataplane.detach import detach as take_off
    from dataplane.errors import DataplaneError

    try:
        found = Instance.find(instance)
        own = found.directory / "bpf"
        done = take_off(pins or own, found, dedicated=pins is None or pins == own)
    except (DataplaneError, InstanceError) as error:
        raise click.ClickException(str(error)) from error
    if done.agent is not None:
        click.echo(f"agent {done.agent} stopped")
    for name in done.links:
        engine, _, port = name.rpartition(":")
        click.echo(f"{port} of engine {engine} is free")
    click.echo(
        f"{len(done.links)} ports freed, {done.objects} programs and maps removed"
        f" in {done.seconds:.3f} s"
    )
    if done.left:
        click.echo(f"not ours, and left alone: {', '.join(done.left)}")
    if done.agent_lives:
        raise click.ClickException(
            f"an agent of {found.directory} runs all the same, and will attach its engines again:"
            " stop what starts it (a supervisor, a demo), then detach once more"
        )


@click.command()
@click.argument("port")
@click.option(
    "--rate",
    type=click.IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    help="Take one frame in so many; on a busy port 1000 is plenty.",
)
@click.option("--count", type=click.IntRange(1), help="Stop after so many frames are written.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 86_400, min_open=True),
    default=10.0,
    show_default=True,
    help="Stop after so long; Ctrl-C stops as well.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    required=True,
    help="The capture file, for Wireshark, tshark or tcpdump; - is the standard output.",
)
@INSTANCE
@PINS
def capture(
    port: str,
    rate: int,
    count: int | None,
    seconds: float,
    output: Path,
    instance: Path | None,
    pins: Path | None,
) -> None:
    """Write frames that come in at PORT of an engine to a capture file.

    tcpdump does not see them: they are redirected before it. Each is written as it came in and as
    it leaves the program, the first 256 bytes of it. PORT is an interface's name, or ENGINE:NAME.
    """
    import os
    import sys

    from bus import Instance, InstanceError
    from dataplane.capture import attached_ports, find_port, until_signalled
    from dataplane.capture import capture as sample
    from dataplane.errors import DataplaneError
    from dataplane.maps import open_maps
    from dataplane.pcap import PcapWriter

    lock = None
    try:
        found = Instance.find(instance)
        lock = found.hold("capture")
        if lock is None:
            raise click.ClickException("another capture is running: one at a time is possible")
        where = pins or found.directory / "bpf"
        ports = attached_ports(where)
        wanted = find_port(ports, port)
        maps = open_maps(where)
        file = sys.stdout.buffer if str(output) == "-" else output.open("wb")
        with until_signalled() as stopped, PcapWriter(file) as writer:
            done = sample(
                maps,
                wanted,
                writer,
                others=ports,
                rate=rate,
                count=count,
                seconds=seconds,
                stopped=stopped,
            )
    except (DataplaneError, InstanceError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error
    finally:
        if lock is not None:
            os.close(lock)
    parts = ", ".join(f"{name} {number}" for name, number in sorted(done.written.items()))
    click.echo(
        f"{done.written.total()} frames written{f' ({parts})' if parts else ''}, {done.lost} lost",
        err=True,
    )
