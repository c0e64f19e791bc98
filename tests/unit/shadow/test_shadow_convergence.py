"""Whatever the network does: when it stops, the shadow holds what the primary holds.

Equality must come from the protocol alone: that buckets are compared and repaired would hide its
mistakes, so no comparison may ever find a difference.
"""

import os
from collections.abc import Callable

import numpy as np
import pytest

from bus.simulated import Faults
from dataplane.shadow.pending import Pending, Sent
from dataplane.shadow.replica import Replica
from headers.replication import Section

from .shadow_world import World

SEEDS = int(os.environ.get("FORESTEER_SEEDS", "1000"))
PORTIONS = 10
SEEDS_FOR_BUGS = 300


def world_of(seed: int) -> World:
    """Return a world whose faults are drawn from the seed."""
    world = World(seed)
    random = world.random
    world.network.faults = Faults(
        loss=random.choice((0.0, 0.05, 0.2)),
        duplicate=random.choice((0.0, 0.1)),
        corrupt=random.choice((0.0, 0.02)),
        delay_s=random.choice((0.0002, 0.005, 0.03)),
        jitter_s=random.choice((0.0, 0.004, 0.05)),
    )
    return world


def live_through(world: World) -> None:
    """Let connections come and go while network and agents fail; then end all faults."""
    random = world.random
    world.start()
    for _ in range(random.randrange(8, 18)):
        what = random.randrange(12)
        if what < 4:
            world.open(random.randrange(1, 60))
        elif what < 6:
            world.close(random.randrange(1, 40))
        elif what < 8:
            world.change(random.randrange(1, 30))
        elif what == 8:
            world.primary.restart()
            world.primary.poll()
        elif what == 9:
            world.shadow.restart()
        elif what == 10:
            world.network.cut("p", "s")
            if random.randrange(2):
                world.network.cut("s", "p")
        else:
            world.network.mend()
        world.simulation.run(world.simulation.now_s + random.choice((0.0, 0.003, 0.02, 0.15)))
    world.network.mend()
    world.network.faults = Faults()


def failure(seed: int) -> str | None:
    """Live through a seed; return what went wrong, or None."""
    world = world_of(seed)
    live_through(world)
    if not world.run_until(world.equal):
        return "does not converge"
    compared = world.receiver.counts["compared"]
    enough = compared + 2 if world.table.top else 0
    if not world.run_until(lambda: world.receiver.counts["compared"] >= enough, 5):
        return "does not compare"
    if world.receiver.counts["diverged"]:
        return "had to be repaired"
    return None if world.equal() else "does not stay equal"


@pytest.mark.slow
@pytest.mark.parametrize("portion", range(PORTIONS))
def test_replicas_converge_whatever_the_network_does(portion: int) -> None:
    for seed in range(portion, SEEDS, PORTIONS):
        assert failure(seed) is None, f"seed {seed} {failure(seed)}"


def test_a_seed_repeats_its_run() -> None:
    runs = []
    for _ in range(2):
        world = world_of(7)
        live_through(world)
        runs.append((dict(world.network.counts), world.simulation.now_s, world.sender.bytes_sent))
    assert runs[0] == runs[1]


def _forgets_versions(self: Replica, ids: np.ndarray, rows: np.ndarray, sequence: int) -> None:
    self._rows[ids] = rows
    self._version[ids] = sequence
    self._held[ids] = True


def _forgets_the_end(self: Replica, ids: np.ndarray, sequence: int) -> None:
    self._held[ids] = False


def _drops_nothing(self: Replica) -> None:
    return


def _recovers_nothing(self: Pending, sent: Sent, sequence: int, now_us: int) -> None:
    return


def _recovers_no_end(self: Pending, sent: Sent, sequence: int, now_us: int) -> None:
    kept = sent.masks != 0x10
    LOST(self, Sent(sent.ids[kept], sent.masks[kept], sent.bulk), sequence, now_us)


def _believes_any_number(self: Pending, sent: Sent, sequence: int) -> None:
    self._confirmed[sent.ids[self._table.live[sent.ids]]] = True


def _loses_a_section(self: Replica, section: Section, sequence: int) -> None:
    if len(section.ids) != 13:
        APPLY(self, section, sequence)


LOST, APPLY = Pending.lost, Replica.apply

BUGS: dict[str, tuple[type, str, Callable]] = {
    "older whole records win": (Replica, "_set", _forgets_versions),
    "an end is not remembered": (Replica, "_end", _forgets_the_end),
    "what a snapshot lacks stays": (Replica, "complete", _drops_nothing),
    "loss is not recovered": (Pending, "lost", _recovers_nothing),
    "a lost end is not recovered": (Pending, "lost", _recovers_no_end),
    "any acknowledgement confirms": (Pending, "acknowledged", _believes_any_number),
    "some changes are not applied": (Replica, "apply", _loses_a_section),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_seeds_find_a_planted_bug(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, wrong = BUGS[bug]
    monkeypatch.setattr(owner, name, wrong)
    found = next((seed for seed in range(SEEDS_FOR_BUGS) if failure(seed)), None)
    assert found is not None, f"no seed of {SEEDS_FOR_BUGS} finds that {bug}"
