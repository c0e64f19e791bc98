from dataclasses import replace

import numpy as np
import pytest

from controller.state import BUCKETS, UNSTEERED

API = "/api/v1"


async def get(client, path):
    answer = await client.get(API + path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_status_tells_mode_health_and_data(connect, view):
    async with connect(view) as client:
        found = await get(client, "/status")
    assert found == {
        "instance": "/run/one", "mode": "advise", "ready": True, "tick": 2, "time_s": 1002.0,
        "step_s": 5.0, "skipped_ticks": 2, "rule_errors": 1,
        "components": {"bus": "ok", "model": "EWMA stands in"},
        "data": {"name": "diamond", "synthetic": False}, "details": {"term": 3},
    }  # fmt: skip


async def test_synthetic_data_are_called_so(connect, view):
    view.synthetic = True
    async with connect(view) as client:
        assert (await get(client, "/status"))["data"]["synthetic"] is True


async def test_topology_has_coordinates_and_both_utilisations(connect, view):
    async with connect(view) as client:
        found = await get(client, "/topology")
    assert found["tick"] == 2
    assert found["nodes"][0] == {"name": "a", "lat": 1.0, "lon": 2.0}
    assert found["nodes"][1] == {"name": "b", "lat": None, "lon": None}
    link = next(x for x in found["links"] if x["name"] == "a>b")
    assert link["observed"] == 0.3
    assert link["rate_bps"] == 30
    assert link["forecast"] == pytest.approx(view.last().plan.utilisation["a>b"], abs=1e-5)


async def test_a_link_that_is_down_has_no_utilisation(connect, view, ticks):
    links = [replace(x, up=x.name != "b>d") for x in view.last().snapshot.links]
    view.ticks.append(ticks(3, links=links))
    async with connect(view) as client:
        found = await get(client, "/topology")
    link = next(x for x in found["links"] if x["name"] == "b>d")
    assert (link["up"], link["observed"], link["forecast"]) == (False, None, None)


async def test_demands_are_given_as_seen_and_as_expected(connect, view):
    async with connect(view) as client:
        found = await get(client, "/demands")
    assert found["nodes"] == ["a", "b", "c", "d"]
    assert found["observed_bps"][0][3] == 120
    assert found["forecast_bps"][0][3] == 132
    assert (found["horizon_steps"], found["step_s"]) == (1, 5.0)


async def test_a_forecast_is_a_fan_with_its_past_and_skill(connect, view):
    async with connect(view) as client:
        found = await get(client, "/forecast/a/d")
    assert (found["src"], found["dst"]) == ("a", "d")
    assert found["history_bps"] == [60, 120]
    assert found["levels"] == [0.5, 0.75]
    assert found["quantiles_bps"] == [[132, 132]]
    assert found["skill"] == [
        {
            "horizon_steps": 1,
            "used": "ewma",
            "loss": {"ewma": 0.1, "model": None},
            "scored": 30,
            "weights": {},
            "drift": {"alarm": False, "ratio": 1.0, "severity": 0.0},
        }
    ]


async def test_numbers_that_are_none_do_not_break_the_answer(connect, view):
    view.last().snapshot.demands_bps[0, 3] = np.nan
    async with connect(view) as client:
        assert (await get(client, "/demands"))["observed_bps"][0][3] is None


async def test_circuits_tell_what_share_they_carry(connect, view):
    async with connect(view) as client:
        found = await get(client, "/circuits")
        some = await get(client, "/circuits?src=a&dst=d")
    assert len(found["circuits"]) == len(view.last().plan.circuits)
    assert {(c["src"], c["dst"]) for c in some["circuits"]} == {("a", "d")}
    assert sum(c["buckets"] for c in some["circuits"]) == BUCKETS
    assert sum(c["share"] for c in some["circuits"]) == pytest.approx(1.0, abs=1e-4)


async def test_unsteered_buckets_are_nobodys_share(connect, view):
    last = view.last()
    split = replace(
        last.plan.splits[0],
        spis=(UNSTEERED,),
        shares=(1.0,),
        buckets=(UNSTEERED,) * BUCKETS,
    )
    made = replace(last.plan, splits=(split, *last.plan.splits[1:]))
    view.ticks.append(replace(last, plan=made))
    async with connect(view) as client:
        found = await get(client, f"/circuits?src={split.src}&dst={split.dst}")
    assert {c["buckets"] for c in found["circuits"]} == {0}


async def test_decisions_come_newest_first_with_their_reasons(connect, view):
    async with connect(view) as client:
        found = (await get(client, "/decisions"))["decisions"]
        one = (await get(client, "/decisions?limit=1"))["decisions"]
    assert [made["tick"] for made in found] == [2, 1]
    assert one == found[:1]
    made, tick = found[0], view.last()
    assert made["reason"] == tick.plan.reason
    assert made["moved_buckets"] == tick.plan.moved_buckets
    assert made["observed_max"] == 0.3
    assert made["forecast_max"] == pytest.approx(tick.plan.max_utilisation, abs=1e-5)
    assert (made["observe_ms"], made["decide_ms"], made["act_ms"]) == (1.0, 3.0, 4.0)


async def test_before_the_first_tick_the_rest_says_so(connect, empty):
    async with connect(empty) as client:
        status = await get(client, "/status")
        topology = await get(client, "/topology")
        decided = await get(client, "/decisions")
        late = await client.get(f"{API}/demands")
    assert status["tick"] is None
    assert [node["name"] for node in topology["nodes"]] == ["a", "b", "c", "d"]
    assert topology["links"] == decided["decisions"] == []
    assert late.status_code == 503
    assert late.headers["retry-after"] == "1"
    assert "no tick yet" in late.json()["detail"]


async def test_before_any_network_is_known_there_is_no_label(connect, empty):
    empty.known = False
    async with connect(empty) as client:
        assert (await get(client, "/status"))["data"] is None
        assert (await get(client, "/topology"))["nodes"] == []


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/forecast/a/x", 404, "no location 'x'"),
        ("/api/v1/forecast/a/a", 404, "no demand to itself"),
        ("/api/v1/nothing", 404, "/api/v1/nothing"),
        ("/nothing.html", 404, "Not Found"),
        ("/../app.py", 404, "Not Found"),
        ("/api/v1/decisions?limit=0", 422, "limit: "),
        ("/api/v1/decisions?limit=many", 422, "limit: "),
    ],
)
async def test_errors_are_problem_details(connect, view, path, status, said):
    async with connect(view) as client:
        answer = await client.get(path)
    body = answer.json()
    assert answer.status_code == body["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in body["detail"]
    assert body["title"]
    assert body["type"] == "about:blank"


async def test_other_methods_are_refused(connect, view):
    async with connect(view) as client:
        answer = await client.post(f"{API}/status")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_fault_inside_is_a_problem_without_its_details(connect, view, caplog):
    def broken():
        raise RuntimeError("secret")

    view.status = broken
    async with connect(view) as client:
        answer = await client.get(f"{API}/status")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "secret" in caplog.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:80", "LOCALHOST:1"])
async def test_loopback_names_are_answered(connect, view, host):
    async with connect(view) as client:
        answer = await client.get(f"{API}/status", headers={"host": host})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "a@localhost",
        "",
        "[::1",
        "x:y",
    ],
)
async def test_other_names_are_refused(connect, view, host):
    async with connect(view) as client:
        answer = await client.get(f"{API}/status", headers={"host": host})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_names_can_be_added_and_all_be_let_in(connect, view):
    async with connect(view, hosts=("foresteer.example",)) as client:
        good = await client.get(f"{API}/status", headers={"host": "Foresteer.Example:80"})
        bad = await client.get(f"{API}/status", headers={"host": "localhost"})
    async with connect(view, hosts=("*",)) as client:
        anyone = await client.get(f"{API}/status", headers={"host": "who.ever"})
    assert (good.status_code, bad.status_code, anyone.status_code) == (200, 400, 200)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8080", 200),
        ("http://localhost:9090", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
async def test_only_our_own_pages_may_ask(connect, view, origin, status):
    async with connect(view) as client:
        answer = await client.get(f"{API}/status", headers={"origin": origin})
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


async def test_a_name_is_the_same_in_capitals(connect, view):
    async with connect(view) as client:
        headers = {"origin": "http://localhost:8080", "host": "LocalHost:8080"}
        answer = await client.get(f"{API}/status", headers=headers)
    assert answer.status_code == 200
