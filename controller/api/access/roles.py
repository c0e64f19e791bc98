"""Roles, and which one a request needs."""

from enum import IntEnum

PREFIX = "/api/v1/"

CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Methods that change something; all others only read."""

ADMIN = ("tokens", "audit")
"""First parts of paths that only admins may ask for."""

OPEN = frozenset(
    {
        ("GET", "health"),
        ("GET", "session"),
        ("POST", "session"),
        ("DELETE", "session"),
        ("GET", "openapi.json"),
    }
)
"""What anyone may ask: to log in needs no login."""


class Role(IntEnum):
    """What someone may do; each may do all that those before may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """The name in lower case, as it is written everywhere."""
        return self.name.lower()

    @staticmethod
    def named(word: str) -> "Role":
        """Return the role of a name.

        Raises:
            ValueError: there is none.
        """
        try:
            return Role[word.upper()]
        except KeyError:
            raise ValueError(f"there is no role {word!r}: viewer, operator or admin") from None


def needed(method: str, path: str) -> Role | None:
    """Return the role that a request needs; None: it is open to all.

    The page's own files are open, everything under /api/v1 but ``OPEN`` needs a role: reading a
    viewer's, changing an operator's, tokens and the audit log an admin's.
    """
    if not path.startswith(PREFIX):
        return None
    rest = path.removeprefix(PREFIX)
    if (method, rest) in OPEN:
        return None
    if rest.partition("/")[0] in ADMIN:
        return Role.ADMIN
    return Role.OPERATOR if method in CHANGES else Role.VIEWER
