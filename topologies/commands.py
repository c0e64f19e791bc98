"""The topologies' part of the ``foresteer`` command: demo, mn, controller, network, clean."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import socket

STOP_S = 12.0
_PAGE_PORT = 8080


def _bind_page() -> "socket.socket":
    """Bind the page's socket before entering namespaces, so that it is reached from outside."""
    import socket

    for port in range(_PAGE_PORT, _PAGE_PORT + 100):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        listener.listen(128)
        return listener
    raise click.ClickException(f"no port from {_PAGE_PORT} to {_PAGE_PORT + 99} is free")


def _wait(child: subprocess.Popen[bytes], lifeline: int) -> int:
    """Wait for a child in namespaces; on a signal let it wind up, then make sure."""

    def let_go(*_: object) -> None:
        with contextlib.suppress(OSError):
            os.close(lifeline)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, let_go)
    stopped: float | None = None
    while child.poll() is None:
        time.sleep(0.05)
        try:
            os.fstat(lifeline)
        except OSError:
            stopped = stopped or time.monotonic()
            if time.monotonic() - stopped > STOP_S:
                child.kill()
    if stopped is not None and child.returncode < 0:
        click.echo(f"ended: it had not wound up after {STOP_S:g} s")
        return 128 + signal.SIGINT
    return child.returncode


