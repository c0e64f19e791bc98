"""The support bundle holds what helps, and none of the instance's secrets."""

import json
import sys
import tarfile
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "decide"))

from api_view import make_tick

from bus import Instance
from controller.api.access import Role, TokenBook
from controller.api.access.own import TOKENS, own_token, read_own
from controller.journal import Journal
from controller.state import Policies
from controller.support import Remover, write_bundle
from controller.support.commands import support_bundle

PASSPHRASE = "correct horse battery"


@pytest.fixture
def instance(tmp_path):
    """Make an instance with secrets in every place where one may get."""
    made = Instance(tmp_path / "one")
    made.secret()
    address = made.bus_address()
    book = TokenBook(made.directory / TOKENS, time.time)
    own_token(book, made.directory)
    _, shown = book.create("grafana", Role.VIEWER)
    made.save_state({"ready": True, "tick": 7})
    made.save_settings({"tick_s": 2.0, "password": PASSPHRASE})
    (made.directory / "config.yaml").write_text(
        f"tick_s: 2.0\napi: {{key: /etc/foresteer/tls.key, certificate: /etc/tls.pem}}\n"
        f"dns: {{tsig: c2VjcmV0LXRzaWcta2V5, key: bm8tcGF0aC1oZXJl, peers: [{{token: {shown}}}]}}\n"
    )
    (made.directory / "logs" / "brain.log").write_text(
        f"connected to nats://foresteer:{address.password}@127.0.0.1:4222\n"
        f"domain {made.secret().hex()}\nAuthorization: Bearer {shown}\n"
        f"own {read_own(made.directory)}\npassword={PASSPHRASE!r}\n"
        f"-----BEGIN PRIVATE KEY-----\nMIIBVAIBADANBgkq\n-----END PRIVATE KEY-----\n"
        "decision=3.17 journal=12: 4 flows changed\n"
    )
    (made.directory / "audit.log").write_text('{"who": "grafana", "path": "/api/v1/freeze"}\n')
    return made, {
        address.password, made.secret().hex(), shown, read_own(made.directory), PASSPHRASE,
        "c2VjcmV0LXRzaWcta2V5", "bm8tcGF0aC1oZXJl", "MIIBVAIBADANBgkq",
        *(one.digest for one in book.all()),
    }  # fmt: skip


def contents(path):
    with tarfile.open(path) as tar:
        return {
            entry.name.removeprefix("foresteer-support/"): tar.extractfile(entry).read().decode()
            for entry in tar
        }


def test_no_secret_of_the_instance_is_in_the_bundle(instance, tmp_path):
    made, secrets = instance
    path = tmp_path / "bundle.tar.gz"
    assert write_bundle(made, path, 10, None) == []
    found = contents(path)
    for name, text in found.items():
        for secret in secrets:
            assert secret not in text, name
    assert path.stat().st_mode & 0o077 == 0
    assert not {"bus.json", "bus.conf", "domain.key", "api.token", TOKENS} & found.keys()


def test_keys_of_name_servers_and_passwords_of_routers_are_not_in_it(instance, tmp_path):
    made, _ = instance
    key, password, session = "c2VjcmV0LWZvci1uYW1lcw==", "neighbours-only", "of an older session"
    (tmp_path / "names.key").write_text(f'key "a" {{ algorithm hmac-sha256; secret {key}; }};')
    (tmp_path / "peer").write_text(password + "\n")
    (made.directory / "config.yaml").write_text(
        f"dns: {{servers: [{{name: a, key_file: {tmp_path}/names.key}}]}}\n"
        f"bgp: {{neighbours: [{{password_file: {tmp_path}/peer}}]}}\n"
    )
    (made.directory / "logs" / "bgp.log").write_text(
        f'{key} or {password}\nline 9: md5-password "{session}";\n'
    )
    write_bundle(made, tmp_path / "bundle.tar.gz", 10, None)
    found = contents(tmp_path / "bundle.tar.gz")
    assert found["logs/bgp.log"] == "[removed] or [removed]\nline 9: md5-password [removed];\n"
    assert f"{tmp_path}/names.key" in found["config.yaml"]


