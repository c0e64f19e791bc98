"""What a switch's error messages mean, in words."""

from typing import Any

ERROR = 1
EXPERIMENTER = 0xFFFF

_WORDS = {
    (1, None): "it does not know the request",
    (2, None): "bad action",
    (2, 4): "bad action: no such port",
    (2, 7): "bad action: too many",
    (2, 9): "bad action: no such group",
    (3, None): "bad instruction",
    (4, None): "bad match",
    (5, None): "it refused the flow",
    (5, 1): "table full",
    (5, 2): "no such table",
    (5, 3): "flows overlap",
    (5, 4): "it allows us no changes",
    (6, None): "it refused the group",
    (6, 3): "group table full",
    (6, 6): "groups in a loop",
    (6, 12): "it has no such groups",
}
_TABLE_FULL = {(5, 1), (6, 3)}


def is_error(message: Any) -> bool:
    """Whether a message is an error."""
    return bool(message.msg_type == ERROR)


def reason(message: Any) -> str:
    """Return why a switch refused something."""
    kind, code = message.type, getattr(message, "code", None)
    if kind == EXPERIMENTER:
        return f"it refused an extension (0x{message.experimenter:08x}, {message.exp_type})"
    words = _WORDS.get((kind, code)) or _WORDS.get((kind, None))
    return f"{words or 'error'} (type {kind} code {code})"


def is_full(message: Any) -> bool:
    """Whether there was no room: whatever else is added would be refused too."""
    return (message.type, getattr(message, "code", None)) in _TABLE_FULL
