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
            f"an agent of {found.directory} still runs: stop it where it was started,"
            " else it attaches again when it starts"
        )
