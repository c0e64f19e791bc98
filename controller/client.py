"""Asking the running brain's API over HTTP: the one place where the command line does."""

import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from bus import Instance, InstanceError
from controller.api.access.own import read_own
from controller.errors import ControllerError

TIMEOUT_S = 60.0
TOKEN, AUTHORITY = "FORESTEER_TOKEN", "FORESTEER_CA"
CERTIFICATE, KEY = "FORESTEER_CERT", "FORESTEER_KEY"


class ClientError(ControllerError):
    """The API cannot be reached, or refused; ``status``: its answer's, 0 without one."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


def ask(
    method: str,
    path: str,
    body: Any = None,
    *,
    instance: Path | None = None,
    key: str | None = None,
) -> Any:
    """Return what the API of an instance's brain answers (None where that is empty).

    ``path``: below ``/api/v1/``. ``key``: an idempotency key. The token is that of the
    environment's ``FORESTEER_TOKEN``, else the machine's own; a certificate must be of an authority
    that this machine trusts, or of the file that ``FORESTEER_CA`` names. ``FORESTEER_CERT`` and
    ``FORESTEER_KEY``: the client's own, for a brain that asks for one (``client_ca``).

    Raises:
        ClientError: no brain runs, it does not answer, or it refuses; the sentence says why.
    """
    try:
        found = Instance.find(instance)
        page = found.state().get("page", "")
    except InstanceError as error:
        raise ClientError(str(error)) from error
    if not page:
        raise ClientError("no brain runs here; start one, or name its directory with --instance")
    request = urllib.request.Request(
        f"{page}/api/v1/{path}",
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers=_headers(os.environ.get(TOKEN) or read_own(found.directory), key),
    )
    # the brain is on this machine: no proxy is asked
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_trust(page))
    )
    try:
        with opener.open(request, timeout=TIMEOUT_S) as reply:
            content = reply.read()
    except urllib.error.HTTPError as error:
        raise ClientError(_problem(error), error.code) from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ClientError(f"the brain at {page} does not answer: {reason}") from error
    try:
        return json.loads(content) if content else None
    except ValueError as error:
        raise ClientError(f"the brain at {page} answers no JSON") from error


def _headers(token: str, key: str | None) -> dict[str, str]:
    headers = {"content-type": "application/json", "accept": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    if key is not None:
        headers["idempotency-key"] = key
    return headers


def _trust(page: str) -> ssl.SSLContext | None:
    if not page.startswith("https"):
        return None
    authority, certificate = os.environ.get(AUTHORITY), os.environ.get(CERTIFICATE)
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise ClientError(f"{AUTHORITY}={authority}: {error}") from error
    if certificate:
        try:
            context.load_cert_chain(certificate, os.environ.get(KEY) or None)
        except (OSError, ssl.SSLError) as error:
            raise ClientError(f"{CERTIFICATE}={certificate}: {error}") from error
    return context


def _problem(error: urllib.error.HTTPError) -> str:
    """Return what a problem document says, else the status in words."""
    try:
        said = json.loads(error.read())
        return str(said.get("detail") or said["title"])
    except (ValueError, KeyError, AttributeError):
        return f"{error.code} {error.reason}"
