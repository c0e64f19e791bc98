"""An instance's directory: locks that live as long as processes, secrets for our eyes only."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bus import Instance, InstanceError, derive_key
from bus.instance import unix_address

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


def until(condition, seconds: float = 10.0) -> bool:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_process_is_started_once_and_again_after_it_was_killed(instance_directory: Path) -> None:
    instance = Instance.find()
    first = instance.start_once("sleeper", SLEEPER)
    assert first is not None
    try:
        assert instance.start_once("sleeper", SLEEPER) is None
        assert instance.pid("sleeper") == first.pid
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert not instance.running("sleeper")
        assert instance.pid("sleeper") is None
        second = instance.start_once("sleeper", SLEEPER)
        assert second is not None
        instance.stop("sleeper")
        second.wait(5)
        assert not instance.running("sleeper")
    finally:
        instance.stop("sleeper")


def test_lock_is_held_by_whoever_takes_it_first(instance_directory: Path) -> None:
    one, other = Instance.find(), Instance.find()
    held = one.hold("brain")
    assert held is not None
    assert other.hold("brain") is None
    assert other.pid("brain") == os.getpid()
    os.close(held)
    assert not other.running("brain")


def test_number_of_another_pid_namespace_is_not_believed(instance_directory: Path) -> None:
    instance = Instance.find()
    held = instance.hold("agent")
    (instance.directory / "pids" / "agent").write_text(f"{os.getpid()} pid:[1]")
    assert instance.running("agent")
    assert instance.pid("agent") is None
    assert held is not None
    os.close(held)


def test_secret_is_made_once_and_private(instance_directory: Path) -> None:
    instance = Instance.find()
    secret = instance.secret()
    assert len(secret) == 32
    assert Instance.find().secret() == secret
    path = instance.directory / "domain.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(InstanceError, match="chmod 600"):
        instance.secret()
    path.chmod(0o600)
    path.write_text("zz")
    with pytest.raises(InstanceError, match="hexadecimal"):
        instance.secret()
    path.write_text("00")
    with pytest.raises(InstanceError, match="1 bytes, not 32"):
        instance.secret()


def test_bus_address_is_chosen_once(instance_directory: Path) -> None:
    address = Instance.find().bus_address()
    assert Instance.find().bus_address() == address
    assert len(address.password) > 20
    (instance_directory / "bus.json").write_text("{}")
    with pytest.raises(InstanceError, match="damaged"):
        Instance.find().bus_address()


def test_settings_and_state_survive(instance_directory: Path) -> None:
    instance = Instance.find()
    assert instance.settings() == {}
    assert instance.state() == {}
    instance.save_settings({"origin_s": 1.5})
    instance.save_state({"ready": True})
    assert instance.settings() == {"origin_s": 1.5}
    assert instance.state() == {"ready": True}
    (instance.directory / "settings.json").write_text("{")
    with pytest.raises(InstanceError, match=r"settings\.json"):
        instance.settings()


def test_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InstanceError, match="instance directory"):
        Instance(tmp_path / "file" / "x")


def test_program_that_is_not_there_is_named(instance_directory: Path) -> None:
    with pytest.raises(InstanceError, match="cannot be started"):
        Instance.find().start_once("nothing", ["/nonexistent"])
    assert not Instance.find().running("nothing")


def test_long_socket_paths_work(tmp_path: Path) -> None:
    import socket

    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(unix_address(deep / "s"))
    listener.listen()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(unix_address(deep / "s"))
    listener.close()
    assert (deep / "s").exists()


def test_keys_differ_by_purpose_and_epoch() -> None:
    secret = bytes(32)
    found = {derive_key(secret, p, e) for p in ("tag", "discovery") for e in (0, 1)}
    assert len(found) == 4
    assert all(len(key) == 16 for key in found)


def test_first_process_to_come_starts_a_bus_that_answers(instance_directory: Path) -> None:
    instance = Instance.find()
    child = instance.ensure_bus()
    assert isinstance(child, subprocess.Popen)
    try:
        assert Instance.find().ensure_bus() is None
    finally:
        instance.stop("bus")
        child.wait(5)
