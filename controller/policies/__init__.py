"""Policy documents: parsed, versioned, planned and applied; see docs/policies.md."""

from typing import TYPE_CHECKING

from headers.lazy import lazily

if TYPE_CHECKING:
    from controller.policies.book import PolicyBook
    from controller.policies.desk import Picture, PolicyDesk
    from controller.policies.errors import PolicyError

__all__ = ["Picture", "PolicyBook", "PolicyDesk", "PolicyError"]

__getattr__ = lazily(
    __name__,
    {
        "Picture": "controller.policies.desk",
        "PolicyBook": "controller.policies.book",
        "PolicyDesk": "controller.policies.desk",
        "PolicyError": "controller.policies.errors",
    },
)
