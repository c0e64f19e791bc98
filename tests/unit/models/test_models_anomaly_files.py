import csv
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from click.testing import CliRunner

from models.anomaly import ALARM_SCORE, DetectError, detect_file
from models.anomaly.commands import detect

START = datetime(2026, 1, 1, tzinfo=UTC)


def series(rows=400, seed=1):
    return np.random.default_rng(seed).normal(100.0, 5.0, rows)


def write(path, values, step_s=300):
    lines = ["timestamp,value"]
    for number, value in enumerate(values):
        at = START + timedelta(seconds=step_s * number)
        lines.append(f"{at:%Y-%m-%d %H:%M:%S},{value}")
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def scores_of(path):
    return np.array([float(row["anomaly_score"]) for row in read(path)])


def find_leak(score, folder, values, cuts):
    """Return the first row whose score knows of later ones, or None.

    The rows from a cut on are replaced, and left out altogether: nothing before may change.
    """
    whole = score(write(folder / "whole.csv", values), folder / "whole.out")
    for cut in cuts:
        for name, rest in (("other", -1e6 * np.ones(len(values) - cut)), ("short", np.array([]))):
            changed = write(folder / f"{name}.csv", np.append(values[:cut], rest))
            found = score(changed, folder / f"{name}.out")[:cut]
            rows = np.flatnonzero(found != whole[:cut])
            if len(rows):
                return int(rows[0])
    return None


def ours(source, out):
    detect_file(source, out)
    return scores_of(out)


@pytest.mark.slow
def test_no_score_knows_of_later_rows(tmp_path):
    values = series()
    values[250] = 180.0
    assert find_leak(ours, tmp_path, values, (200, 251, 399)) is None


@pytest.mark.parametrize("ahead", [1, 30])
def test_a_score_that_looks_ahead_is_caught(tmp_path, ahead):
    def leaking(source, out):
        found = ours(source, out)
        return np.maximum(found, np.append(found[ahead:], np.zeros(ahead)))

    assert find_leak(leaking, tmp_path, series(), (200, 251)) is not None


def test_every_row_gets_a_line_with_what_it_says(tmp_path):
    values = series()
    values[350] = 1000.0
    source = write(tmp_path / "in.csv", values)
    counts = detect_file(source, tmp_path / "out.csv")
    rows = read(tmp_path / "out.csv")
    assert list(rows[0]) == ["timestamp", "value", "anomaly_score", "severity", "kind"]
    assert [(row["timestamp"], row["value"]) for row in rows] == [
        (row["timestamp"], row["value"]) for row in read(source)
    ]
    assert float(rows[350]["anomaly_score"]) > 0.9
    assert float(rows[350]["severity"]) > 4.0
    assert rows[350]["kind"] == "residual"
    assert counts.rows == 400
    assert counts.alarms == (scores_of(tmp_path / "out.csv") >= ALARM_SCORE).sum() >= 1


def test_bad_rows_are_counted_and_keep_their_line(tmp_path):
    lines = ["timestamp,value"]
    values = series(300)
    for number, value in enumerate(values):
        lines.append(f"{START + timedelta(minutes=5 * number):%Y-%m-%d %H:%M:%S},{value}")
    lines[50] = "garbage"
    lines[60] = "2026-01-01 04:55:00,"
    lines[70] = "2026-01-01 05:45:00,nan"
    lines[80] = "no time,100.0"
    lines[90] = "1999-12-31 00:00:00,100.0"
    lines[100] = "2026-01-01 08:15:00,1e999"
    lines[110] = "2026-01-01 09:05:00,101.0,more,and\0more"
    path = tmp_path / "in.csv"
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe,12\n")
    counts = detect_file(path, tmp_path / "out.csv")
    assert counts.rows == 301
    assert counts.bad_values == 4
    assert counts.bad_times == 3
    assert counts.set_back == 1
    assert np.isfinite(scores_of(tmp_path / "out.csv")).all()
    assert len(read(tmp_path / "out.csv")) == 301


def test_seconds_and_zones_are_times_too(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("timestamp,value\n1700000000,1\n2023-11-14T22:13:25+00:00,2\n1700000010.5,3\n")
    counts = detect_file(path, tmp_path / "out.csv")
    assert (counts.bad_times, counts.set_back) == (0, 0)


def test_a_file_without_times_is_scored_too(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("value\n" + "\n".join(map(str, series(50))) + "\n")
    counts = detect_file(path, tmp_path / "out.csv")
    assert (counts.rows, counts.bad_times) == (50, 50)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column 'value'"),
        (b"a,b\n1,2\n", "no column 'value'"),
        (b"\x00\xff\x80" * 100, "no column 'value'"),
        (b"timestamp,value\n", "a header and no rows"),
        (b'timestamp,value\n1,"' + b"x" * 200_000, "field larger"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    with pytest.raises(DetectError, match=said) as caught:
        detect_file(path, tmp_path / "out.csv")
    assert "in.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DetectError, match=r"none\.csv"):
        detect_file(tmp_path / "none.csv", tmp_path / "out.csv")


def test_a_file_is_never_written_over_itself(tmp_path):
    path = write(tmp_path / "in.csv", series(10))
    before = path.read_bytes()
    with pytest.raises(DetectError, match="would overwrite"):
        detect_file(path, path)
    assert path.read_bytes() == before


def test_the_command_says_what_it_did_and_what_was_wrong(tmp_path):
    source = write(tmp_path / "in.csv", series(50))
    out = tmp_path / "out.csv"
    done = CliRunner().invoke(detect, ["--csv", str(source), "--out", str(out), "--budget", "1"])
    assert done.exit_code == 0, done.output
    assert "50 rows, 0 alarms; 0 bad values, 0 unreadable times, 0 set back" in done.output
    assert len(read(out)) == 50
    wrong = CliRunner().invoke(detect, ["--csv", str(tmp_path / "none"), "--out", str(out)])
    assert wrong.exit_code == 1
    assert wrong.output.startswith("Error: ")
