"""Downloads a file over HTTP: bounded, resumed where the server can, verified, whole or not at all.

A transfer that stops is continued from where it stood if the server named the file's version
(ETag or Last-Modified), so that two versions are never mixed; else it begins again.
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from headers.files import FileError

BLOCK = 64 * 1024
TRIES = 4
SCHEMES = ("http", "https")

Advance = Callable[[int, int | None], object]
"""Called with the bytes that there are so far and with how many there will be, where known."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to HTTP only, and never from an encrypted connection to a plain one."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in SCHEMES or (before == "https" and after != "https"):
            raise FileError(f"{req.full_url}: redirects to {newurl[:200]}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


class _StoppedError(Exception):
    """The transfer stopped before its end; it can be tried again."""


@dataclass(slots=True)
class _State:
    """How far the file is, and which version of it."""

    done: int = 0
    version: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What to get: ``bytes_max`` bounds it, ``timeout_s`` how long the server may be silent."""

    url: str
    bytes_max: int
    sha256: str | None = None
    timeout_s: float = 30.0


def _ask(request: Request, state: _State) -> Any:
    headers = {"User-Agent": "foresteer"}
    if state.done:
        headers |= {"Range": f"bytes={state.done}-", "If-Range": state.version}
    return _opener().open(
        urllib.request.Request(request.url, headers=headers), timeout=request.timeout_s
    )


def _total(answer: Any, state: _State) -> int | None:
    length = answer.headers.get("Content-Length")
    return state.done + int(length) if length is not None and length.isdigit() else None


def _transfer(request: Request, file: IO[bytes], state: _State, advance: Advance | None) -> None:
    """Get what is missing; ``state`` says how far it came, whatever happens."""
    with _ask(request, state) as answer:
        begins = f"bytes {state.done}-"
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(begins):
            state.done = 0
        file.seek(state.done)
        file.truncate()
        tag = answer.headers.get("ETag", "")
        # a weak tag does not promise the same bytes
        state.version = (
            "" if tag.startswith("W/") else tag or answer.headers.get("Last-Modified", "")
        )
        total = _total(answer, state)
        if total is not None and total > request.bytes_max:
            raise FileError(f"{request.url}: {total} bytes; at most {request.bytes_max} are taken")
        while block := answer.read1(BLOCK):
            state.done += len(block)
            if state.done > request.bytes_max:
                raise FileError(f"{request.url}: more than {request.bytes_max} bytes")
            file.write(block)
            if advance is not None:
                advance(state.done, total)
        if total is not None and state.done < total:
            raise _StoppedError(f"{state.done} of {total} bytes arrived")
        if not state.done:
            raise _StoppedError("the answer is empty")


def _get(request: Request, file: IO[bytes], tries: int, advance: Advance | None) -> None:
    state = _State()
    for attempt in range(1, tries + 1):
        try:
            _transfer(request, file, state, advance)
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == tries:
                raise FileError(f"{request.url}: {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, _StoppedError) as error:
            if attempt == tries:
                said = getattr(error, "reason", None) or error or type(error).__name__
                raise FileError(f"{request.url}: {said} (tried {tries} times)") from error
        else:
            return
        if not state.version:
            state.done = 0


def sha256_of_file(path: Path) -> str:
    """Return a file's hash.

    Raises:
        FileError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error


def check_hash(found: str, wanted: str | None, what: str) -> None:
    """Refuse a file whose hash is not the known one.

    Raises:
        FileError: it is another file.
    """
    if wanted is not None and found != wanted.lower():
        raise FileError(f"{what}: its SHA-256 is {found}, not {wanted}: another file, or damaged")


def download(
    request: Request, target: Path, *, tries: int = TRIES, advance: Advance | None = None
) -> str:
    """Get a file, check it, put it at ``target``; return its SHA-256.

    Raises:
        FileError: the address is no HTTP address, the server does not have the file, is silent or
            stops again and again, the file is too large, or its hash is wrong. ``target`` is as it
            was before, then.
    """
    try:
        parts = urlsplit(request.url)
        good = parts.scheme in SCHEMES and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise FileError(f"{request.url}: not an address that begins with http:// or https://")
    draft = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w+b") as file:
            _get(request, file, tries, advance)
        found = sha256_of_file(draft)
        check_hash(found, request.sha256, request.url)
        draft.replace(target)
    except OSError as error:
        raise FileError(f"{target}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return found