def test_what_helps_is_in_it(instance, tmp_path):
    made, _ = instance
    path = tmp_path / "bundle.tar.gz"
    write_bundle(made, path, 10, None)
    found = contents(path)
    assert json.loads(found["state.json"])["tick"] == 7
    assert "decision=3.17 journal=12: 4 flows changed" in found["logs/brain.log"]
    assert "connected to nats://foresteer:[removed]@127.0.0.1:4222" in found["logs/brain.log"]
    assert "/etc/foresteer/tls.key" in found["config.yaml"]
    assert json.loads(found["settings.json"]) == {"tick_s": 2.0, "password": "[removed]"}
    assert "grafana" in found["audit.log"]
    versions = json.loads(found["versions.json"])
    assert versions["packages"]["numpy"]
    assert set(json.loads(found["manifest.json"])["files"]) == found.keys() - {"manifest.json"}


def test_what_is_broken_is_named_and_the_rest_is_there(instance, tmp_path):
    made, _ = instance
    made.journal.write_bytes(b"no database at all" * 100)
    (made.directory / "config.yaml").write_text("tick_s: [")
    (made.directory / "network.json").write_text("{")
    problems = write_bundle(made, tmp_path / "bundle.tar.gz", 10, None)
    assert sorted(one.partition(":")[0] for one in problems) == [
        "config.yaml", "journal", "network.json",
    ]  # fmt: skip
    found = contents(tmp_path / "bundle.tar.gz")
    assert json.loads(found["manifest.json"])["problems"] == problems
    assert "state.json" in found


def test_a_long_log_is_cut_at_its_beginning_at_a_whole_line(instance, tmp_path, monkeypatch):
    made, _ = instance
    monkeypatch.setattr("controller.support.bundle.LOG_BYTES", 1000)
    secret = made.bus_address().password
    long = "".join(f"{number} {secret}\n" for number in range(1000))
    (made.directory / "logs" / "brain.log").write_text(long)
    write_bundle(made, tmp_path / "bundle.tar.gz", 10, None)
    lines = contents(tmp_path / "bundle.tar.gz")["logs/brain.log"].splitlines()
    assert lines[-1] == "999 [removed]"
    assert all(line.endswith(" [removed]") for line in lines)
    assert all(secret[4:] not in line for line in lines)


def test_secrets_are_known_by_their_shape_as_well(tmp_path):
    text = Remover(tmp_path).text
    assert text("token fst_1a2b3c_Abc-def_ghi is good") == "token [removed] is good"
    assert text("authorization: Bearer abcdefghijk") == "authorization: Bearer [removed]"
    assert text('{"password": "x y", "port": 1}') == '{"password": [removed], "port": 1}'
    assert text("link Paris>Rome at 80 %, reason token bucket") == (
        "link Paris>Rome at 80 %, reason token bucket"
    )


def test_command_writes_one_file_and_never_over_another(instance, tmp_path):
    made, _ = instance
    path = tmp_path / "bundle.tar.gz"
    arguments = ["--instance", str(made.directory), "-o", str(path)]
    done = CliRunner().invoke(support_bundle, arguments)
    assert done.exit_code == 0, done.output
    assert "readable by you only" in done.output
    again = CliRunner().invoke(support_bundle, arguments)
    assert again.exit_code == 1
    assert "exists" in again.output


def test_the_journals_last_decisions_are_in_words_and_facts(instance, tmp_path):
    made, _ = instance
    first = make_tick(1)
    journal = Journal(made.journal)
    previous = None
    for tick in (first, make_tick(2, 120.0, previous=first.plan), make_tick(3, 90.0)):
        journal.write(
            tick.snapshot, tick.forecast, tick.plan, tick.decision, observed=True,
            link_rates_bps={}, applied_s=0.0, policies=Policies(), previous=previous,
        )  # fmt: skip
        previous = tick.plan
    journal.close()
    assert write_bundle(made, tmp_path / "bundle.tar.gz", 2, None) == []
    text = contents(tmp_path / "bundle.tar.gz")["journal.jsonl"]
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["decision"] for line in lines] == [2, 3]
    assert "Decision 3" in lines[-1]["words"][0]
