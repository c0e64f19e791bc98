"""Keys in the maps: the domain's for tags, customers' for what they mark themselves.

Keys are derived from the domain's secret per purpose and epoch and never leave this file but into
the kernel. Three epochs are valid at a time, the one before, the present and the next, so that
neither an edge that is early nor one that is late loses a packet while the epoch changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bus.keys import EPOCHS, customer_secret, tag_key
from dataplane.maps import CUSTOMER_KEY, KEY_SLOT, U32, Map, Maps


@dataclass(slots=True)
class WrittenKeys:
    """How many key slots were written and emptied."""

    written: int = 0
    removed: int = 0


def valid_epochs(epoch: int) -> set[int]:
    """Return the epochs whose tags are taken while ``epoch`` is the one to mark with."""
    return {(epoch + step) % EPOCHS for step in (-1, 0, 1)}


def _next_serial(maps: Maps) -> int:
    serials = [KEY_SLOT.unpack(value)[3] for value in maps.keys.items().values()]
    return max(serials, default=0) % 0xFFFFFFFF + 1


def _put(target: Map, where: bytes, key: bytes, serial: int) -> bool:
    """Have a key in a slot; return whether it had to be written."""
    words = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    held = target.get(where)
    if held is not None and KEY_SLOT.unpack(held)[:3] == (*words, 1):
        return False
    # the words first, then their validity: no packet sees half a key
    target.set(where, KEY_SLOT.pack(*words, 0, serial))
    target.set(where, KEY_SLOT.pack(*words, 1, serial))
    return True


def write_keys(maps: Maps, secret: bytes, epoch: int, customers: Iterable[int] = ()) -> WrittenKeys:
    """Make the tag keys around an epoch valid, for the domain and its customers, and no others."""
    done = WrittenKeys()
    valid = valid_epochs(epoch)
    serial = _next_serial(maps)
    for number in range(EPOCHS):
        if number in valid:
            if _put(maps.keys, U32.pack(number), tag_key(secret, number), serial):
                done.written += 1
                serial += 1
        else:
            held = KEY_SLOT.unpack(maps.keys.get(U32.pack(number)) or bytes(KEY_SLOT.size))
            if held[2]:
                # the serial stays, so that none is ever given twice
                maps.keys.set(U32.pack(number), KEY_SLOT.pack(0, 0, 0, held[3]))
                done.removed += 1
    wanted = set()
    for customer in customers:
        own = customer_secret(secret, customer)
        for number in valid:
            where = CUSTOMER_KEY.pack(customer, number)
            wanted.add(where)
            done.written += _put(maps.customers, where, tag_key(own, number), serial)
    for where in maps.customers.items().keys() - wanted:
        done.removed += maps.customers.remove(where)
    return done
