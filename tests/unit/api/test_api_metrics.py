"""Metrics as Prometheus reads them, and the rules and dashboard that are about them."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from controller.api.metrics import exposition

DOCS = Path(__file__).resolve().parents[3] / "docs"
NAME = re.compile(r"\bforesteer_[a-z_]+")
SUFFIXES = ("_seconds", "_bytes", "_ratio", "_total", "_bits_per_second")


@pytest.fixture
def families(view):
    status = view.status()
    details = {"regret": 0.1, "memory_mib": 100, "refused": {"journal": 2}, "surges": 3}
    view.status = lambda: type(status)("/run", "act", True, 2, 1, status.components, details)
    return {one.name: one for one in text_string_to_metric_families(exposition(view).decode())}


def names_of(families):
    """Return what samples are called (counters end in _total)."""
    return {sample.name for family in families.values() for sample in family.samples}


def rules():
    return yaml.safe_load((DOCS / "monitoring" / "alerts.yaml").read_text())["groups"][0]["rules"]


def test_every_metric_is_described_and_has_a_bounded_set_of_labels(families):
    allowed = {"component", "mode", "reason", "stage", "link", "engine", "location",
               "horizon_steps", "forecaster"}  # fmt: skip
    for family in families.values():
        assert family.name.startswith("foresteer_")
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert set(sample.labels) <= allowed, sample


def test_values_are_those_of_the_last_tick(families, view):
    def value(name, **labels):
        (found,) = [s.value for s in families[name].samples
                    if s.labels == labels and not s.name.endswith("_created")]  # fmt: skip
        return found

    assert value("foresteer_ready") == 1.0
    assert value("foresteer_mode", mode="act") == 1.0
    assert value("foresteer_component_up", component="model") == 0.0
    assert value("foresteer_skipped_ticks") == 2.0
    assert value("foresteer_refused_inputs", reason="journal") == 2.0
    assert value("foresteer_link_utilisation_ratio", link="a>b") == pytest.approx(0.3)
    assert value("foresteer_stage_duration_seconds", stage="act") == pytest.approx(0.004)
    assert value("foresteer_circuits") == len(view.last().plan.circuits)


def test_alerts_and_panels_are_about_metrics_that_there_are(families):
    known = names_of(families)
    dashboard = json.loads((DOCS / "monitoring" / "grafana.json").read_text())
    asked = [rule["expr"] for rule in rules()]
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in asked:
        for name in NAME.findall(expression):
            assert name in known, expression
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def test_every_alert_has_a_page_that_says_what_to_do():
    pages = set()
    for rule in rules():
        page = DOCS.parent / rule["annotations"]["runbook"]
        text = page.read_text()
        assert text.startswith(f"# {rule['alert']}\n")
        assert "**What to do.**" in text
        assert rule["expr"] in text
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        pages.add(page.name)
    assert pages == {page.name for page in (DOCS / "runbook").glob("*.md")}


def test_before_the_first_tick_there_are_metrics_too(empty):
    assert b"foresteer_ready" in exposition(empty)
