"""The API of series over a real desk: what it gives, what it takes, what it refuses."""

import httpx
import numpy as np
import pytest

from controller.api import create_app
from controller.config import Config, Privacy, Series
from controller.predict.kinds_brain import SeriesDesk
from controller.predict.predictor import Predictor

API = "/api/v1"


class Hands:
    """A clock that is moved by hand."""

    now = 100_000.0

    def wall(self):
        return 1.7e9 + self.now

    def monotonic(self):
        return self.now

    async def sleep_until(self, monotonic_s):
        self.now = max(self.now, monotonic_s)


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def desk(clock, tmp_path):
    config = Config(
        privacy=Privacy(permit=("tenant",), retention_s=60.0), series=Series(fast_horizons_s=(2, 5))
    )
    made = SeriesDesk(config, clock, tmp_path, None)
    yield made
    made.close()


@pytest.fixture
def client(view, desk, monkeypatch):
    monkeypatch.setattr(view, "desk", lambda: desk, raising=False)
    transport = httpx.ASGITransport(create_app(view), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8080" + API)


@pytest.fixture
def view(empty):
    class Desked(type(empty)):
        pass

    return Desked()


async def feed(client, desk, clock, steps=30, kind="requests", names=("web", "db")):
    rng = np.random.default_rng(1)
    for _ in range(steps):
        for name in names:
            body = {"samples": [{"value": 50.0 + float(rng.normal())}]}
            answer = await client.post(f"/series/{kind}/{name}", json=body)
            assert answer.status_code == 202, answer.text
        clock.now += 5.0 if kind == "tenant" else 1.0
        await desk.kinds.run(fast=kind != "tenant")


async def test_what_is_pushed_is_forecast(client, desk, clock):
    await feed(client, desk, clock)
    found = (await client.get("/forecasts", params={"kind": "requests"})).json()
    assert found["unit"] == "1/s"
    assert found["horizons_s"] == [2.0, 5.0]
    assert [one["name"] for one in found["series"]] == ["db", "web"]
    one = (await client.get("/forecasts?kind=requests&name=web")).json()["series"]
    assert len(one[0].pop("past")) == 30
    assert len(one) == 1
    assert len(one[0]["quantiles"]) == 2
    assert one[0]["quantiles"][0] == sorted(one[0]["quantiles"][0])
    assert one[0]["above"] == [0.0, 0.0]
    assert found["skill"][0]["scored"] > 10
    assert set(found["skill"][0]["weights"]) == {"ewma", "last", "informed"}
    listed = (await client.get("/series")).json()
    assert listed["kinds"]["requests"]["series"] == ["db", "web"]
    assert listed["counts"]["store"]["taken"] == 60
    assert "alarms" in (await client.get("/alarms")).json()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/forecasts", 422),
        ("/forecasts?kind=nonsense", 404),
        ("/forecasts?kind=user_group", 403),
        ("/forecasts?kind=requests", 404),
        ("/forecasts?kind=requests&limit=0", 422),
    ],
)
async def test_questions_that_have_no_answer_say_why(client, path, status):
    answer = await client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_an_unknown_series_is_not_found(client, desk, clock):
    await feed(client, desk, clock, 5)
    assert (await client.get("/forecasts?kind=requests&name=none")).status_code == 404
    assert (await client.delete("/series/requests/none")).status_code == 404
    assert (await client.delete("/series/nonsense")).status_code == 404


GOOD = {"samples": [{"value": 1.0}]}


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/series/nonsense/x", GOOD, 404),
        ("/series/user_group/x", GOOD, 403),
        ("/series/link_load/x", GOOD, 405),
        ("/series/requests/x", {}, 422),
        ("/series/requests/x", {"samples": []}, 422),
        ("/series/requests/x", {"samples": [{"value": "many"}]}, 422),
        ("/series/requests/x", {"samples": [{"value": -1.0}]}, 422),
        ("/series/requests/x", {"samples": [{"value": 1.0, "time_s": 1e12}]}, 422),
        ("/series/requests/x", {"samples": [{"value": 1.0}], "more": 1}, 422),
        ("/series/requests/x", {"samples": [{"value": 1.0}] * 10_001}, 422),
        ("/series/requests/" + "x" * 201, GOOD, 422),
        ("/series/link_loss/x", {"samples": [{"value": 1.5}]}, 422),
        ("/series/signal/x", {"samples": [{"value": 1e40}]}, 422),
        ("/events", {"name": "x"}, 422),
        ("/events", {"name": "x", "start_s": 1.8e9, "duration_s": 0, "factor": 2}, 422),
        ("/events", {"name": "x", "start_s": 1.8e9, "duration_s": 9, "factor": -1}, 422),
        ("/events", {"name": "x", "start_s": 1.8e9, "duration_s": 9, "factor": 2,
                     "scope": "world"}, 422),
        ("/events", {"name": "x", "start_s": 0, "duration_s": 9, "factor": 2}, 422),
    ],
)  # fmt: skip
async def test_wrong_pushes_are_refused_with_a_reason(client, desk, path, content, status):
    answer = await client.post(path, json=content)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert not desk.names()
    assert not desk.announced()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"samples":[{"value":NaN}]}', b"[1]"]
)
async def test_bodies_that_are_no_json_are_refused(client, content):
    headers = {"content-type": "application/json"}
    answer = await client.post("/series/requests/x", content=content, headers=headers)
    assert answer.status_code in {400, 422}
    assert answer.json()["title"]


