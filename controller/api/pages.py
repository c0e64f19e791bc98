"""Lists in pages: at most so many at once, and where the next ones begin."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException


def cut(name: str, items: Sequence[Any], limit: int, cursor: str) -> dict[str, Any]:
    """Return ``{name: items, "total": how many, "next": cursor or null}``.

    A cursor says how many came before; a list that changes meanwhile may show one twice.

    Raises:
        HTTPException: the cursor is none of ours (400).
    """
    start = _place(cursor)
    end = start + limit
    following = _cursor(end) if end < len(items) else None
    return {name: list(items[start:end]), "total": len(items), "next": following}


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"from:{place}".encode()).decode().rstrip("=")


def _place(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
        word, _, number = text.partition(":")
        place = int(number)
    except (binascii.Error, UnicodeError, ValueError):
        word, place = "", -1
    if word != "from" or place < 0:
        raise HTTPException(400, f"The cursor {cursor!r} is none that this API gave.")
    return place
