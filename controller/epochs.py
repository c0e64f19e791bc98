"""The epoch of the domain's keys: kept on the bus, advanced when it is due or when someone asks."""

import json
import logging
from dataclasses import dataclass

from bus import Bus, BusError
from bus.subjects import EPOCH

LOG = logging.getLogger("foresteer.epochs")
EPOCHS = 256


@dataclass(frozen=True, slots=True)
class KeyEpoch:
    """An epoch (0 to 255) and since when it is the one to mark with, in seconds of wall time."""

    number: int
    since_s: float


async def kept_epoch(bus: Bus) -> KeyEpoch | None:
    """Return the epoch that is kept, or None.

    Raises:
        BusError: the store does not answer.
        ValueError: what is kept is damaged.
    """
    content = await bus.get(EPOCH)
    if content is None:
        return None
    try:
        kept = json.loads(content)
        number, since_s = int(kept["epoch"]), float(kept["since_s"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the kept epoch is damaged: {error}") from error
    if not 0 <= number < EPOCHS:
        raise ValueError(f"the kept epoch {number} is not between 0 and {EPOCHS - 1}")
    return KeyEpoch(number, since_s)


async def keep_epoch(bus: Bus, epoch: KeyEpoch) -> None:
    """Keep an epoch, for all brains.

    Raises:
        BusError: the store does not answer.
    """
    await bus.put(EPOCH, json.dumps({"epoch": epoch.number, "since_s": epoch.since_s}).encode())


class Epochs:
    """Says which epoch to mark with; engines take the one before and the one after as well."""

    def __init__(self, lasts_s: float) -> None:
        self._lasts_s = lasts_s
        self.present: KeyEpoch | None = None

    async def current(self, bus: Bus, now_s: float, in_use: int) -> int:
        """Return the epoch to mark with at ``now_s``; advances it by one when it is due.

        ``in_use``: what the engines mark with, where nothing is kept. Without the store the last
        known epoch stays: a key is never changed blindly.
        """
        try:
            kept = await kept_epoch(bus)
            if kept is None:
                kept = KeyEpoch(in_use, now_s)
                await keep_epoch(bus, kept)
            elif now_s - kept.since_s >= self._lasts_s:
                kept = KeyEpoch((kept.number + 1) % EPOCHS, now_s)
                await keep_epoch(bus, kept)
                LOG.info("key epoch %d", kept.number)
            self.present = kept
        except (BusError, ValueError) as error:
            LOG.warning("the key epoch stays: %s", error)
        return self.present.number if self.present else in_use
