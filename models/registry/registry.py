"""The registry: a folder of model versions, who is champion, and how it came to that.

A version is an ONNX file and its card, named by number and hash. What happened to them is in
``registry.jsonl``. A version's files are on the disk before the log names it, so a crash leaves at
most files that nobody names; they are swept like old versions. One process writes at a time;
readers need no lock.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.errors import ModelError
from models.neural import OnnxForecaster, load_model, load_shipped_model
from models.neural.cards import card_path
from models.registry.errors import RegistryError
from models.registry.files import DRAFT, LOCK_WAIT_S, one_writer, write_whole
from models.registry.log import State, append_event, read_log
from models.registry.version import SHIPPED, Version

KEEP = 12
"""Versions on the disk; champions and the ancestors below stay even beyond that."""

ANCESTORS = 2
"""Generations before a champion whose files are kept to fall back to."""


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """The model to forecast with, None where not even the shipped one can be read.

    ``version``: its name, SHIPPED for the one that comes with the program. ``problems``: a line
    for every version that should have been taken and could not.
    """

    forecaster: OnnxForecaster | None
    version: str
    problems: tuple[str, ...]


class Registry:
    """Versions in a folder, which is made when first written to.

    ``counts``: ``bad`` model files met, ``none`` (not even the shipped one), ``unreadable`` log
    lines, and ``refused`` promotions, by this object.
    """

    def __init__(self, folder: Path, *, keep: int = KEEP, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self._keep = keep
        self._lock_wait_s = lock_wait_s

    @property
    def log(self) -> Path:
        """The file of events."""
        return self.folder / "registry.jsonl"

    def model(self, name: str) -> Path:
        """Return where a version's ONNX file lies; its card is beside it."""
        return self.folder / f"{name}.onnx"

    def state(self) -> State:
        """Return what the log amounts to.

        Raises:
            RegistryError: it cannot be read.
        """
        try:
            state = read_log(self.log)
        except OSError as error:
            raise RegistryError(f"{self.log}: {error.strerror}") from error
        self.counts["unreadable"] = state.unreadable
        return state

    def versions(self) -> tuple[Version, ...]:
        """Return all versions that were not dropped, the oldest first."""
        state = self.state()
        return tuple(one for name, one in state.versions.items() if name not in state.dropped)

    def champion(self, kind: str, group: str) -> str:
        """Return the champion's name, SHIPPED where nothing was promoted."""
        return self.state().champions.get((kind, group), SHIPPED)

    def load(self, kind: str, group: str) -> Loaded:
        """Load the champion, else the next good version of its lineage, else the shipped one.

        Never raises for what is wrong with files: the simple forecasters do without a model.
        """
        problems = []
        try:
            state = self.state()
        except RegistryError as error:
            state = State()
            problems.append(str(error))
        if state.unreadable:
            problems.append(f"{self.log}: {state.unreadable} damaged lines were passed over")
        for name in lineage(state, state.champions.get((kind, group), SHIPPED)):
            try:
                path = self.model(name)
                forecaster = load_shipped_model() if name == SHIPPED else load_model(path)
                if name != SHIPPED and forecaster.card.sha256 != state.versions[name].sha256:
                    raise ModelError(f"{path}: not the file that was added under this name")
            except ModelError as error:
                self.counts["bad"] += 1
                problems.append(f"{error}; its parent takes its place" if name else str(error))
                continue
            return Loaded(forecaster, name, tuple(problems))
        self.counts["none"] += 1
        return Loaded(None, SHIPPED, tuple(problems))

    def add(self, forecaster: OnnxForecaster, version: Version) -> Version:
        """Write a version, and return it as it was named; ``version.name`` is not looked at.

        Raises:
            RegistryError: it cannot be written, or somebody else is writing for too long.
        """
        with self._writing():
            state = self.state()
            number = 1 + max((_number(one) for one in [*state.versions, *self._files()]), default=0)
            sha256 = forecaster.card.sha256
            named = dataclasses.replace(version, name=f"{number:05d}-{sha256[:12]}", sha256=sha256)
            path = self.model(named.name)
            card = json.dumps(dataclasses.asdict(forecaster.card), indent=1) + "\n"
            write_whole(path, forecaster.content)
            write_whole(card_path(path), card.encode())
            append_event(self.log, {"event": "added", "version": dataclasses.asdict(named)})
            self._sweep()
        return named

    def promote(self, name: str, *, now_s: float, anyway: str = "") -> None:
        """Make a version the champion of its kind and group.

        Only one that was judged better than the champion there is now; ``anyway`` is a person's
        reason to do it all the same.

        Raises:
            RegistryError: no such version, its file is bad, or it was not judged better.
        """
        with self._writing():
            state = self.state()
            version = _known(state, name)
            key = version.kind, version.group
            before = state.champions.get(key, SHIPPED)
            try:
                if not anyway:
                    _check_better(version, before)
                load_model(self.model(name))
            except (ModelError, RegistryError) as error:
                self.counts["refused"] += 1
                raise RegistryError(f"{name} is not promoted: {error}") from error
            why = anyway or (version.verdict.why if version.verdict else "")
            self._note("promoted", name, key, before, why, now_s)

    def roll_back(self, kind: str, group: str, *, why: str, now_s: float) -> str:
        """Make the champion's parent the champion again; return its name.

        Raises:
            RegistryError: the shipped model is champion already.
        """
        with self._writing():
            state = self.state()
            before = state.champions.get((kind, group), SHIPPED)
            if before == SHIPPED:
                raise RegistryError("the shipped model is in use: there is nothing to go back to")
            name = next(iter(lineage(state, state.versions[before].parent)))
            self._note("rolled back", name, (kind, group), before, why, now_s)
            return name

    def _note(
        self, event: str, name: str, key: tuple[str, str], before: str, why: str, now_s: float
    ) -> None:
        kind, group = key
        entry = {"event": event, "name": name, "kind": kind, "group": group}
        append_event(self.log, {**entry, "before": before, "why": why, "at_s": now_s})

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with one_writer(self.folder / "lock", self._lock_wait_s):
                yield
        except OSError as error:
            raise RegistryError(f"{self.folder}: {error.strerror or error}") from error

    def _files(self) -> list[str]:
        """Return the names of all versions that have a file here, the oldest first."""
        found = {path.stem for path in self.folder.glob("*-*.onnx")}
        found |= {path.stem for path in self.folder.glob("*-*.json")}
        return sorted(found, key=_number)

    def _sweep(self) -> None:
        """Remove the oldest versions beyond KEEP, and what dead writers left."""
        for draft in self.folder.glob(f"*{DRAFT}"):
            draft.unlink(missing_ok=True)
        state = self.state()
        stay: set[str] = set()
        for champion in state.champions.values():
            stay.update(lineage(state, champion)[: 1 + ANCESTORS])
        files = self._files()
        spare = [name for name in files if name not in stay]
        # the newest stays whatever else does: it was added just now
        for name in spare[: max(0, min(len(files) - self._keep, len(spare) - 1))]:
            append_event(self.log, {"event": "dropped", "name": name})
            self.model(name).unlink(missing_ok=True)
            card_path(self.model(name)).unlink(missing_ok=True)


def lineage(state: State, name: str) -> tuple[str, ...]:
    """Return a version and its ancestors, without dropped ones; the last is SHIPPED."""
    found: list[str] = []
    while name != SHIPPED and name in state.versions and name not in found:
        if name not in state.dropped:
            found.append(name)
        name = state.versions[name].parent
    return (*found, SHIPPED)


def _known(state: State, name: str) -> Version:
    if name not in state.versions or name in state.dropped:
        raise RegistryError(f"there is no version {name!r}; 'foresteer model list' shows them")
    return state.versions[name]


def _check_better(version: Version, champion: str) -> None:
    verdict = version.verdict
    if verdict is None:
        raise RegistryError("it was not judged on a held-back window")
    if verdict.champion != champion:
        raise RegistryError(
            f"it was judged against {verdict.champion or 'the shipped model'}, which is no longer"
            " the champion; retrain"
        )
    if not verdict.better:
        raise RegistryError(verdict.why)


def _number(name: str) -> int:
    head = name.split("-", maxsplit=1)[0]
    return int(head) if head.isdigit() else 0
