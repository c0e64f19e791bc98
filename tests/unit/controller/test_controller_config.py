"""The configuration file: what it takes, and how it says what is wrong."""

from pathlib import Path

import pytest

from controller.config import Config, load_config
from controller.errors import ConfigError


def write(path: Path, content: str | bytes) -> Path:
    file = path / "config.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_without_a_file_there_are_defaults() -> None:
    config = load_config(None)
    assert (config.tick_s, config.mode, config.page_host) == (5.0, "act", "127.0.0.1")


@pytest.mark.parametrize("content", ["", "---\n", "# nothing yet\n"])
def test_empty_file_is_the_defaults(tmp_path: Path, content: str) -> None:
    assert load_config(write(tmp_path, content)) == Config()


def test_settings_are_taken_and_the_rest_stays(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "tick_s: 2\nquantile: 0.9\nhorizons_steps: [2, 4]\n"))
    assert (config.tick_s, config.data_step_s, config.paths) == (2.0, None, 8)
    policies = config.policies()
    assert (policies.quantile, policies.horizon_steps) == (0.9, 2)


def test_configuration_cannot_be_changed_after_it_is_loaded() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config(None).tick_s = 1.0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("tick: 5\n", "tick: Extra inputs are not permitted"),
        ("tick_s: 0.1\n", "tick_s: Input should be greater than or equal to 0.5"),
        ("tick_s: .nan\n", "tick_s"),
        ("tick_s: soon\n", "tick_s: Input should be a valid number"),
        ("quantile: 1\n", "quantile"),
        ("mode: watch\n", "mode: Input should be 'observe', 'advise' or 'act'"),
        ("paths: 0\n", "paths"),
        ("horizons_steps: []\n", "horizons_steps"),
        ("horizons_steps: [1, 0]\n", "horizons_steps.1"),
        ("page_port: 70000\n", "page_port"),
        ("1: 2\n", "1: "),
        ("- tick_s\n", "not a list of settings"),
        ("tick_s: [\n", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
    ],
)
def test_wrong_file_is_refused_by_file_and_key(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("tick_s: 2\n\nquantile: 7\n", "3: quantile"),
        ("routing:\n  hedge: 0.5\n  churn: 3\n", "3: routing.churn"),
        ("routing:\n  weights:\n    latency: -1\n", "2: routing.weights"),
        ("routing:\n  premium:\n  - a>b\n  - nonsense\n", "4: routing.premium.1"),
        ("routing:\n  surge_ms: 10\n", "2: routing.surge_ms"),
    ],
)
def test_error_names_the_line(tmp_path: Path, content: str, where: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:{where}: ")


def test_routing_settings_reach_the_decision(tmp_path: Path) -> None:
    content = (
        "routing:\n  premium: [a>b]\n  move_limit: 0.2\n  weights: {latency: 3}\n"
        "  forbidden_regions: [eu]\n  protect: false\n"
    )
    policies = load_config(write(tmp_path, content)).policies()
    assert policies.premium == (("a", "b"),)
    assert (policies.move_limit, policies.protect) == (0.2, False)
    assert (policies.weights.latency, policies.weights.shortage) == (3.0, 100.0)
    assert policies.constraints.forbidden_regions == ("eu",)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        load_config(tmp_path / "none.yaml")
