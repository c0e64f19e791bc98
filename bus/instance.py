"""One running Foresteer: the directory that everything of it lies in.

Sockets, the bus's address and credentials, locks, logs and the journal are files of this
directory, so that two instances never meet and whichever process comes first can start the rest:
a process's lock is held by the process itself for as long as it lives, so "is it running?" and
"start it once" are one question, answered by the kernel.
"""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bus.errors import InstanceError

ENVIRONMENT = "FORESTEER_INSTANCE"
DEFAULT = Path("/run/foresteer/default")
PAGE_SOCKET = "FORESTEER_PAGE_FD"
LOG_BYTES = 8 * 1024 * 1024

_UNIX_PATH_MAX = 100


@dataclass(frozen=True, slots=True)
class BusAddress:
    """Where the private nats-server listens and who may speak to it."""

    port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        """The address for a client."""
        return f"nats://127.0.0.1:{self.port}"


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _pid_namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())


class Instance:
    """The directory of one running Foresteer, and its processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for part in ("locks", "logs", "pids"):
                (directory / part).mkdir(exist_ok=True)
        except OSError as error:
            raise InstanceError(f"the instance directory {directory}: {error.strerror}") from error

    @classmethod
    def find(cls, directory: Path | None = None) -> "Instance":
        """Return the instance named by the argument, by FORESTEER_INSTANCE, or the default one."""
        return cls(directory or Path(os.environ.get(ENVIRONMENT) or DEFAULT))

    @property
    def southbound_socket(self) -> Path:
        """The Unix socket between brain and southbound."""
        return self.directory / "southbound.sock"

    @property
    def journal(self) -> Path:
        """The journal's database."""
        return self.directory / "journal.sqlite"

    @property
    def network_file(self) -> Path:
        """The network file that the brain plans on, once somebody has put it there."""
        return self.directory / "network.json"

    def settings(self) -> dict[str, Any]:
        """Return the instance's settings (tick, clock's origin, history); {} where none are."""
        try:
            content = json.loads((self.directory / "settings.json").read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InstanceError(f"{self.directory}/settings.json: {error}") from error
        return dict(content)

    def state(self) -> dict[str, Any]:
        """Return what the brain last said of itself (``ready``, ``tick`` and more); {} at first."""
        try:
            return dict(json.loads((self.directory / "state.json").read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Say how the brain is, for those who wait for it without asking over the network."""
        draft = self.directory / ".state.json"
        draft.write_text(json.dumps(dict(state)))
        draft.replace(self.directory / "state.json")

    def save_settings(self, settings: Mapping[str, Any]) -> None:
        """Write the instance's settings."""
        content = json.dumps(dict(settings), indent=1).encode()
        _write_private(self.directory / "settings.json", content)

    def secret(self) -> bytes:
        """Return the domain's secret; make one, for our eyes only, when there is none.

        Raises:
            InstanceError: others may read the file, or it does not hold 32 bytes in hex.
        """
        path = self.directory / "domain.key"
        with self._locked("secret"):
            if not path.exists():
                _write_private(path, secrets.token_hex(32).encode())
        if path.stat().st_mode & 0o077:
            raise InstanceError(f"{path} can be read by others: chmod 600 {path}")
        try:
            secret = bytes.fromhex(path.read_text())
        except ValueError as error:
            raise InstanceError(f"{path} does not hold a key in hexadecimal digits") from error
        if len(secret) != 32:
            raise InstanceError(f"{path} holds {len(secret)} bytes, not 32")
        return secret

    @contextlib.contextmanager
    def _locked(self, name: str) -> Any:
        with (self.directory / "locks" / f"{name}.short").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def running(self, name: str) -> bool:
        """Return whether the process of this name holds its lock, which is to say: lives."""
        with (self.directory / "locks" / name).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def pid(self, name: str) -> int | None:
        """Return the process's id if it is running in this PID namespace."""
        try:
            number, space = (self.directory / "pids" / name).read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        # a number means nothing in another PID namespace
        return int(number) if space == _pid_namespace() and self.running(name) else None

    def _note_pid(self, name: str, pid: int) -> None:
        (self.directory / "pids" / name).write_text(f"{pid} {_pid_namespace()}")

    def hold(self, name: str) -> int | None:
        """Take a process's lock for this process; return its descriptor, None if it is taken.

        A process that was started by ``start_once`` has it already.
        """
        inherited = os.environ.get("FORESTEER_LOCK", "")
        if inherited.startswith(f"{name}:"):
            return int(inherited.split(":")[1])
        lock = os.open(self.directory / "locks" / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        self._note_pid(name, os.getpid())
        return lock

    def start_once(
        self,
        name: str,
        command: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes] | None:
        """Start a process unless it is running; return it, or None when it was running.

        Its output goes to ``logs/NAME.log``, which starts afresh above 8 MiB.
        """
        lock = os.open(self.directory / "locks" / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        path = self.directory / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        page = os.environ.get(PAGE_SOCKET)
        descriptors = {lock, *pass_fds, *([int(page)] if page else [])}
        try:
            with path.open("ab") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=tuple(descriptors),
                    env={
                        **os.environ,
                        **(environment or {}),
                        ENVIRONMENT: str(self.directory),
                        "FORESTEER_LOCK": f"{name}:{lock}",
                    },
                )
        except OSError as error:
            raise InstanceError(f"{name} cannot be started: {error}") from error
        finally:
            os.close(lock)
        self._note_pid(name, process.pid)
        return process

    def bus_address(self) -> BusAddress:
        """Return where the bus is or will be; the first caller chooses port and password."""
        path = self.directory / "bus.json"
        with self._locked("bus-address"):
            if not path.exists():
                made = BusAddress(_free_port(), "foresteer", secrets.token_urlsafe(24))
                _write_private(path, json.dumps(asdict(made)).encode())
        try:
            return BusAddress(**json.loads(path.read_text()))
        except (TypeError, ValueError) as error:
            raise InstanceError(f"{path} is damaged; remove it and start again") from error

    def ensure_bus(self) -> subprocess.Popen[bytes] | None:
        """Start the private nats-server unless it is running."""
        address = self.bus_address()
        config = self.directory / "bus.conf"
        _write_private(
            config,
            (
                f"listen: 127.0.0.1:{address.port}\n"
                f'authorization {{ user: "{address.user}", password: "{address.password}" }}\n'
                f'jetstream {{ store_dir: "{self.directory}/bus", max_file_store: 256MB }}\n'
                "max_payload: 8MB\n"
            ).encode(),
        )
        return self.start_once("bus", ["nats-server", "-c", str(config)])

    def ensure_brain(self) -> subprocess.Popen[bytes] | None:
        """Start the brain unless it is running."""
        return self.start_once("brain", [sys.executable, "-m", "controller.cli", "brain"])

    def stop(self, name: str, timeout_s: float = 5.0) -> None:
        """End the process of this name if it runs: first asked, then made to."""
        pid = self.pid(name)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while self.running(name):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.02)


def unix_address(path: Path) -> str:
    """Return an address for a Unix socket at a path of any length.

    The kernel takes 107 bytes; a longer path goes through a descriptor of its folder, which stays
    open for the life of the process.
    """
    if len(str(path)) <= _UNIX_PATH_MAX:
        return str(path)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    return f"/proc/self/fd/{folder}/{path.name}"