def take_directory(directory: Path) -> int:
    """Make a run's directory this demo's own; return the descriptor that holds it.

    The instance of an earlier demo in it is taken away: its clock and its journal are over.

    Raises:
        ClickException: a demo is running there, or it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        earlier = directory / "instance"
        if (directory / "settings.json").is_file() and earlier.is_dir():
            shutil.rmtree(earlier)
    except BlockingIOError:
        raise click.ClickException(f"a demo is running in {directory} already") from None
    except OSError as error:
        raise click.ClickException(f"{directory}: {error.strerror}") from error
    return held


@click.command()
@click.option(
    "--matrices",
    "count",
    type=click.IntRange(2, 4000),
    default=48,
    show_default=True,
    help="How many matrices to replay.",
)
@click.option("--tm", type=click.Path(path_type=Path), help="A traffic matrix file.")
@click.option("--topology", help="A topology file, or a name (the data directory's, topohub's).")
@click.option("--data", type=click.Path(path_type=Path), help="The directory of measured data.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the report goes.")
@click.option(
    "--tick",
    "tick_s",
    type=click.FloatRange(1, 60),
    default=2.0,
    show_default=True,
    help="Seconds per matrix.",
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 40),
    default=10.0,
    show_default=True,
    help="Mb/s of the fastest link.",
)
@click.option("--equal", is_flag=True, help="All links alike, not in proportion.")
@click.option("--no-delay", is_flag=True, help="Links without propagation delay.")
@click.option(
    "--seed",
    type=int,
    default=10,
    show_default=True,
    help="For synthetic traffic; 10 is about as uneven as Abilene's was when it was measured.",
)
@click.option("--keep", is_flag=True, help="Stay until Ctrl-C.")
def demo(
    count: int,
    tm: Path | None,
    topology: str | None,
    data: Path | None,
    out: Path | None,
    tick_s: float,
    rate: float,
    seed: int,
    *,
    equal: bool,
    no_delay: bool,
    keep: bool,
) -> None:
    """Run the whole loop on an emulated backbone with replayed traffic."""
    from bus.instance import PAGE_SOCKET
    from headers.errors import FormatError
    from headers.files import save_matrices, save_topology
    from topologies.errors import LabError, TopologyError
    from topologies.lab.demo import DemoSettings, write_settings
    from topologies.lab.namespaces import start_inside
    from topologies.lab.scenario import choose

    try:
        shape, traffic = choose(tm, topology, data, count, seed)
    except (TopologyError, FormatError) as error:
        raise click.ClickException(str(error)) from error
    run = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    directory = (out or Path("out") / run).resolve()
    held = take_directory(directory)
    try:
        save_topology(shape, directory / "topology.json")
        save_matrices(traffic, directory / "matrices.npz")
    except OSError as error:
        raise click.ClickException(f"{directory}: {error.strerror}") from error
    page = _bind_page()
    port = page.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    kind = "SYNTHETIC traffic" if traffic.synthetic else "measured traffic"
    label = f"{shape.name}, {kind} ({traffic.name})"
    settings = DemoSettings(
        str(directory),
        str(directory / "topology.json"),
        str(directory / "matrices.npz"),
        count,
        tick_s,
        rate,
        equal,
        keep,
        address,
        label,
        traffic.name,
        not no_delay,
    )
    write_settings(settings, directory / "settings.json")
    click.echo(f"page: {address}   report: {directory}/report.html")
    try:
        child, lifeline = start_inside(
            "topologies.lab.demo",
            [str(directory / "settings.json")],
            keep=[directory],
            pass_fds=[page.fileno(), held],
            environment={PAGE_SOCKET: str(page.fileno())},
        )
    except LabError as error:
        raise click.ClickException(str(error)) from error
    page.close()
    sys.exit(_wait(child, lifeline))


@click.command()
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=6653,
    show_default=True,
    help="Where switches connect, on loopback.",
)
@click.option("--listen", default="127.0.0.1", show_default=True, help="The address for switches.")
def controller(instance: Path | None, port: int, listen: str) -> None:
    """Run southbound, brain and bus; switches connect to them."""
    from bus import Instance, InstanceError
    from bus.instance import ENVIRONMENT, PAGE_SOCKET
    from topologies.errors import LabError
    from topologies.lab.namespaces import start_inside

    try:
        found = Instance.find(instance)
        if found.running("southbound"):
            raise click.ClickException(f"a controller is running already in {found.directory}")
        page = _bind_page()
        click.echo(
            f"controller for switches at {listen}:{port}, page at"
            f" http://127.0.0.1:{page.getsockname()[1]}, instance {found.directory}; Ctrl-C ends it"
        )
        child, lifeline = start_inside(
            "topologies.lab.standalone",
            [listen, str(port)],
            network=False,
            private=(),
            pass_fds=[page.fileno()],
            environment={PAGE_SOCKET: str(page.fileno()), ENVIRONMENT: str(found.directory)},
        )
    except (InstanceError, LabError) as error:
        raise click.ClickException(str(error)) from error
    page.close()
    sys.exit(_wait(child, lifeline))


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": [],
    }
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def mn(arguments: tuple[str, ...]) -> None:
    """Run Mininet's own command in namespaces of its own, against a running controller."""
    from bus import Instance, InstanceError
    from bus.instance import ENVIRONMENT
    from topologies.errors import LabError
    from topologies.lab.namespaces import start_inside

    try:
        found = Instance.find()
        if not found.running("southbound"):
            raise click.ClickException(
                f"no controller is running in {found.directory}: start one with ./run controller"
            )
        child, lifeline = start_inside(
            "topologies.lab.mn",
            arguments,
            keep=[found.directory],
            environment={ENVIRONMENT: str(found.directory)},
            session=False,
        )
    except (InstanceError, LabError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(_wait(child, lifeline))


@click.group()
def network() -> None:
    """Look at network files."""


@network.command()
@click.argument("path", type=click.Path(path_type=Path))
def check(path: Path) -> None:
    """Say whether a network file is right."""
    from headers.errors import FileError
    from headers.files.network import load_network

    try:
        found = load_network(path)
    except FileError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{found.name}: {len(found.locations)} locations, {len(found.links)} links: good")


@click.command()
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def clean(instance: Path | None) -> None:
    """Remove what a crashed run left: processes by recorded number, programs, mounts."""
    from bus import Instance, InstanceError

    try:
        found = Instance.find(instance)
    except InstanceError as error:
        raise click.ClickException(str(error)) from error
    for name in ("replay", "agent", "brain", "southbound", "bus", "vswitchd", "ovsdb", "wire"):
        if found.running(name):
            found.stop(name)
            click.echo(
                f"stopped {name}"
                if not found.running(name)
                else f"{name} runs in another namespace: end its demo or controller"
            )
    pins = found.directory / "bpf"
    if pins.is_mount():
        subprocess.run(["umount", str(pins)], check=False)
        click.echo(f"unmounted {pins}: its programs are off")