async def test_bodies_that_are_too_large_or_do_not_say_how_large_are_refused_unread(client):
    async def endless():
        for _ in range(1000):
            raise AssertionError("it was read")
            yield b"x"

    large = await client.post("/series/requests/x", content=b" " * 1_000_001)
    assert large.status_code == 413
    answer = await client.post(
        "/series/requests/x", content=endless(), headers={"transfer-encoding": "chunked"}
    )
    assert answer.status_code == 413


async def test_pages_from_elsewhere_may_not_push(client):
    headers = {"origin": "http://evil.example"}
    answer = await client.post("/series/requests/x", json=GOOD, headers=headers)
    assert answer.status_code == 403


async def test_part_of_a_push_can_be_refused(client, desk):
    body = {"samples": [{"value": 1.0}, {"value": -1.0}]}
    answer = await client.post("/series/requests/x", json=body)
    assert (answer.status_code, answer.json()) == (202, {"taken": 1, "refused": {"value": 1}})


async def test_what_is_about_users_is_deleted_on_request_with_its_forecast(client, desk, clock):
    await feed(client, desk, clock, 10, "tenant", ("x", "y"))
    assert (await client.get("/forecasts?kind=tenant&name=x")).status_code == 200
    assert (await client.delete("/series/tenant/x")).json() == {"deleted": 1}
    assert (await client.get("/forecasts?kind=tenant&name=x")).status_code == 404
    assert (await client.get("/series")).json()["kinds"]["tenant"]["series"] == ["y"]
    assert (await client.delete("/series/tenant")).json() == {"deleted": 1}
    assert "tenant" not in (await client.get("/series")).json()["kinds"]


async def test_what_is_about_users_is_not_shown_longer_than_permitted(client, desk, clock):
    await feed(client, desk, clock, 10, "tenant", ("x",))
    clock.now += 61.0
    assert (await client.get("/forecasts?kind=tenant")).status_code == 404
    assert (await client.get("/series")).json()["kinds"] == {}


async def test_a_signal_is_pushed_and_deleted(client, desk, clock):
    samples = [{"value": at, "time_s": clock.wall() + 300.0 * at} for at in range(-3, 20)]
    answer = await client.post("/series/signal/tickets", json={"samples": samples})
    assert answer.json() == {"taken": 23, "refused": {}}
    assert desk.names() == {"signal": ("tickets",)}
    assert (await client.delete("/series/signal/tickets")).status_code == 200
    assert not desk.names()


async def test_events_are_announced_listed_and_recalled(client, desk, clock, tmp_path):
    event = {"name": "sale", "scope": "destination", "destination": "a", "factor": 3.0,
             "start_s": clock.wall() + 600.0, "duration_s": 1800.0}  # fmt: skip
    predictor = Predictor((1, 3))
    desk.inform(predictor)
    answer = await client.post("/events", json=event)
    assert answer.status_code == 201
    number = answer.json()["id"]
    listed = (await client.get("/events")).json()["events"]
    assert [(one["id"], one["destination"], one["credibility"]) for one in listed] == [
        (number, "a", 0.9)
    ]
    again = SeriesDesk(desk.config, clock, tmp_path, None)
    assert list(again.announced()) == [number], "it outlives the brain"
    again.close()
    assert (await client.delete(f"/events/{number}")).json() == {"deleted": 1}
    assert (await client.delete(f"/events/{number}")).status_code == 404
    assert (await client.get("/events")).json()["events"] == []
    predictor.close()
