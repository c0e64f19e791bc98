"""The REST API and the page: what the brain shows of itself."""

from controller.api.app import Access, create_app
from controller.api.view import Label, Place, Round, Status, View

__all__ = ["Access", "Label", "Place", "Round", "Status", "View", "create_app"]
