"""Packages whose names are imported when they are first asked for.

A command that asks the running brain one question must not load all that the brain is made of.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazily(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's ``__getattr__`` (PEP 562); ``where``: the module of each of its names."""

    def getattribute(name: str) -> Any:
        module = where.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(module), name)
        setattr(sys.modules[package], name, found)
        return found

    return getattribute
