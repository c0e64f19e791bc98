"""Who may do what through the API: tokens and sessions, roles, limits, and what was done."""

from typing import TYPE_CHECKING

from headers.lazy import lazily

if TYPE_CHECKING:
    from controller.api.access.audit import Audit
    from controller.api.access.gate import Gate
    from controller.api.access.limits import Limits
    from controller.api.access.roles import Role
    from controller.api.access.sessions import Sessions
    from controller.api.access.tokens import Token, TokenBook, TokenError

__all__ = ["Audit", "Gate", "Limits", "Role", "Sessions", "Token", "TokenBook", "TokenError"]

__getattr__ = lazily(
    __name__,
    {
        "Audit": "controller.api.access.audit",
        "Gate": "controller.api.access.gate",
        "Limits": "controller.api.access.limits",
        "Role": "controller.api.access.roles",
        "Sessions": "controller.api.access.sessions",
        "Token": "controller.api.access.tokens",
        "TokenBook": "controller.api.access.tokens",
        "TokenError": "controller.api.access.tokens",
    },
)
