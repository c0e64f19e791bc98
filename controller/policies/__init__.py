"""Policy documents: parsed, versioned, planned and applied; see docs/policies.md."""

from controller.policies.book import PolicyBook
from controller.policies.desk import Picture, PolicyDesk
from controller.policies.errors import PolicyError

__all__ = ["Picture", "PolicyBook", "PolicyDesk", "PolicyError"]
