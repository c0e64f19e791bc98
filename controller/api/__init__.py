"""The REST API and the page: what the brain shows of itself."""

from typing import TYPE_CHECKING

from headers.lazy import lazily

if TYPE_CHECKING:
    from controller.api.app import Access, create_app
    from controller.api.view import Label, Place, Round, Status, View

__all__ = ["Access", "Label", "Place", "Round", "Status", "View", "create_app"]

__getattr__ = lazily(
    __name__,
    {
        "Access": "controller.api.app",
        "Label": "controller.api.view",
        "Place": "controller.api.view",
        "Round": "controller.api.view",
        "Status": "controller.api.view",
        "View": "controller.api.view",
        "create_app": "controller.api.app",
    },
)
