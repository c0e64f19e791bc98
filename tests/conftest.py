"""What all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# no deadline: on a machine with neighbours a slow example says nothing about the code
settings.register_profile("whole", deadline=None)
settings.register_profile("quick", max_examples=15, deadline=None)
settings.load_profile("quick" if os.environ.get("FORESTEER_QUICK") else "whole")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs root by its folder, so that nobody has to remember it."""
    for item in items:
        if {"bpf", "integration"} & set(item.path.parts):
            item.add_marker(pytest.mark.root)


@pytest.fixture
def data_directory() -> Path | None:
    """Where measured data lie; None where there are none."""
    named = os.environ.get("FORESTEER_DATA")
    return Path(named) if named else None


@pytest.fixture
def instance_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An instance's directory of this test alone, found by whatever the test starts."""
    directory = tmp_path / "instance"
    monkeypatch.setenv("FORESTEER_INSTANCE", str(directory))
    return directory
