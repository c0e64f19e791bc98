"""TLS and mutual TLS as clients meet them: curl, and our own command line."""

import asyncio
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bus import Instance
from controller.api import create_app
from controller.api.app import OPEN
from controller.client import ClientError, ask
from controller.config import Api
from controller.errors import ControllerError
from controller.page import serve_app


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def signed(folder: Path, name: str, ca: str) -> None:
    """Make a key and a certificate for 127.0.0.1, signed by an authority that is made here too."""
    if not (folder / f"{ca}.pem").exists():
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "2", "-subj", f"/CN={ca}", "-keyout", str(folder / f"{ca}.key"),
                "-out", str(folder / f"{ca}.pem"))  # fmt: skip
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            f"/CN={name}", "-keyout", str(folder / f"{name}.key"),
            "-out", str(folder / f"{name}.csr"))  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    openssl("x509", "-req", "-days", "2", "-in", str(folder / f"{name}.csr"), "-extfile",
            str(folder / "names"), "-CA", str(folder / f"{ca}.pem"), "-CAkey",
            str(folder / f"{ca}.key"), "-CAcreateserial",
            "-out", str(folder / f"{name}.pem"))  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("tls")
    signed(found, "brain", "ca")
    signed(found, "operator", "clients")
    signed(found, "stranger", "others")
    return found


@pytest.fixture
def served(folder, view):
    """Serve the small network's API by TLS; returns what starts it, for an ``Api``."""
    loops = []

    def start(**more):
        api = Api(certificate=folder / "brain.pem", key=folder / "brain.key", **more)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        app = create_app(view, replace(OPEN, secure=True))
        loop = asyncio.new_event_loop()
        task = loop.create_task(serve_app(app, listener, api))

        def run():
            asyncio.set_event_loop(loop)
            try:
                loop.run_until_complete(task)
            except asyncio.CancelledError:
                pass
            finally:
                loop.close()

        thread = threading.Thread(target=run)
        thread.start()
        loops.append((loop, task, thread, listener))
        return f"https://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for loop, task, thread, listener in loops:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
        assert not thread.is_alive()
        listener.close()


def curl(page: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "-sS", "--noproxy", "*", *words]
    return subprocess.run(
        [*command, f"{page}/api/v1/topology"], capture_output=True, text=True, check=False
    )


def told(folder: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of an instance whose page that is."""
    instance = Instance(folder / "instance")
    instance.save_state({"page": page, "pid": 1, "time": time.time()})
    monkeypatch.setenv("FORESTEER_CA", str(folder / "ca.pem"))
    monkeypatch.setenv("FORESTEER_TOKEN", "")
    return instance.directory


def test_tls_is_served_to_who_knows_the_authority_and_to_nobody_in_the_clear(
    served, folder, monkeypatch
):
    page = served()
    good = curl(page, "--cacert", str(folder / "ca.pem"))
    assert (good.returncode, '"links"' in good.stdout) == (0, True), good.stderr
    assert curl(page, "--cacert", str(folder / "others.pem")).returncode == 60
    clear = curl(page.replace("https", "http"))
    assert clear.returncode != 0
    assert not clear.stdout
    instance = told(folder, page, monkeypatch)
    assert ask("GET", "topology", instance=instance)["links"]
    monkeypatch.setenv("FORESTEER_CA", str(folder / "others.pem"))
    with pytest.raises(ClientError, match="certificate verify failed"):
        ask("GET", "topology", instance=instance)


def test_mutual_tls_lets_in_whom_the_authority_signed(served, folder, monkeypatch):
    page = served(client_ca=folder / "clients.pem")
    trust = ("--cacert", str(folder / "ca.pem"))

    def shows(name):
        return (*trust, "--cert", str(folder / f"{name}.pem"), "--key", str(folder / f"{name}.key"))

    good = curl(page, *shows("operator"))
    assert (good.returncode, '"links"' in good.stdout) == (0, True), good.stderr
    for words in (trust, shows("stranger")):
        refused = curl(page, *words)
        assert refused.returncode != 0
        assert not refused.stdout
    instance = told(folder, page, monkeypatch)
    with pytest.raises(ClientError, match="does not answer"):
        ask("GET", "topology", instance=instance)
    monkeypatch.setenv("FORESTEER_CERT", str(folder / "operator.pem"))
    monkeypatch.setenv("FORESTEER_KEY", str(folder / "operator.key"))
    assert ask("GET", "topology", instance=instance)["links"]
    monkeypatch.setenv("FORESTEER_KEY", str(folder / "stranger.key"))
    with pytest.raises(ClientError, match="FORESTEER_CERT="):
        ask("GET", "topology", instance=instance)


def test_certificate_that_is_none_is_said(folder, view):
    shutil.copy(folder / "brain.pem", folder / "no.key")
    api = Api(certificate=folder / "brain.pem", key=folder / "no.key")
    with socket.socket() as listener, pytest.raises(ControllerError, match="cannot be served"):
        asyncio.run(serve_app(create_app(view, OPEN), listener, api))
