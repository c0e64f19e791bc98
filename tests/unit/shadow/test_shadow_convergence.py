"""Whatever the network does: when it stops, the shadow holds what the primary holds."""

import os

import pytest
from .shadow_world import World

from bus.simulated import Faults

SEEDS = int(os.environ.get("FORESTEER_SEEDS", "1000"))
PORTIONS = 10


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


def world_of(seed: int, **more) -> World:
    draw = World(seed, **more)
    random = draw.random
    draw.network.faults = Faults(
        loss=random.choice((0.0, 0.05, 0.2)),
        duplicate=random.choice((0.0, 0.1)),
        corrupt=random.choice((0.0, 0.02)),
        delay_s=random.choice((0.0002, 0.005, 0.03)),
        jitter_s=random.choice((0.0, 0.004, 0.05)),
    )
    return draw


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_replicas_converge_whatever_the_network_does(portion: int) -> None:
    for seed in range(portion, SEEDS, PORTIONS):
        world = world_of(seed)
        live_through(world)
        assert world.run_until(world.equal), f"seed {seed} does not converge"
        assert not world.receiver.replica.unheld
