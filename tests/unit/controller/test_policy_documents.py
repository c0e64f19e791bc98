"""Policy documents: the documented ones load, and wrong ones are refused by line and key."""

import re
from pathlib import Path

import pytest
import yaml

from controller.decide.policy import FUNCTIONS, VARIABLES
from controller.layers import Bound, GranularRule, Match, ServicePolicy
from controller.policies import PolicyError
from controller.policies.document import Document, Known, parse, to_text

DOCS = Path(__file__).parents[3] / "docs/policies.md"
KNOWN = Known({"X", "Y", "Z"}, {"X>Y"}, {"eu"}, {"web"})


def examples():
    return re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)


def test_first_example_of_the_documentation_loads_as_it_reads():
    layers = parse(examples()[0], "first", KNOWN).layers(3)
    assert layers.version == 3
    assert layers.services == (
        ServicePolicy(
            "db-replicas", Match(protocol=6, ports=((5432, 5432),)), over_granular=True
        ),
    )  # fmt: skip
    assert layers.rules == (
        GranularRule(
            "relieve-x", "divert", "probability_above(0.8, 60.0) > 0.7", at=("X",), to=("Y",),
            share=0.5, lifetime_s=30.0, until="predicted < 0.5",
        ),
    )  # fmt: skip


def test_every_example_and_every_name_of_the_documentation_is_there():
    for text in examples():
        parse(text, "example", KNOWN)
    general = parse(examples()[1]).layers().general
    assert general.high == Bound(0.8, 0.7, 60.0)
    assert general.capacities_bps == {"X": 1e9}
    told = DOCS.read_text()
    for name in (*VARIABLES, *FUNCTIONS):
        assert f"`{name}" in told
    for model in ("ServiceDoc", "RuleDoc", "GlobalDoc"):
        from controller.policies import document

        for key in getattr(document, model).model_fields:
            assert f"`{key}`" in told or f"  {key}:" in told or key == "name", key


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", r"^p\.yaml:1: not YAML: "),
        ("\n- a", r"^p\.yaml:1: not a mapping of layers"),
        ("version: 1\nversion: 1", r"^p\.yaml:2: not YAML: 'version' is there twice"),
        ("x: &a 1\ny: *a", r"^p\.yaml: aliases"),
        ("? [a]\n: 1", r"a key must be a plain word"),
        ("version: 2", r"^p\.yaml:1: version: "),
        ("colour: red", r"^p\.yaml:1: colour: there is no such key"),
        ("rules:\n- name: r\n  colour: x\n  action: drop", r"^p\.yaml:3: rules\.0\.colour: "),
        ("rules:\n- name: r\n  action: reroute", r"^p\.yaml:3: rules\.0\.action: "),
        ("rules:\n- name: r\n  action: divert\n  when: predicted > 1",
         r"^p\.yaml:4: rules\.0\.when: at column 11: .*1\.0"),
        ("rules:\n- {name: r, action: divert}", "divert needs a condition"),
        ("rules:\n- {name: r, action: attract}", "attract needs a condition"),
        ("rules:\n- {name: r, action: limit, at: [X], to: [Y]}", "limit takes no to"),
        ("rules:\n- {name: r, action: limit, demands: ['X>Y']}", "whole demands can be pinned"),
        ("rules:\n- {name: r, action: limit, at: [X], rate_bps: 5}", "rate_bps: there is no such"),
        ("rules:\n- {name: r, action: pin}", "pin needs locations"),
        ("rules:\n- {name: r, action: pin, to: [Y], path: ['X>Y']}", "a path needs demands"),
        ("rules:\n- {name: r, action: drop, demands: ['X>Y'], path: ['X>Y']}", "only pin takes"),
        ("rules:\n- {name: r, action: drop, demands: ['X>Y'], sources: [X]}", "has no match"),
        ("rules:\n- {name: r, action: drop, share: 0.5}", "takes no share"),
        ("rules:\n- {name: r, action: divert, at: [X], to: [X]}", "diverts from X to X"),
        ("rules:\n- {name: r, action: divert, at: [X], until: 'true'}", "until needs"),
        ("rules:\n- {name: r, action: divert, at: [X], share: 0}", r"rules\.0\.share: "),
        ("rules:\n- {name: r, action: divert, at: [X], share: .nan}", r"rules\.0\.share: "),
        ("rules:\n- {name: r, action: divert, at: [Q]}", r"rules\.0\.at: there is no location 'Q'"),
        ("rules:\n- {name: r, action: pin, demands: ['X>Q']}", "no location 'Q'"),
        ("rules:\n- {name: r, action: pin, demands: ['X>Y'], path: ['X>Q']}", "no link 'X>Q'"),
        ("rules:\n- {name: r, action: drop, match: {services: [db]}}", "no service 'db'"),
        ("rules:\n- {name: r, action: drop}\n- {name: r, action: drop}",
         r"^p\.yaml:3: rules\.1\.name: 'r' is there twice"),
        (("rules: [{name: a, action: divert, at: [X], to: [Y]},\n"
         " {name: b, action: divert, at: [Y], to: [X]}]"), "always diverts from"),
        (("rules: [{name: a, action: divert, at: [X]},\n"
         " {name: b, action: attract, at: [X]}]"), r"^p\.yaml:2: rules\.1: it attracts to"),
        ("services:\n- {name: s, pin: [X], allowed_locations: [Y]}", "pins to X, which it does"),
        ("services:\n- {name: s, allowed_regions: [eu], forbidden_regions: [eu]}", "eu is among"),
        ("services:\n- {name: s, allowed_regions: [mars]}", "no region 'mars'"),
        ("services:\n- {name: s, match: {protocol: tpc}}", "'tpc' is none of icmp"),
        ("services:\n- {name: s, match: {protocol: 300}}", "0 to 255"),
        ("services:\n- {name: s, match: {ports: [80-70]}}", "not between"),
        ("services:\n- {name: s, match: {ports: [http]}}", "is no port"),
        ("services:\n- {name: s, match: {prefixes: [10.0.0.1/8]}}", "has host bits set"),
        ("services:\n- {name: s, match: {dscp: 64}}", r"match\.dscp"),
        ("global: {low: {utilisation: 0.3}}", "low without high"),
        ("global: {high: {utilisation: 0.3}, low: {utilisation: 0.3}}", "low must lie below"),
        ("global: {step: 0.9}", "step is more than most"),
        ("global: {objectives: {}}", "must weigh something"),
        ("global: {premium: [XY]}", r"global\.premium\.0"),
        ("global: {premium: ['X>Q']}", "no location 'Q'"),
        ("global: {high: {utilisation: 0.8, probability: 1.0}}", r"high\.probability"),
        ("locations: {Q: {capacity_bps: 1}}", "no location 'Q'"),
        ("locations: {X: {capacity_bps: -1}}", r"locations\.X\.capacity_bps"),
        ("#" * 900_001, "900000 may be"),
        ("[" * 100_000, r"^p\.yaml:1: nested deeper than 20"),
        ("a: " + "{b: " * 30 + "1" + "}" * 30, "nested deeper than 20"),
        ("a: !!python/object:os.system 1", "not YAML"),
    ],
)  # fmt: skip
def test_wrong_documents_are_refused_with_line_and_key(text, what):
    with pytest.raises(PolicyError, match=what):
        parse(text, "p.yaml", KNOWN)


def test_empty_document_and_values_of_the_api_are_documents():
    assert parse("") == Document()
    content = yaml.safe_load(examples()[0])
    assert parse(to_text(content)) == parse(examples()[0])


def test_what_is_not_known_is_not_asked_for():
    assert parse("rules:\n- {name: r, action: divert, at: [Q], to: [R]}").rules[0].at == ("Q",)
