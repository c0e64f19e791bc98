import io
import json
import logging

import pytest

from bus import logs


@pytest.fixture
def lines(monkeypatch):
    """Return the lines that were logged so far, by a root logger of the test's own."""
    root = logging.getLogger()
    written = io.StringIO()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(written)])
    # Mininet, where a test loaded it, gives all loggers made afterwards a level of its own
    levels = {logging.getLogger(n): logging.NOTSET for n in ("foresteer", "foresteer.test")}
    levels[root] = logging.INFO
    before = {logger: logger.level for logger in levels}
    for logger, level in levels.items():
        logger.setLevel(level)
    yield lambda: written.getvalue().splitlines()
    for logger, level in before.items():
        logger.setLevel(level)


def test_json_lines_name_the_decision_that_they_are_about(lines):
    logs.set_up("json")
    log = logging.getLogger("foresteer.test")
    log.warning("%s: %d flows changed", logs.decision_id(3, 17), 12)
    log.error('nothing of it, with a\nnew line and "quotes"')
    first, second = (json.loads(line) for line in lines())
    assert first["decision"] == "3.17"
    assert first["message"] == "decision=3.17: 12 flows changed"
    assert (first["level"], first["logger"]) == ("WARNING", "foresteer.test")
    assert first["time"].endswith("Z")
    assert "decision" not in second
    assert "\n" in second["message"]


def test_an_exception_is_in_its_line(lines):
    logs.set_up("json")
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("foresteer.test").exception("failed")
    (line,) = lines()
    assert "ValueError: odd" in json.loads(line)["exception"]


def test_the_environment_says_what_others_than_the_brain_write(lines, monkeypatch):
    monkeypatch.setenv(logs.FORMAT, "json")
    logs.set_up()
    logging.getLogger("foresteer.test").info("here")
    assert json.loads(lines()[0])["message"] == "here"


def test_text_is_left_as_whoever_runs_us_formats_it(lines, monkeypatch):
    monkeypatch.delenv(logs.FORMAT, raising=False)
    logs.set_up()
    logging.getLogger("foresteer.test").info("here")
    assert lines() == ["here"]


def test_text_lines_have_time_level_and_name():
    record = logging.LogRecord("foresteer.test", logging.INFO, "", 0, "here", None, None)
    assert logs.formatter("text").format(record).endswith(" INFO foresteer.test here")
