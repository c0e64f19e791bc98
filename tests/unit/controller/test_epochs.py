"""The key epoch: kept, advanced by one when due, never changed blindly."""

import json

import pytest

from bus import BusError
from bus.subjects import EPOCH
from controller.epochs import Epochs, KeyEpoch, keep_epoch, kept_epoch


class Store:
    """A bus's store, which may be away."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    async def get(self, key: str) -> bytes | None:
        if self.away:
            raise BusError("the bus is away")
        return self.kept.get(key)

    async def put(self, key: str, value: bytes) -> None:
        if self.away:
            raise BusError("the bus is away")
        self.kept[key] = value


async def test_first_brain_takes_the_epoch_that_engines_mark_with() -> None:
    store = Store()
    assert await Epochs(60).current(store, 1000.0, 7) == 7  # type: ignore[arg-type]
    assert json.loads(store.kept[EPOCH]) == {"epoch": 7, "since_s": 1000.0}


async def test_epoch_advances_by_one_when_it_is_due_and_wraps() -> None:
    store, epochs = Store(), Epochs(60)
    await keep_epoch(store, KeyEpoch(255, 1000.0))  # type: ignore[arg-type]
    assert await epochs.current(store, 1059.0, 0) == 255  # type: ignore[arg-type]
    assert await epochs.current(store, 1060.0, 0) == 0  # type: ignore[arg-type]
    assert await epochs.current(store, 1061.0, 0) == 0  # type: ignore[arg-type]
    # however long it was due: one step, as engines know one epoch ahead
    assert await epochs.current(store, 9999.0, 0) == 1  # type: ignore[arg-type]


async def test_rotation_that_somebody_asked_for_is_followed() -> None:
    store, epochs = Store(), Epochs(3600)
    assert await epochs.current(store, 10.0, 3) == 3  # type: ignore[arg-type]
    await keep_epoch(store, KeyEpoch(4, 11.0))  # type: ignore[arg-type]
    assert await epochs.current(store, 12.0, 3) == 4  # type: ignore[arg-type]


async def test_without_the_store_the_last_epoch_stays() -> None:
    store, epochs = Store(), Epochs(60)
    assert await epochs.current(store, 0.0, 9) == 9  # type: ignore[arg-type]
    store.away = True
    assert await epochs.current(store, 9999.0, 0) == 9  # type: ignore[arg-type]
    assert await Epochs(60).current(store, 0.0, 5) == 5  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"[]", b"{}", b'{"epoch": 256, "since_s": 0}', b'{"epoch": "x"}']
)
async def test_damaged_epoch_is_named_and_changes_nothing(content: bytes) -> None:
    store = Store()
    store.kept[EPOCH] = content
    with pytest.raises(ValueError, match="epoch"):
        await kept_epoch(store)  # type: ignore[arg-type]
    assert await Epochs(60).current(store, 0.0, 5) == 5  # type: ignore[arg-type]
    assert store.kept[EPOCH] == content
