"""Runs to score."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from report_runs import make_run


@pytest.fixture(scope="session")
def run():
    return make_run()


@pytest.fixture(scope="session")
def runs():
    return make_run
