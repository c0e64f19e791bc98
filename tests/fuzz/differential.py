"""The programs against their twin: verdict, bytes, counters, connections, packet by packet.

``python -m tests.fuzz.differential PACKETS [SEED]``, in a network namespace of its own.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from dataplane.connections import CONNECTION_DTYPE
from dataplane.maps import REASONS
from dataplane.twin.machine import DROP
from tests.fuzz.frames import Frames
from tests.fuzz.world import Runner, World, desired, make, pin_to_one_processor

import numpy as np

EVERY = 2000
VERDICTS = {1: "drop", 2: "pass", 3: "tx", 4: "redirect"}
NEVER = ("sample_lost",)
"""Counted by nothing that is compared here: sampling is for people, and off."""


class MismatchError(AssertionError):
    """Program and twin differ; the words hold the packet."""


def reconfigure(world: World, frames: Frames, round_: int) -> None:
    """Change what can change: epoch, keys, who is down, budget, replicas."""
    frames.epoch = round_ // 4 % 3
    from dataplane.keys import write_keys
    from dataplane.maps import KEY_SLOT, REPLICA, U32
    from tests.fuzz.world import CUSTOMER, SECRET

    write_keys(world.maps, SECRET, frames.epoch, [CUSTOMER])
    if round_ % 16 == 15:
        # no key for the epoch that is marked with
        slot = world.maps.keys.get(U32.pack(frames.epoch)) or b""
        world.maps.keys.set(
            U32.pack(frames.epoch), KEY_SLOT.pack(0, 0, 0, KEY_SLOT.unpack(slot)[3])
        )
    down = frozenset(((), (2,), (2, 3), (4,))[round_ % 4])
    rate = 0 if round_ % 8 == 3 else 1 << 31
    replicate = round_ % 8 in (5, 6)
    for key in world.maps.replicas.items():
        world.maps.replicas.remove(key)
    if replicate:
        for at, key in enumerate(list(world.machine.connections)[:200]):
            world.maps.replicas.set(key, REPLICA.pack(at % 5 + 1, 2))
    world.state.use_replicas(used=replicate)
    if replicate or round_ % 8 == 0:
        world.forget()
    world.configure(desired(round_ + 1, epoch=frames.epoch, insert_rate=rate), down)
    world.state.renew()
    if round_ % 16 == 9:
        remove_backends(world)


def remove_backends(world: World) -> None:
    """Take a backend away that connections are at."""
    from dataplane.desired import BACKEND_DTYPE
    from dataplane.maps import mapped

    mapped(world.maps.backends, BACKEND_DTYPE)["active"][2] = 0
    world.renew()


def compare_counters(world: World) -> None:
    """Compare everything that was counted, and what is remembered."""
    machine = world.machine
    mine = {key: (count, machine.reason_bytes[key]) for key, count in machine.reasons.items()}
    if world.reasons() != mine:
        theirs = world.reasons()
        odd = {
            k: (theirs.get(k), mine.get(k)) for k in theirs | mine if theirs.get(k) != mine.get(k)
        }
        raise MismatchError(f"reasons (program, twin): {odd}")
    for name, packets, size in (
        ("demand", machine.demands, machine.demand_bytes),
        ("circuit", machine.circuits, machine.circuit_bytes),
        ("class", machine.applications, machine.application_bytes),
    ):
        table = world.counted(name)
        theirs = {int(n): (int(table[n, 0]), int(table[n, 1])) for n in np.nonzero(table[:, 0])[0]}
        if theirs != {n: (count, size[n]) for n, count in packets.items()}:
            raise MismatchError(f"{name} counters differ")
    held = {}
    waiting = world.waiting()
    for key, value in world.maps.connections.items().items():
        row = np.frombuffer(value, CONNECTION_DTYPE)[0]
        packets, size = waiting.get(key, (0, 0))
        held[key] = (
            int(row["backend"]),
            int(row["state"]),
            int(row["packets"]) + packets,
            int(row["bytes"]) + size,
        )
    mine_held = {
        key: (c.backend, c.state, c.packets, c.bytes) for key, c in machine.connections.items()
    }
    if held != mine_held:
        odd_keys = [k for k in held | mine_held if held.get(k) != mine_held.get(k)]
        first = odd_keys[0]
        raise MismatchError(
            f"{len(odd_keys)} connections differ: {first.hex()}: {held.get(first)}"
            f" is not {mine_held.get(first)}"
        )


def fuzz(packets: int, seed: int, base: Path) -> dict[str, Counter[str]]:
    """Run packets through both; return how often each verdict and reason was taken.

    Raises:
        MismatchError: they differ.
    """
    pin_to_one_processor()
    world, frames, runner = make(base), Frames(seed), Runner()
    ports = world.ports()
    taken: dict[str, Counter[str]] = {"verdicts": Counter(), "reasons": Counter()}
    world.zero()
    machine = world.machine
    for number in range(packets):
        if number % EVERY == 0:
            if number:
                compare_counters(world)
            reconfigure(world, frames, number // EVERY)
        program, port, frame = next(frames)
        if len(frame) < 14:
            frame = frame.ljust(14, b"\0")
        verdict, out = runner.run(world.programs[program], frame, ports[port])
        twin = getattr(machine, program)(frame, ports[port], time.monotonic_ns())
        if verdict != twin.verdict or (verdict != DROP and out != twin.frame):
            raise MismatchError(
                f"packet {number} of seed {seed}, {program} at {port}: {frame.hex()}\n"
                f"program: {VERDICTS.get(verdict, verdict)} {out.hex()}\n"
                f"twin:    {VERDICTS[twin.verdict]} {twin.frame.hex()} {twin.reasons}"
            )
        taken["verdicts"][VERDICTS[verdict]] += 1
        taken["reasons"].update(set(twin.reasons))
    compare_counters(world)
    return taken


def report(taken: dict[str, Counter[str]], packets: int) -> list[str]:
    """Return a line for each verdict and reason, and what less than 1 % of the packets took."""
    lines = []
    for kind, names in (("verdicts", VERDICTS.values()), ("reasons", REASONS)):
        for name in names:
            share = taken[kind][name] / packets
            mark = "" if share >= 0.01 or name in NEVER else "   below 1 %"
            lines.append(f"{kind[:-1]:8} {name:16} {share:8.2%}{mark}")
    return lines


def main() -> int:
    """Fuzz for as long as asked."""
    packets = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            taken = fuzz(packets, seed, Path(folder))
        except MismatchError as error:
            print(error)
            return 1
        finally:
            import subprocess

            subprocess.run(["umount", f"{folder}/bpf"], check=False)
    print("\n".join(report(taken, packets)))
    print(f"{packets} packets, no mismatch, {time.monotonic() - began:.0f} s, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
