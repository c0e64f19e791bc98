"""The support bundle: state, logs, journal excerpt, configuration, versions; no secrets.

Nothing in it needs a running brain, and whatever cannot be had is named in the manifest: a bundle
is made when something is broken.
"""

import io
import json
import os
import platform
import subprocess
import tarfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from bus import Instance
from controller.api.access.own import AUDIT
from controller.explain.answers import JournalExplainer
from controller.support.removing import Remover

LOG_BYTES = 2 * 1024 * 1024
"""Of each log: its end."""

LIMIT_S = 5.0
PROGRAMS = (
    ("uname", "-a"),
    ("ovs-vswitchd", "--version"),
    ("nats-server", "--version"),
    ("ip", "-V"),
)
PLAIN = ("settings.json", "network.json")
"""Files of the instance that are taken along, without what is secret in them."""


def write_bundle(instance: Instance, path: Path, decisions: int, config: Path | None) -> list[str]:
    """Write a bundle, readable by its owner only; return what could not be had.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    chosen = config or instance.directory / "config.yaml"
    made = _Bundle(instance, Remover(instance.directory, _content(chosen)))
    made.collect(decisions, chosen)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in made.files.items():
            entry = tarfile.TarInfo(f"foresteer-support/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
            tar.addfile(entry, io.BytesIO(content))
    return made.problems


class _Bundle:
    """What is collected, by name."""

    def __init__(self, instance: Instance, remover: Remover) -> None:
        self._instance = instance
        self._directory = instance.directory
        self._remover = remover
        self.files: dict[str, bytes] = {}
        self.problems: list[str] = []

    def collect(self, decisions: int, config: Path) -> None:
        """Take everything that can be had."""
        self._try("state.json", lambda: self._json("state.json", self._instance.state()))
        for name in PLAIN:
            if (self._directory / name).exists():
                self._try(name, lambda name=name: self._plain(name))  # type: ignore[misc]
        if config.exists():
            self._try("config.yaml", lambda: self._config(config))
        for log in sorted((self._directory / "logs").glob("*.log*")):
            self._try(f"logs/{log.name}", lambda log=log: self._log(log))  # type: ignore[misc]
        if (self._directory / AUDIT).exists():
            self._try(AUDIT, lambda: self._log(self._directory / AUDIT))
        if self._instance.journal.exists():
            self._try("journal", lambda: self._journal(decisions))
        self._try("versions", lambda: self._json("versions.json", _versions()))
        self._try("processes", lambda: self._json("processes.json", self._processes()))
        manifest = {
            "made_s": round(time.time(), 3),
            "instance": str(self._directory),
            "files": sorted(self.files),
            "problems": self.problems,
        }
        self._json("manifest.json", manifest)

    def _try(self, what: str, take: Callable[[], None]) -> None:
        try:
            take()
        except Exception as error:  # whatever is broken is why a bundle is made
            self.problems.append(self._remover.text(f"{what}: {type(error).__name__}: {error}"))

    def _json(self, name: str, content: Any) -> None:
        cleaned = self._remover.value(content)
        self.files[name] = json.dumps(cleaned, indent=1, default=str).encode()

    def _plain(self, name: str) -> None:
        self._json(name, json.loads((self._directory / name).read_text()))

    def _config(self, path: Path) -> None:
        content = self._remover.value(yaml.safe_load(path.read_text()))
        self.files["config.yaml"] = yaml.safe_dump(content, sort_keys=False).encode()

    def _log(self, path: Path) -> None:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - LOG_BYTES))
            content = file.read(LOG_BYTES)
        if size > LOG_BYTES:  # the first line has no beginning: half a secret would stay in it
            content = content.partition(b"\n")[2]
        cleaned = self._remover.text(content.decode(errors="replace"))
        self.files[path.name if path.parent == self._directory else f"logs/{path.name}"] = (
            cleaned.encode()
        )

    def _journal(self, decisions: int) -> None:
        explainer = JournalExplainer(self._instance.journal)
        facts, words = explainer.decision("last")
        lines = []
        last = int(facts["decision"])
        for number in range(last, max(0, last - decisions), -1):
            if number != last:
                try:
                    facts, words = explainer.decision(str(number))
                except Exception:  # rows go when they are too old
                    break
            lines.append({"decision": number, "words": words, "facts": facts})
        cleaned = [json.dumps(self._remover.value(line), default=str) for line in reversed(lines)]
        self.files["journal.jsonl"] = ("\n".join(cleaned) + "\n").encode()

    def _processes(self) -> dict[str, Any]:
        names = sorted(path.name for path in (self._directory / "pids").iterdir())
        return {
            name: {"running": self._instance.running(name), "pid": self._instance.pid(name)}
            for name in names
        }


def _content(config: Path) -> Any:
    """Return what a configuration says; None where it cannot be read: the manifest says why."""
    try:
        return yaml.safe_load(config.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _versions() -> dict[str, Any]:
    packages = {
        found.metadata["Name"]: found.version
        for found in metadata.distributions()
        if found.metadata["Name"]
    }
    return {
        "foresteer": packages.get("foresteer", ""),
        "python": platform.python_version(),
        "programs": {" ".join(program): _said(program) for program in PROGRAMS},
        "packages": dict(sorted(packages.items(), key=lambda pair: pair[0].lower())),
    }


def _said(program: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(program, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not to be had: {error}"
    return (done.stdout or done.stderr).strip().partition("\n")[0]
