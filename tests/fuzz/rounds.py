"""What changes around the packets: states, keys, who is down, what is full."""

import random

import numpy as np

from dataplane.desired import BACKEND_DTYPE, EDGE_DTYPE, HOP_DTYPE
from dataplane.keys import write_keys
from dataplane.maps import KEY_SLOT, PORT, REPLICA, U32, mapped
from headers.messages import ApplyEngines
from tests.fuzz.compare import Comparer
from tests.fuzz.frames import SECRETS, Frames
from tests.fuzz.states import CUSTOMER, UNLIMITED, Moment, States
from tests.fuzz.world import MAX_FRAME, World

EPOCHS = (255, 0, 1, 2)
DOWN: tuple[frozenset[int], ...] = (
    frozenset(),
    frozenset({2}),
    frozenset({2, 4}),
    frozenset({2, 3}),
    frozenset({4}),
    frozenset({3}),
)


class Rounds:
    """Sets the stage for each round of packets, and moves things about within it."""

    def __init__(self, world: World, frames: Frames, comparer: Comparer, seed: int) -> None:
        self._world = world
        self._frames = frames
        self._comparer = comparer
        self._random = random.Random(seed * 31 + 7)
        self._states = States(self._random)
        self._generation = 0
        self._wanted: ApplyEngines | None = None
        self._full = False
        self._number = -1
        maps = world.maps
        self._active = (
            (mapped(maps.edge_circuits, EDGE_DTYPE), "active"),
            (mapped(maps.hops, HOP_DTYPE), "action"),
            (mapped(maps.backends, BACKEND_DTYPE), "active"),
        )

    def begin(self) -> None:
        """Begin a round: all that was counted has been compared.

        What is rare is there every so many rounds, so that a short run has it as well.
        """
        pick, world = self._random, self._world
        self._number += 1
        if pick.random() < 0.25:
            self._comparer.events()
        if pick.random() < (0.9 if self._full else 0.5):
            world.forget()
            self._frames.touch(60)
        self._keys()
        self._state()
        self._ports()
        if self._number % 3 == 2:
            self._spoil()
        self._replicas()
        self._full = self._number % 5 == 2
        if self._full:
            world.fill(pick.choice((0, 0, 1, 5)))
        if pick.random() < 0.3:
            world.age(pick.choice((1, 62, 63, 64, 65)))
        world.put_down(pick.choice(DOWN))
        if pick.random() < 0.7:
            world.state.renew()
        world.renew()

    def change(self) -> None:
        """Change one thing in the middle of a round."""
        pick, world = self._random, self._world
        assert self._wanted is not None
        kind = pick.randrange(8)
        if kind == 0:
            world.put_down(pick.choice(DOWN))
        elif kind == 1:
            self._wanted = self._states.reweighed(self._wanted)
            world.configure(self._wanted)
        elif kind < 7:
            self._wanted = self._states.rebacked(self._wanted)
            world.configure(self._wanted)
            self._frames.touch(60)

    def _keys(self) -> None:
        """Write the keys of the present epoch and their neighbours; sometimes one is missing."""
        pick, world, frames = self._random, self._world, self._frames
        if pick.random() < 0.3:
            frames.epoch = pick.choice(EPOCHS)
        if self._number % 7 == 3:
            frames.secret = 1 - frames.secret
        write_keys(world.maps, SECRETS[frames.secret], frames.epoch, [CUSTOMER])
        where = U32.pack(frames.epoch)
        if self._number % 5 == 3:
            k0, k1, _, serial = KEY_SLOT.unpack(world.maps.keys.get(where) or b"")
            # emptied, or in the middle of being written
            k0, k1 = pick.choice(((0, 0), (k0, k1)))
            world.maps.keys.set(where, KEY_SLOT.pack(k0, k1, 0, serial))
        if self._number % 7 == 5:
            for key, value in world.maps.customers.items().items():
                k0, k1, _, serial = KEY_SLOT.unpack(value)
                world.maps.customers.set(key, KEY_SLOT.pack(k0, k1, 0, serial))

    def _state(self) -> None:
        pick = self._random
        self._generation += 10
        moment = Moment(
            self._generation,
            self._frames.epoch,
            pick.choice((77, 78, 0xFFFFFF)),
            0 if self._number % 6 == 4 else UNLIMITED,
        )
        if self._wanted is None or pick.random() < 0.8:
            self._wanted = self._states.whole(moment)
        else:
            self._wanted = self._states.at(self._wanted, moment)
        self._world.configure(self._wanted)

    def _ports(self) -> None:
        """Let ports differ in what they take and do with refused packets; leave slots empty."""
        pick, world = self._random, self._world
        for name, ifindex in world.ports().items():
            value = PORT.unpack(world.maps.ports.get(U32.pack(ifindex)) or b"")
            engine, slot, _, fallback, mac, customer, sample = value
            if name == "out":
                # a port that was taken off: all of it may still be there but the engine
                slot, fallback, mac = pick.choice(((0, 0, bytes(6)), (4, 1, b"router")))
                world.maps.ports.set(
                    U32.pack(ifindex), PORT.pack(0, slot, MAX_FRAME, fallback, mac, 0, 0)
                )
                continue
            if name not in ("host", "fabric3"):
                fallback = pick.choice((0, 1, 1))
            elif name == "host":
                fallback = pick.choice((0, 0, 1, 2))
            longest = pick.choice((MAX_FRAME, MAX_FRAME, MAX_FRAME, 100, 128))
            world.maps.ports.set(
                U32.pack(ifindex),
                PORT.pack(engine, slot, longest, fallback, mac, customer, sample),
            )
        absent = set(pick.sample(sorted(world.slots), pick.choice((0, 0, 1, 2, 3))))
        for slot in absent - world.absent:
            world.maps.tx_ports.remove(U32.pack(slot))
        for slot in world.absent - absent:
            world.maps.tx_ports.set(U32.pack(slot), world.slots[slot])
        world.absent = absent
        # a port is no part of a state: who changes one has the caches emptied
        world.state.renew()

    def _spoil(self) -> None:
        """Take one thing out of use while all else of it is still there."""
        table, name = self._random.choice(self._active)
        there = np.nonzero(table[name])[0]
        if len(there):
            table[name][self._random.choice(there.tolist())] = 0
            self._world.state.renew()

    def _replicas(self) -> None:
        pick, world = self._random, self._world
        for key in world.maps.replicas.items():
            world.maps.replicas.remove(key)
        if pick.random() < 0.9:
            for one in (*self._frames.live, *self._frames.coming):
                if pick.random() < 0.9:
                    backend = pick.choice((1, 2, 3, 4, 7, 40))
                    world.maps.replicas.set(one.key(), REPLICA.pack(backend, 2))
        world.state.use_replicas(used=pick.random() < 0.9)
