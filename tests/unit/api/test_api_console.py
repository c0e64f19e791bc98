"""The commands against a served API: what they print, change, and exit with."""

import asyncio
import contextlib
import json
import re
import socket
import threading
import time

import pytest
import uvicorn
from api_view import SmallView, make_tick
from click.testing import CliRunner
from request_desk import RequestDesk

from bus import Instance, SystemClock
from controller.api import Access, create_app
from controller.api.access import Audit, Role, TokenBook
from controller.api.access.own import own_token
from controller.cli import main
from controller.config import Config
from controller.predict.kinds_brain import SeriesDesk


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """An instance whose API answers: a small network, real plans."""
    directory = tmp_path_factory.mktemp("instance")
    found = Instance(directory)
    first = make_tick(1)
    view = SmallView([first, make_tick(2, 120.0, previous=first.plan)])
    view.requests = RequestDesk()
    view.series = SeriesDesk(Config(), SystemClock(), directory, None)
    tokens = TokenBook(directory / "tokens.json", time.time)
    own_token(tokens, directory)
    (directory / "viewer").write_text(tokens.create("viewer", Role.VIEWER)[1])
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    access = Access(tokens, Audit(None, time.time), None)
    server = uvicorn.Server(
        uvicorn.Config(create_app(view, access), log_level="warning", lifespan="off")
    )
    server.capture_signals = contextlib.nullcontext
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
    )
    thread.start()
    found.save_state({"page": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    while not server.started:
        time.sleep(0.01)
    yield directory
    server.should_exit = True
    thread.join(10)
    view.series.close()


@pytest.fixture
def run(instance, monkeypatch):
    monkeypatch.setenv("FORESTEER_INSTANCE", str(instance))
    monkeypatch.delenv("FORESTEER_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*words, code=0):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    return call


def test_status_says_on_one_screen_what_is_wrong(run):
    text = run("status", code=3)
    assert text.startswith("NOT WELL: diamond, mode advise, tick 2")
    assert "model: EWMA stands in" in text
    assert "a>b" in text
    assert len(text.splitlines()) < 24
    assert json.loads(run("status", "--json", code=3))["wrong"] == {"model": "EWMA stands in"}


def test_watch_looks_again(run):
    assert run("watch", "--times", "2", "--every", "0.2").count("NOT WELL") >= 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["links"], ["a>b", "capacity"]),
        (["demands", "--from", "a", "--to", "d"], ["a>d", "a-b-d"]),
        (["forecast", "a>d"], ["ahead", "1 steps"]),
        (["circuits", "--from", "a"], ["path", "backup"]),
        (["engines"], ["engine"]),
        (["exits"], ["prefixes", "gateways"]),
        (["shadows"], ["e1", "e2 (shares a risk)", "following", "12.5"]),
        (["locations"], ["prefix"]),
        (["decisions"], ["why"]),
        (["alarms"], ["(none)"]),
        (["mode"], ["act"]),
        (["series", "list"], ["(none)"]),
        (["event", "list"], ["(none)"]),
        (["circuit", "list"], ["(none)"]),
        (["token", "list"], ["viewer"]),
    ],
)
def test_tables_are_for_people_and_json_for_scripts(run, command, words):
    text = run(*command)
    assert all(word in text for word in words) or "(none)" in text, text
    json.loads(run(*command, "--json"))


def test_a_circuit_is_made_guarded_changed_and_deleted(run):
    made = run(
        "circuit", "create", "a", "d", "--name", "mine", "--share", "0.5", "--reserve", "1e-5"
    )
    assert "mine" in made
    assert "a>b" in run("circuit", "change", "mine", "--path", "a>b,b>d")
    rules = run(
        "rule", "put", "mine", "web", "--allow", "--destination-port", "80", "--protocol", "6"
    )
    assert "web" in rules
    assert "the rest is allowed" in run("rule", "list", "mine")
    assert "web" not in run("rule", "delete", "mine", "web")
    (kept,) = json.loads(run("circuit", "list", "--json"))
    assert (kept["share"], kept["reserved_bps"]) == (0.5, 10.0)
    run("circuit", "delete", "mine")
    assert "no circuit 'mine'" in run("circuit", "delete", "mine", code=1)


def test_events_series_mode_and_freezing(run):
    number = re.search(r"event (\S+)", run("event", "announce", "sale", "--in", "2h", "--for",
                                           "30m", "--times", "2.5", "--to", "d"))  # fmt: skip
    assert "sale" in run("event", "list")
    run("event", "recall", number.group(1))
    assert "1 taken" in run("series", "push", "requests", "web", "12.5")
    assert "web" in run("series", "list")
    assert "1 deleted" in run("series", "forget", "requests", "web")
    assert run("mode", "observe") == "observe\n"
    assert run("mode", "act") == "act\n"
    run("freeze")
    assert json.loads(run("api", "GET", "freeze")) == {"frozen": True}
    run("thaw")


def test_a_token_is_made_used_and_revoked(run, monkeypatch):
    shown = run("token", "create", "grafana", "--role", "viewer", "--lifetime", "30d").strip()
    monkeypatch.setenv("FORESTEER_TOKEN", shown)
    run("links")
    refused = run("freeze", code=5)
    assert "role operator" in refused
    assert "ask an admin" in refused
    monkeypatch.delenv("FORESTEER_TOKEN")
    (mine,) = [
        one for one in json.loads(run("token", "list", "--json")) if one["name"] == "grafana"
    ]
    run("token", "revoke", mine["id"])
    monkeypatch.setenv("FORESTEER_TOKEN", shown)
    assert "FORESTEER_TOKEN" in run("links", code=5)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["circuit", "create", "a", "nowhere"], 4, "not two known locations"),
        (["forecast", "a>nowhere"], 1, "nowhere"),
        (["event", "announce", "x", "--in", "soon", "--for", "1h", "--times", "2"], 2, "30d"),
        (["token", "create", "x", "--role", "king"], 2, "king"),
        (["service", "declare", "x", "10.9.0.1", "80", "--instance-at", "web"], 2, "KEY=VALUE"),
        (["service", "declare", "x", "10.9.0.1", "80", "--instance-at", "w=1"], 2, "NAME@LOCATION"),
        (["api", "GET", "nothing"], 1, "There is no"),
        (["api", "PUT", "freeze", "--body", "{"], 2, ""),
    ],
)
def test_errors_say_what_to_do_and_have_codes(run, command, code, words):
    assert words in run(*command, code=code)


def test_without_a_brain_it_says_so(run, monkeypatch, tmp_path):
    monkeypatch.setenv("FORESTEER_INSTANCE", str(tmp_path / "other"))
    assert "no brain runs here" in run("status", code=6)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(run, shell):
    assert "_FORESTEER_COMPLETE" in run("completion", shell)
