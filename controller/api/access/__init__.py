"""Who may do what through the API: tokens and sessions, roles, limits, and what was done."""

from controller.api.access.audit import Audit
from controller.api.access.gate import Gate
from controller.api.access.limits import Limits
from controller.api.access.roles import Role
from controller.api.access.sessions import Sessions
from controller.api.access.tokens import Token, TokenBook, TokenError

__all__ = ["Audit", "Gate", "Limits", "Role", "Sessions", "Token", "TokenBook", "TokenError"]
