"""Versions of policy documents, and the declared services: values, and how they are kept."""

import zlib
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgpack
from pydantic import TypeAdapter

from controller.state import Service

VERSION = 1
MOST = 50
"""Versions that are kept; the oldest go first."""
MOST_BYTES = 4_000_000
"""What all kept versions may take, compressed."""

_SERVICES = TypeAdapter(tuple[Service, ...])


@dataclass(frozen=True, slots=True)
class Version:
    """One applied document: its text as written, by whom, when (seconds since the epoch), why."""

    number: int
    text: str
    author: str
    time_s: float
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that is kept: versions, oldest first (the last is in force), and services."""

    versions: tuple[Version, ...] = ()
    services: tuple[Service, ...] = ()
    services_version: int = 0

    @property
    def number(self) -> int:
        """The version in force; 0: there was none yet."""
        return self.versions[-1].number if self.versions else 0

    def version(self, number: int) -> Version | None:
        """Return a version that is still kept."""
        return next((one for one in self.versions if one.number == number), None)

    def having(self, version: Version) -> "Shelf":
        """Return the same with one more version."""
        return replace(self, versions=(*self.versions, version)[-MOST:])

    def with_services(self, services: tuple[Service, ...]) -> "Shelf":
        """Return the same with other services."""
        ordered = tuple(sorted(services, key=lambda one: one.name))
        return replace(self, services=ordered, services_version=self.services_version + 1)


def pack(shelf: Shelf) -> bytes:
    """Return a shelf as bytes; the oldest versions are left out where they would take too much."""
    while True:
        body = {
            "version": VERSION,
            "versions": [asdict(one) for one in shelf.versions],
            "services": _SERVICES.dump_python(shelf.services),
            "services_version": shelf.services_version,
        }
        packed = zlib.compress(msgpack.packb(body))
        if len(packed) <= MOST_BYTES or len(shelf.versions) <= 1:
            return packed
        shelf = replace(shelf, versions=shelf.versions[1:])


def unpack(packed: bytes) -> Shelf:
    """Return what ``pack`` packed.

    Raises:
        ValueError: it is damaged, or of a version that this program does not read.
    """
    try:
        body: Any = msgpack.unpackb(zlib.decompress(packed))
        if body["version"] != VERSION:
            raise ValueError(f"version {body['version']}")
        return Shelf(
            tuple(Version(**one) for one in body["versions"]),
            _SERVICES.validate_python(body["services"]),
            int(body["services_version"]),
        )
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"damaged: {error}") from error
