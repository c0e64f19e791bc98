"""Which methods a path has, from the routes' own document."""

import re
from collections.abc import Mapping
from typing import Any

_PARAMETER = re.compile(r"\\{[^}]*\\}")

KNOWN_MOST = 4096
"""Paths whose answer is remembered."""


class Methods:
    """Methods by path; a parameter is one part of a path, the last one may be several."""

    def __init__(self, paths: Mapping[str, Mapping[str, Any]]) -> None:
        """``paths``: of an OpenAPI document."""
        self._known: dict[str, frozenset[str]] = {}
        self._exact = [(_pattern(path, "[^/]+"), _methods(found)) for path, found in paths.items()]
        self._longer = [
            (_pattern(path, ".+"), _methods(found))
            for path, found in paths.items()
            if path.endswith("}")
        ]

    def of(self, path: str) -> frozenset[str]:
        """Return the methods of a path; empty where there is no such path."""
        known = self._known.get(path)
        if known is None:
            known = self._find(path)
            if len(self._known) >= KNOWN_MOST:
                self._known.clear()
            self._known[path] = known
        return known

    def _find(self, path: str) -> frozenset[str]:
        for patterns in (self._exact, self._longer):
            found = [methods for pattern, methods in patterns if pattern.fullmatch(path)]
            if found:
                return frozenset().union(*found)
        return frozenset()


def _pattern(path: str, parameter: str) -> "re.Pattern[str]":
    return re.compile(_PARAMETER.sub(lambda _: parameter, re.escape(path)), re.DOTALL)


def _methods(operations: Mapping[str, Any]) -> frozenset[str]:
    named = {method.upper() for method in operations}
    return frozenset(named | ({"HEAD"} if "GET" in named else set()))
