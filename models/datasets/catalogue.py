"""The measured sets that ``foresteer data get`` knows: where they are, what may be done with them.

Only what their pages say is written here. Nobody published hashes of these files; where one
becomes known it belongs here, and a wrong file is then refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.datasets.abilene_weeks import FIRST_DAYS, read_weeks
from models.datasets.archives import MIB, Progress
from models.datasets.reading import Reading
from models.datasets.sndlib_archive import read_sndlib

Reader = Callable[[Path, Progress | None], Reading]


def _sndlib(path: Path, progress: Progress | None) -> Reading:
    return read_sndlib(path, progress=progress)


@dataclass(frozen=True, slots=True)
class DataSet:
    """``files`` lie under ``base``; ``sha256``: of each, None where nobody published one.

    ``bytes_max``: a larger file is not the one that is meant.
    """

    name: str
    about: str
    licence: str
    page: str
    base: str
    files: tuple[str, ...]
    read: Reader
    bytes_max: int
    sha256: tuple[str | None, ...] = ()

    def hash_of(self, number: int) -> str | None:
        """Return the known hash of a file."""
        return self.sha256[number] if number < len(self.sha256) else None


_ACADEMIC = "academic use; measure on it, ship neither it nor a model trained on it"
_SNDLIB_PAGE = "https://sndlib.put.poznan.pl"

CATALOGUE = {
    entry.name: entry
    for entry in (
        DataSet(
            "abilene",
            "Abilene backbone, 12 nodes, 5 min, 2004-03-01 to 09-10 (SNDlib, Zhang)",
            _ACADEMIC,
            _SNDLIB_PAGE,
            _SNDLIB_PAGE + "/download/",
            ("directed-abilene-zhang-5min-over-6months-ALL-native.tgz",),
            _sndlib,
            512 * MIB,
        ),
        DataSet(
            "abilene-xml",
            "the same in XML",
            _ACADEMIC,
            _SNDLIB_PAGE,
            _SNDLIB_PAGE + "/download/",
            ("directed-abilene-zhang-5min-over-6months-ALL.tgz",),
            _sndlib,
            512 * MIB,
        ),
        DataSet(
            "abilene-weeks",
            "Abilene backbone, the 24 weekly files of its authors (Zhang, AbileneTM)",
            _ACADEMIC,
            "http://www.cs.utexas.edu/~yzhang/research/AbileneTM/",
            "http://www.cs.utexas.edu/~yzhang/research/AbileneTM/",
            tuple(f"X{week:02d}.gz" for week in range(1, len(FIRST_DAYS) + 1)),
            read_weeks,
            64 * MIB,
        ),
        DataSet(
            "geant",
            "GÉANT backbone, 22 nodes, 15 min, 2005-05-04 to 08-31 (SNDlib, Uhlig)",
            _ACADEMIC,
            _SNDLIB_PAGE,
            _SNDLIB_PAGE + "/download/",
            ("directed-geant-uhlig-15min-over-4months-ALL-native.tgz",),
            _sndlib,
            512 * MIB,
        ),
        DataSet(
            "geant-xml",
            "the same in XML",
            _ACADEMIC,
            _SNDLIB_PAGE,
            _SNDLIB_PAGE + "/download/",
            ("directed-geant-uhlig-15min-over-4months-ALL.tgz",),
            _sndlib,
            512 * MIB,
        ),
    )
}
