"""The replayer's side in Python: writes what it should send, reads what it counted."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topologies.errors import LabError
from topologies.lab.compiler import compile_program

SOURCE = Path(__file__).with_name("replay.c")
MAGIC = 0x46535452
FLOWS = 1024
FRAME = 1400
MAX_HOSTS = 64

_HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("intervals", "<u4"),
        ("demands", "<u4"),
        ("hosts", "<u4"),
        ("flows", "<u4"),
        ("frame", "<u4"),
        ("stop", "<u4"),
        ("done", "<u4"),
        ("origin_ns", "<i8"),
        ("step_ns", "<i8"),
        ("router_mac", "u1", 6),
        ("unused", "u1", 2),
    ]
)
_HOST = np.dtype(
    [
        ("pid", "<u4"),
        ("ifname", "S16"),
        ("address", ">u4"),
        ("mac", "u1", 6),
        ("unused", "u1", 2),
    ]
)
_DEMAND = np.dtype([("source", "<u4"), ("destination", "<u4")])
_TALLY = np.dtype(
    [
        ("sent", "<u8"),
        ("received", "<u8"),
        ("reordered", "<u8"),
        ("delay_ns", "<u8"),
        ("delay_max_ns", "<u8"),
    ]
)


@dataclass(frozen=True, slots=True)
class ReplayHost:
    """A host that sends and receives: a process in its namespace, its interface and addresses."""

    pid: int
    ifname: str
    address: str
    mac: str


def compile_replayer(directory: Path) -> Path:
    """Compile the replayer into a directory.

    Raises:
        LabError: there is no C compiler, or it fails.
    """
    return compile_program(SOURCE, directory)


class Replay:
    """A replay: rates by interval and demand in, packets and delays counted out."""

    def __init__(
        self,
        directory: Path,
        hosts: Sequence[ReplayHost],
        packets_per_s: NDArray[np.float64],
        *,
        router_mac: str,
        step_s: float,
        frame: int = FRAME,
    ) -> None:
        """Prepare a replay of ``packets_per_s`` [interval, source, destination].

        Raises:
            LabError: too many hosts, or the replayer cannot be compiled.
        """
        count = len(hosts)
        if count > MAX_HOSTS:
            raise LabError(f"{count} hosts; the replayer sends for at most {MAX_HOSTS}")
        pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
        self.pairs = pairs
        self.program = compile_replayer(directory)
        self.path = directory / "replay.shared"
        sizes = (
            _HEADER.itemsize,
            _HOST.itemsize * count,
            _DEMAND.itemsize * len(pairs),
            8 * len(packets_per_s) * len(pairs),
            _TALLY.itemsize * len(packets_per_s) * len(pairs),
        )
        self.path.write_bytes(bytes(sum(sizes)))
        with self.path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        starts = np.cumsum((0, *sizes))

        def view(part: int, dtype: np.dtype[np.void] | str, shape: tuple[int, ...]) -> NDArray:  # type: ignore[type-arg]
            items = int(np.prod(shape))
            return np.frombuffer(self._memory, dtype, items, int(starts[part])).reshape(shape)

        self._head = view(0, _HEADER, (1,))
        hosts_view = view(1, _HOST, (count,))
        demands = view(2, _DEMAND, (len(pairs),))
        self._rates = view(3, "<f8", (len(packets_per_s), len(pairs)))
        self._tallies = view(4, _TALLY, (len(packets_per_s), len(pairs)))
        for row, host in zip(hosts_view, hosts, strict=True):
            row["pid"], row["ifname"] = host.pid, host.ifname.encode()
            row["address"] = int.from_bytes(bytes(int(x) for x in host.address.split(".")), "big")
            row["mac"] = list(bytes.fromhex(host.mac.replace(":", "")))
        demands["source"] = [i for i, _ in pairs]
        demands["destination"] = [j for _, j in pairs]
        self._rates[:] = packets_per_s[:, demands["source"], demands["destination"]]
        head = self._head[0]
        head["magic"], head["intervals"], head["demands"] = MAGIC, len(packets_per_s), len(pairs)
        head["hosts"], head["flows"], head["frame"] = count, FLOWS, frame
        head["step_ns"] = int(step_s * 1e9)
        head["router_mac"] = list(bytes.fromhex(router_mac.replace(":", "")))
        self.count = count
        # it keeps time for everybody, so it goes first
        self.command = ["nice", "-n", "-10", str(self.program), str(self.path)]

    def start_at(self, origin_s: float) -> None:
        """Have interval 0 begin at ``origin_s`` on the monotonic clock."""
        self._head[0]["origin_ns"] = int(origin_s * 1e9)

    def change(self, source: int, destination: int, packets_per_s: float) -> None:
        """Have a demand sent at another rate from this moment on, in all intervals."""
        self._rates[:, self.pairs.index((source, destination))] = packets_per_s

    def stop(self) -> None:
        """Tell the replayer to end."""
        self._head[0]["stop"] = 1

    def counts(self, field: str) -> NDArray[np.float64]:
        """Return one of sent, received, reordered, delay_ns, delay_max_ns: [interval, N, N]."""
        table = np.zeros((len(self._tallies), self.count, self.count))
        rows, columns = zip(*self.pairs, strict=True)
        table[:, rows, columns] = self._tallies[field]
        return table
