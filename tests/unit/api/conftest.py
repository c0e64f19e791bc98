"""Views of a small network, and clients of the application."""

import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "decide"))

from api_view import SmallView, make_tick

from controller.api import create_app
from controller.api.app import OPEN


@pytest.fixture
def ticks():
    return make_tick


@pytest.fixture
def empty():
    return SmallView()


@pytest.fixture
def view():
    first = make_tick(1)
    return SmallView([first, make_tick(2, 120.0, previous=first.plan)])


def client_of(view, base="http://localhost:8080", access=OPEN, **more):
    """Return a client; ``more``: what Access is to say, beside what ``access`` says."""
    app = create_app(view, replace(access, **more))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=base)


@pytest.fixture
def connect():
    return client_of
