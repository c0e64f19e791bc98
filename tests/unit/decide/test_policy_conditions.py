"""Conditions: what is refused when loaded, and vectors against the CEL library's own answers."""

import numpy as np
import pytest
from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.policy import VARIABLES, ConditionError, compile_condition
from controller.decide.policy.condition import environment
from controller.decide.policy.vector import Facts, evaluate

NAMES = ("n1", "n2", "x3")


def facts_of(rows=None, **more):
    arrays = {name: np.arange(3.0) / 2 for name, (kind, _) in VARIABLES.items() if kind == "double"}
    arrays |= {"location": np.array(NAMES, dtype=object),
               "region": np.array(["eu", "us", ""], dtype=object)}  # fmt: skip
    arrays |= {name: np.array(values) for name, values in {**(rows or {}), **more}.items()}
    maps = {f"{name}_at": dict(zip(NAMES, arrays[name].tolist(), strict=False))
            for name in ("observed", "predicted")}  # fmt: skip
    return Facts(3, arrays, maps, lambda u, s, above: np.full((len(u), 3), 0.5 if above else 0.25))


def holds(text, facts=None):
    verdicts = evaluate([compile_condition(text)], facts or facts_of())
    return verdicts.holds[0].tolist(), [verdicts.why(0, at) for at in range(3)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("predicted > 1", "at column 11: .*write numbers with a point"),
        ("predicted >", "at column 12: Syntax error"),
        ("utilisation > 1.0", "there is no 'utilisation'; there are location"),
        ("predicted", "it is DOUBLE, and a condition is true or false"),
        ("location > 1.0", "no matching overload"),
        ("[1.0, 2.0].exists(x, x > predicted)", "loops"),
        ("{'a': 1}.size() == 1", "maps"),
        ("string(predicted / observed) == '1'", "a division may stand in"),
        ("string(probability_above(0.8, 60.0)) == '1'", "a probability may not"),
        ("probability_above(predicted, 60.0) > 0.5", "takes two numbers"),
        ("probability_above(0.8) > 0.5", "takes two numbers"),
        ("predicted > 0.0" + " + 1.0" * 24, "nested 2. deep"),
        ("(" * 60 + "true" + ")" * 60, "nested too deeply"),
        ("predicted > 0.0" + " + 1.0" * 40, "nested too deeply"),
        (" || ".join(["predicted > 1.0"] * 100), "1000 may be"),
        ("predicted > 0.0 && " * 60, "characters"),
        ("", "Syntax error"),
    ],
)
def test_bad_conditions_are_refused_with_what_is_wrong(text, what):
    with pytest.raises(ConditionError, match=what):
        compile_condition(text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("predicted > 0.4", [False, True, True]),
        ("location == 'n1' || region in ['us', 'asia']", [True, True, False]),
        ("location.startsWith('n') && predicted > 0.4", [False, True, False]),
        ("size(location) == 2 ? predicted < 0.1 : observed < 0.1", [True, False, False]),
        ("predicted_at['n2'] == 0.5", [True, True, True]),
        ("predicted_at.n2 == predicted", [False, True, False]),
        ("probability_above(0.8, 60.0) > 0.4", [True, True, True]),
        ("!(probability_below(0.8, 60.0) > 0.4)", [True, True, True]),
        ("predicted in [0.5, 1.0]", [False, True, True]),
        ("predicted * 2.0 - -1.0 >= 2.0", [False, True, True]),
        ("true", [True, True, True]),
        ("location.matches('^[a-z]3$')", [False, False, True]),
    ],
)
def test_conditions_hold_where_they_say(text, where):
    assert holds(text) == (where, [""] * 3)


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ("predicted / 0.0 > 1.0", [False] * 3, "a division by zero"),
        ("!(predicted / 0.0 > 1.0)", [False] * 3, "a division by zero"),
        ("1 / (size(location) - 2) == 1", [False] * 3, "divide by zero"),
        ("int(location) == 1", [False] * 3, "cannot convert"),
        ("predicted_at['elsewhere'] > 0.0", [False] * 3, "is not known"),
        ("max_utilisation > 0.0", [False] * 3, "max_utilisation is not known"),
        ("string(max_utilisation) == ''", [False] * 3, "max_utilisation is not known"),
    ],
)
def test_what_cannot_be_told_does_not_hold_and_says_why(text, where, why):
    found, reasons = holds(text, facts_of(max_utilisation=[np.nan]))
    assert found == where
    assert why in reasons[0]


def test_side_that_decides_alone_absorbs_the_others_error():
    assert holds("true || predicted / 0.0 > 1.0") == ([True] * 3, [""] * 3)
    assert holds("predicted / 0.0 > 1.0 && false") == ([False] * 3, [""] * 3)
    found, reasons = holds("observed > 0.4 || predicted / 0.0 > 1.0")
    assert found == [False, True, True]
    assert reasons == ["a division by zero", "", ""]


def test_conditions_that_differ_in_numbers_only_are_one_shape():
    texts = [f"predicted > {x / 10} && observed < -{x}.5e0" for x in range(5)]
    made = [compile_condition(text) for text in texts]
    assert len({one.shape for one in made}) == 1
    assert made[3].numbers == (0.3, -3.5)
    other = compile_condition("predicted > 0.1 && region == 'v1.5'")
    assert other.numbers == (0.1,)
    verdicts = evaluate([compile_condition(f"predicted > {x / 4}") for x in range(4)], facts_of())
    assert verdicts.holds.sum(axis=1).tolist() == [2, 2, 1, 1]


NUMBERS = st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0])
DOUBLES = st.recursive(
    st.sampled_from(["predicted", "observed", "hour", "predicted_at['n1']"])
    | NUMBERS.map(str) | NUMBERS.map(lambda x: f"-{x}"),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner)
    | st.builds("({} / {})".format, inner, NUMBERS)
    | st.builds("-({})".format, inner),
    max_leaves=6,
)  # fmt: skip
BOOLS = st.recursive(
    st.builds("{} {} {}".format, DOUBLES, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
              DOUBLES)
    | st.sampled_from(["location == 'n1'", "region != 'eu'", "location.contains('3')", "true",
                       "region in ['eu', '']", "predicted in [0.5, 1.0]", "size(region) > 1"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner)
    | st.builds("!({})".format, inner)
    | st.builds("({} ? {} : {})".format, inner, inner, inner),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(
    st.lists(BOOLS, min_size=1, max_size=4),
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, -1.0]), min_size=9, max_size=9),
)
def test_vectors_agree_with_the_library(texts, values):
    rows = dict(zip(("predicted", "observed", "hour"), np.array(values).reshape(3, 3), strict=True))
    facts = facts_of(rows)
    conditions = []
    for text in texts:
        try:
            conditions.append(compile_condition(text))
        except ConditionError as error:
            assert "nested" in str(error) or "characters" in str(error)  # noqa: PT017
    verdicts = evaluate(conditions, facts)
    for at, condition in enumerate(conditions):
        program = environment().compile(condition.text)
        for place in range(3):
            data = {
                name: arrays[place] if arrays.dtype == object else float(arrays[place])
                for name, arrays in facts.arrays.items()
            }
            answer = program.eval(data={**data, **facts.maps})
            assert answer.type() != cel.Type.ERROR
            assert verdicts.holds[at, place] == answer.value(), condition.text
            assert not verdicts.codes[at, place]
