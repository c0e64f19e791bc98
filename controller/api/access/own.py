"""The token of the machine's own administrator: whoever may read the instance may do everything.

The command line uses it, so that on the controller's own machine root needs no other.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from controller.api.access.roles import Role
from controller.api.access.tokens import TokenBook, TokenError

TOKENS, AUDIT, OWN = "tokens.json", "audit.log", "api.token"
NAME = "this machine's root"


def own_token(tokens: TokenBook, directory: Path) -> None:
    """See to it that the file of the own token holds one that is good.

    Raises:
        TokenError: it cannot be written.
    """
    path = directory / OWN
    if read_own(directory) and tokens.find(read_own(directory)) is not None:
        return
    for one in tokens.all():
        if one.name == NAME:
            tokens.revoke(one.id)
    _, shown = tokens.create(NAME, Role.ADMIN)
    draft = path.with_name(f".{OWN}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(shown + "\n")
        draft.replace(path)
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}") from error


def read_own(directory: Path) -> str:
    """Return the own token, empty where there is none or it may not be read."""
    with suppress(OSError):
        return (directory / OWN).read_text().strip()
    return ""
