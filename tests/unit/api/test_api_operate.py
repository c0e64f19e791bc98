"""The API of operators' circuits, rules and freezing, with the decision stage behind it."""

import pytest
from request_desk import RequestDesk

API = "/api/v1"


@pytest.fixture
def operated(view):
    view.requests = RequestDesk()
    return view


async def test_circuit_is_made_changed_shown_and_deleted(connect, operated):
    async with connect(operated) as client:
        made = await client.post(
            f"{API}/requests", json={"source": "a", "destination": "d", "name": "x", "share": 0.5}
        )
        assert made.status_code == 201, made.text
        assert made.json()["links"] == ["a>b", "b>d"]
        moved = await client.patch(f"{API}/requests/x", json={"path": ["a>c", "c>d"]})
        assert moved.json()["links"] == ["a>c", "c>d"]
        shown = (await client.get(f"{API}/requests/x")).json()
        assert (shown["share"], shown["path"]) == (0.5, ["a>c", "c>d"])
        assert len((await client.get(f"{API}/requests")).json()["circuits"]) == 1
        assert (await client.delete(f"{API}/requests/x")).status_code == 204
        assert (await client.get(f"{API}/requests")).json()["circuits"] == []


async def test_rules_are_put_shown_with_what_is_odd_and_deleted(connect, operated):
    async with connect(operated) as client:
        await client.post(f"{API}/requests", json={"source": "a", "destination": "d", "name": "x"})
        rules = f"{API}/requests/x/rules"
        first = await client.put(f"{rules}/all", json={"allow": False, "priority": 900})
        assert first.json()["findings"] == []
        second = await client.put(
            f"{rules}/web",
            json={"allow": True, "priority": 10, "protocol": 6, "destination_port": 80},
        )
        assert second.json()["findings"] == [{"what": "shadowed", "rule": "web", "other": "all"}]
        assert [rule["name"] for rule in second.json()["rules"]] == ["all", "web"]
        left = await client.delete(f"{rules}/all")
        assert left.json()["findings"] == []
        assert [r["name"] for r in (await client.get(rules)).json()["rules"]] == ["web"]


async def test_freezing_is_told_and_kept(connect, operated):
    async with connect(operated) as client:
        assert (await client.get(f"{API}/freeze")).json() == {"frozen": False}
        assert (await client.put(f"{API}/freeze", json={"frozen": True})).json() == {"frozen": True}
    assert operated.requests.book.wanted.frozen


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("post", "requests", {"source": "a"}, 422, "destination"),
        ("post", "requests", {"source": "a", "destination": "d", "colour": 1}, 422, "colour"),
        ("post", "requests", {"source": "a", "destination": "z"}, 409, "not two known locations"),
        (
            "post",
            "requests",
            {"source": "a", "destination": "d", "path": ["a>q"]},
            409,
            "not there",
        ),
        ("post", "requests", {"source": "a", "destination": "d", "share": 2}, 422, "share"),
        ("patch", "requests/none", {"share": 0.5}, 404, "no circuit 'none'"),
        ("delete", "requests/none", None, 404, "no circuit 'none'"),
        ("put", "requests/none/rules/r", {"allow": True}, 404, "no circuit 'none'"),
        ("put", "requests/none/rules/r", {"allow": True, "protocol": 999}, 422, "protocol"),
        ("delete", "requests/none/rules/r", None, 404, "no circuit 'none'"),
        ("put", "freeze", {"frozen": "perhaps"}, 422, "frozen"),
    ],
)
async def test_bad_requests_get_a_problem_that_names_what_is_wrong(
    connect, operated, method, path, body, status, detail
):
    async with connect(operated) as client:
        answer = await client.request(method.upper(), f"{API}/{path}", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json()["detail"]
    assert operated.requests.book.wanted.circuits == ()
