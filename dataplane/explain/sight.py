"""What is at hand to explain with: an instance's keys, the tables of engines that run here."""

import os
from pathlib import Path

from bus import Instance, derive_key
from bus.instance import DEFAULT, ENVIRONMENT
from dataplane.errors import DataplaneError
from dataplane.explain.checks import KeyOf
from dataplane.explain.engines import Plane, read_plane


def keys_of(instance: Path | None) -> tuple[KeyOf | None, Path]:
    """Return the domain's keys by epoch, where the instance has a secret, and its directory.

    Nothing is made that is not there.

    Raises:
        InstanceError: the secret can be read by others, or is damaged.
        DataplaneError: the instance that was named is not there.
    """
    directory = instance or Path(os.environ.get(ENVIRONMENT) or DEFAULT)
    if instance is not None and not directory.is_dir():
        raise DataplaneError(f"{directory} is no instance's directory")
    try:
        if not (directory / "domain.key").exists():
            return None, directory
        secret = Instance(directory).secret()
    except PermissionError:
        return None, directory
    return lambda epoch: derive_key(secret, "tag", epoch), directory


def plane_below(pins: Path | None, directory: Path, *, wanted: bool) -> tuple[Plane | None, str]:
    """Return the running engines' tables, or None and why they are not at hand.

    Raises:
        DataplaneError: pins were named, or a port, and no engine's tables are there.
    """
    try:
        return read_plane(pins or directory / "bpf"), ""
    except DataplaneError as error:
        if pins is not None or wanted:
            raise
        return None, str(error)
    except PermissionError:
        if pins is not None or wanted:
            raise
        return None, f"the tables below {directory} can be read by root only"
