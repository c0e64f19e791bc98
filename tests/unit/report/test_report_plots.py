"""The report's plots of the network, of forecasts and of decisions."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import controller.api
from controller.report import score_run
from controller.report.fans import fans
from controller.report.geometry import Box, labels, lanes, spots
from controller.report.network import CELLS, MOMENTS, maps, shade, strip
from controller.report.style import CSS
from controller.report.timeline import timeline

STATIC = Path(controller.api.__file__).parent / "static"
COLOUR = re.compile(r"--(u\d|none): (#\w+)")


@pytest.fixture(scope="session")
def scored(run):
    return score_run(run)


def test_colours_are_the_dashboards():
    page = COLOUR.findall((STATIC / "page.css").read_text())
    assert COLOUR.findall(CSS) == page[:14]
    assert "STEPS = [0.2, 0.4, 0.6, 0.8, 1.0]" in (STATIC / "map.js").read_text()
    assert [shade(value) for value in (0, 0.2, 0.21, 0.6, 1.0, 1.01, 9.0, np.nan)] == [
        "u0", "u0", "u1", "u2", "u4", "u5", "u5", "un",
    ]  # fmt: skip


def test_every_link_is_on_every_map_as_counted_and_as_predicted(scored, run):
    text = maps(scored)
    assert text.count("<figure>") == MOMENTS
    assert text.count('<path class="now ') == text.count('<path class="soon ')
    assert text.count('<path class="now ') == MOMENTS * len(run.links)
    assert text.count("<circle") == MOMENTS * len(run.nodes)
    link = run.links[3]
    seen, said = scored.measured[0, 3], run.expected[0, 3]
    wanted = f"observed {seen * 100:.0f} %, predicted {said * 100:.0f} %"
    assert f"{link.name}: {wanted}".replace(">", "&gt;") in text
    assert 'class="un"' not in text
    assert "nan" not in text


def test_a_network_of_one_place_and_a_run_of_one_interval_are_drawn(runs):
    short = runs(intervals=1)
    assert maps(score_run(short)).count("<figure>") == 1
    assert spots([None], 400, 30, 20)[0] == pytest.approx(np.array([[30.0, 30.0]]))


def test_places_are_as_on_a_map_and_do_not_touch():
    points, height = spots([(50, 0), (40, 0), (40, 20), (40, 20.1), None], 400, 30, 24)
    assert points[0][1] < points[1][1]
    assert points[1][0] < points[2][0]
    away = np.hypot(*(points[2] - points[3]))
    assert away == pytest.approx(24, abs=1)
    assert ((points >= 0) & (points <= [400, height])).all()


def test_parallel_links_and_directions_do_not_cover_each_other():
    a, b = np.array([0.0, 0.0]), np.array([100.0, 0.0])
    there = [lanes(a, b, lane, 6, 3) for lane in (0, 1)]
    back = lanes(b, a, 0, 6, 3)
    heights = [line[1] for line in (*there[0], *there[1], *back)]
    assert len({round(y, 3) for y in heights}) == 6
    assert all(y > 0 for y in heights[:4])
    assert all(y < 0 for y in heights[4:])


def test_names_stand_beside_each_other_and_inside():
    points = np.array([[30.0, 30.0], [44.0, 30.0], [370.0, 30.0]])
    at = labels(("one", "other", "at the edge"), points, [(points[0], points[1])], Box(400, 100))
    assert at[2][0] + 11 * 7 <= 400
    assert abs(at[0][1] - at[1][1]) >= 14 or abs(at[0][0] - at[1][0]) >= 21


def test_a_strip_of_any_length_is_short_and_keeps_peaks():
    counted = np.full(24_000, 0.1)
    counted[7_777] = 1.3
    text = strip(counted, np.full(24_000, np.nan))
    assert len(text) < 1000
    assert f'viewBox="0 0 {CELLS} 2"' in text
    assert '<rect class="u5" x="77" y="0" width="1"' in text
    assert '<rect class="un" x="0" y="1" width="240"' in text


def test_fans_show_what_was_sent_and_the_intervals_around_the_forecast(run):
    text = fans(run)
    for fan in run.fans:
        assert f"<h3>{fan.src} to {fan.dst}</h3>" in text
    assert "90 % interval" in text
    assert "50 % interval" in text
    assert text.count('class="chart"') == 2 * len(run.fans)
    assert "The forecast made at tick 7, reaching 3 intervals" in text
    assert "nan" not in text


def test_coverage_counts_only_intervals_that_were_forecast(run):
    fan = run.fans[0]
    sent = run.sent_bps[:, run.nodes.index(fan.src), run.nodes.index(fan.dst)]
    exact = np.repeat(sent[:, None, None], 2, axis=1) * np.linspace(0.9, 1.1, 7)
    exact[0] = np.nan
    exact[4] *= 3
    text = fans(replace(run, fans=(replace(fan, bps=exact),)))
    assert "8 of 9 intervals lay within the 90\u00a0% interval" in text


def test_a_forecast_further_than_the_run_has_no_picture_of_its_own(runs):
    short = runs(intervals=1)
    assert fans(short).count('class="chart"') == len(short.fans)


def test_decisions_are_bars_and_answers_to_events_lines_between_ticks(run):
    first = run.decisions[3]
    event = replace(first, time_s=first.time_s + 150.0, event="link a>b is down")
    text = timeline((*run.decisions, event), len(run.sent_bps))
    assert text.count('<rect class="moved"') == len(run.decisions) + 1
    assert f'<polyline class="event" points="{4.0 / 11 * 1000:.1f},0' in text
    assert "answer to an event" in text
    assert "answer to an event" not in timeline(run.decisions, 10)
    assert timeline((), 10) == ""
    assert "<rect" in timeline((event,), 10)
