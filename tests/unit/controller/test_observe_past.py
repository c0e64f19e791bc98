"""Past demands: what was seen stays as it was, and a hundred pictures cost hardly more than one."""

import numpy as np
import pytest

from controller.observe.past import Past


def row(value: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.full((3, 3), float(value))


def test_nothing_is_known_at_first() -> None:
    past = Past(3, 10)
    assert len(past) == 0
    assert past.rows().shape == (1, 3, 3)
    assert not past.rows().any()


@pytest.mark.parametrize("most", [1, 5, 700])
def test_last_rows_are_kept_oldest_first(most: int) -> None:
    past = Past(3, most)
    for number in range(2000):
        past.append(row(number))
        assert len(past) == min(number + 1, most)
        rows = past.rows()
        assert rows[-1, 0, 0] == number
        assert rows[0, 0, 0] == max(0, number + 1 - most)
        assert len(rows) == len(past)


def test_picture_stays_as_it_was_and_cannot_be_written() -> None:
    past = Past(3, 4)
    past.extend(row(number) for number in range(4))
    before = past.rows()
    past.extend(row(number) for number in range(100, 200))
    assert [one[0, 0] for one in before] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        before[0, 0, 0] = 9.0


def test_pictures_share_their_memory() -> None:
    past = Past(3, 1000)
    pictures = []
    for number in range(5000):
        past.append(row(number))
        pictures.append(past.rows())
    rooms = {id(picture.base) for picture in pictures[-100:]}
    assert len(rooms) <= 2
    assert pictures[-1].base.nbytes <= 2 * 1000 * 9 * 8
