from dataclasses import replace

import numpy as np
import pytest

from controller.api.schemas import HindsightBody, LinkHistoryBody
from controller.api.timeline import ahead
from controller.api.view import Came
from controller.journal import Realised

API = "/api/v1"


async def test_links_are_told_through_time_newest_first(connect, view):
    async with connect(view) as client:
        found = (await client.get(f"{API}/history/links?limit=1")).json()
        rest = (await client.get(f"{API}/history/links?cursor={found['next']}")).json()
    LinkHistoryBody.model_validate(found)
    assert (found["tick"], found["total"]) == (2, 2)
    assert [frame["tick"] for frame in found["past"] + rest["past"]] == [2, 1]
    at = found["links"].index("a>b")
    assert found["past"][0]["observed"][at] == 0.3
    assert found["past"][0]["up"][at] is True


async def test_links_to_come_are_what_the_plan_and_the_forecast_make_of_them(connect, view):
    async with connect(view) as client:
        found = (await client.get(f"{API}/history/links")).json()
    (only,) = found["ahead"]
    assert (only["horizon_steps"], only["ahead_s"]) == (1, 5.0)
    # the plan was made for the same forecast, all levels of which are alike
    planned = view.last().plan.utilisation
    for name, expected in zip(found["links"], only["expected"], strict=True):
        assert expected == pytest.approx(planned[name], abs=0.002), name


def test_demands_that_are_not_split_take_the_plain_route(view):
    last = view.last()
    plain = replace(last, plan=replace(last.plan, splits=(), circuits=()))
    names = [link.name for link in last.snapshot.links]
    (found,) = ahead(plain, names)
    demand = last.forecast.quantile(1, 0.5)[0, 3]
    assert found["expected"][names.index("a>b")] == pytest.approx(demand / 100.0, abs=0.1)
    nowhere = replace(plain, plan=replace(plain.plan, routes={}))
    assert set(ahead(nowhere, names)[0]["expected"]) == {0.0}


async def test_a_link_that_was_not_there_or_has_no_capacity_is_null(connect, view):
    first = view.ticks[0]
    links = first.snapshot.links
    view.ticks[0] = replace(first, snapshot=replace(first.snapshot, links=links[1:]))
    last = view.ticks[1]
    broken = (*last.snapshot.links[:-1], replace(last.snapshot.links[-1], capacity_bps=0.0))
    view.ticks[1] = replace(last, snapshot=replace(last.snapshot, links=broken))
    async with connect(view) as client:
        found = (await client.get(f"{API}/history/links")).json()
    assert found["past"][1]["observed"][0] is None
    assert found["past"][1]["up"][0] is False
    assert found["ahead"][0]["high"][-1] is None


async def test_hindsight_sets_what_is_beside_what_reacting_had_made(connect, view):
    view.hindsight = [
        Came(7, 1, 1001.0, Realised(0.5, 0.4, 0.6)), Came(8, 2, 1002.0, Realised(0.5, 0.5, 0.5)),
        Came(9, 3, 1003.0, Realised(0.9, 0.5, 0.8)),
        Came(10, 4, 1004.0, Realised(np.inf, 0.0, 1.0)),
    ]  # fmt: skip
    async with connect(view) as client:
        found = (await client.get(f"{API}/hindsight")).json()
    HindsightBody.model_validate(found)
    assert [one["number"] for one in found["decisions"]] == [10, 9, 8, 7]
    assert found["decisions"][0]["utilisation"] is None
    assert found["decisions"][3]["regret"] == pytest.approx(0.25)
    assert found["summary"] == {
        "decisions": 4, "regret": pytest.approx(0.2625),
        "regret_of_reacting": pytest.approx(0.275), "better": 1, "worse": 1,
    }  # fmt: skip


async def test_before_anything_is_known_both_say_so(connect, empty):
    async with connect(empty) as client:
        assert (await client.get(f"{API}/history/links")).status_code == 503
        found = (await client.get(f"{API}/hindsight")).json()
    assert found["summary"]["decisions"] == 0
    assert (found["decisions"], found["total"], found["next"]) == ([], 0, None)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=none"])
async def test_odd_pages_are_refused(connect, view, query):
    async with connect(view) as client:
        answer = await client.get(f"{API}/history/links?{query}")
    assert answer.status_code in {400, 422}


async def test_what_draws_charts_is_served_where_it_was_fetched_and_else_not_found(connect, view):
    async with connect(view) as client:
        answer = await client.get("/vendor/nothing.js")
    assert answer.status_code == 404
