"""Takes secrets out of what leaves the machine: those that are known, and what looks like one."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.api.access.own import OWN, TOKENS

GONE = "[removed]"
SHORTEST = 8
"""Of known secrets: shorter ones would take half of the text with them."""

SECRET_KEY = re.compile(
    r"secret|password|passwd|passphrase|token|tsig|credential|csrf|cookie|digest|private|^key$",
    re.IGNORECASE,
)
SECRET_FILE = re.compile(r"(?:key|password)_file$")
TSIG = re.compile(r'secret\s+"?([^";\s]+)')
PATHLIKE = re.compile(r"^[\w./~-]+\.(?:pem|key|crt|cert)$|^/[\w./-]+$")
SHAPES = (
    (re.compile(r"\bfst_[0-9A-Za-z]+_[0-9A-Za-z_-]+"), GONE),
    (re.compile(r"(?i)\b(bearer|basic)\s+[0-9a-z._~+/=-]{8,}"), rf"\1 {GONE}"),
    (re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)"), GONE),
    (re.compile(r"(\w+://[^\s:/@]+:)[^\s@/]+@"), rf"\1{GONE}@"),
    (
        re.compile(
            r"(?i)([\"']?[\w.-]*(?:password|passwd|passphrase|secret|csrf|cookie|digest)[\"']?"
            r"(?:\s*[:=]\s*|\s+(?=[\"'])))(\"[^\"]*\"|'[^']*'|[^\s,;}]+)"
        ),
        rf"\1{GONE}",
    ),
)


class Remover:
    """Knows an instance's secrets, and what others look like."""

    def __init__(self, directory: Path, config: Any = None) -> None:
        """Learn the secrets of an instance's directory, and of files that a configuration names."""
        self._known: set[str] = set()
        for name in ("domain.key", OWN):
            self._learn(_text(directory / name))
        for name in ("bus.json", TOKENS):
            try:
                self._search(json.loads(_text(directory / name) or "null"))
            except ValueError:
                self._learn(_text(directory / name))
        self._search_files(config)

    def _search_files(self, config: Any) -> None:
        """Learn what key and password files hold: whole, and the secret of a TSIG key."""
        if isinstance(config, Mapping):
            for key, value in config.items():
                if isinstance(value, str) and SECRET_FILE.search(str(key)):
                    content = _text(Path(value))
                    for secret in (content, *TSIG.findall(content)):
                        self._learn(secret)
                else:
                    self._search_files(value)
        elif isinstance(config, list):
            for value in config:
                self._search_files(value)

    def _learn(self, secret: str) -> None:
        if len(secret.strip()) >= SHORTEST:
            self._known.add(secret.strip())

    def _search(self, content: Any) -> None:
        if isinstance(content, Mapping):
            for key, value in content.items():
                if isinstance(value, str) and SECRET_KEY.search(str(key)):
                    self._learn(value)
                else:
                    self._search(value)
        elif isinstance(content, list):
            for value in content:
                self._search(value)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, GONE)
        for shape, instead in SHAPES:
            text = shape.sub(instead, text)
        return text

    def value(self, value: Any, key: str = "") -> Any:
        """Return plain values without secrets: none under a key that says so, none in texts."""
        if isinstance(value, Mapping):
            return {str(name): self.value(one, str(name)) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one, key) for one in value]
        if isinstance(value, str):
            secret = key and SECRET_KEY.search(key) and not PATHLIKE.match(value)
            return GONE if secret and value else self.text(value)
        return value


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
