"""The API of policies and services, and the commands that ask it, with real decisions behind."""

import json

import pytest
from click.testing import CliRunner
from policy_desk import PolicyRoom
from policy_nets import DB, WEB

import controller.client
from controller.client import ClientError, ask
from controller.policies.commands import policy

API = "/api/v1"
DIVERT = "rules: [{name: relieve, action: divert, at: [d], to: [b], share: 0.5}]"
SERVICE = {"address": "10.9.0.7", "port": 80,
           "instances": [{"name": "i1", "location": "d", "address": "10.4.0.9"}]}  # fmt: skip


@pytest.fixture
async def ruled(view):
    room = view.desk_of_policies = PolicyRoom()
    await room.plan_now("first")
    for service in (WEB, DB):
        await room.policy_desk.declare(service)
    return view


async def test_document_is_planned_applied_shown_and_rolled_back(connect, ruled):
    async with connect(ruled) as client:
        assert (await client.get(f"{API}/policies")).json()["version"] == 0
        planned = (await client.post(f"{API}/policies/plan", json={"text": DIVERT})).json()
        assert planned["rules_began"][0]["name"] == "relieve"
        assert planned["counts"]["services"] > 0
        made = await client.put(
            f"{API}/policies", json={"text": DIVERT, "comment": "why", "expected_version": 0}
        )
        assert made.json() == {"version": 1, "author": "operator", "time_s": 1000.0,
                               "comment": "why"}  # fmt: skip
        assert (await client.get(f"{API}/policies")).json()["text"] == DIVERT
        rulings = (await client.get(f"{API}/policies/rulings")).json()
        assert rulings["version"] == 1
        assert rulings["active"][0]["why"] == "it holds always"
        web = next(x for x in rulings["services"] if (x["service"], x["source"]) == ("web", "d"))
        assert web["shares"] == {"w1": 0.125, "w2": 0.375, "w3": 0.5}
        content = {"services": [{"name": "s", "over_granular": True}]}
        assert (await client.put(f"{API}/policies", json={"content": content})).status_code == 200
        back = await client.post(f"{API}/policies/rollback", json={"version": 1})
        assert back.json()["version"] == 3
        kept = (await client.get(f"{API}/policies/versions", params={"before": 3})).json()
        assert [one["version"] for one in kept["versions"]] == [2, 1]
        assert "over_granular" in (await client.get(f"{API}/policies/versions/2")).json()["text"]


async def test_services_are_declared_shown_and_withdrawn(connect, ruled):
    async with connect(ruled) as client:
        made = await client.put(f"{API}/services/new", json=SERVICE)
        assert made.status_code == 200, made.text
        assert made.json()["instances"][0]["capacity"] == 1.0
        names = [x["name"] for x in (await client.get(f"{API}/services")).json()["services"]]
        assert names == ["db", "new", "web"]
        assert (await client.get(f"{API}/services/new")).json()["port"] == 80
        assert (await client.delete(f"{API}/services/new")).status_code == 204
        assert (await client.get(f"{API}/services/new")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("put", "policies", {"text": "a: ["}, 422, "policies:1: not YAML"),
        ("put", "policies", {"text": "rules: [{name: r, action: divert, at: [q]}]"}, 422, "'q'"),
        ("put", "policies", {}, 422, "either text or content"),
        ("put", "policies", {"text": "", "colour": 1}, 422, "colour"),
        ("put", "policies", {"text": "", "expected_version": 7}, 409, "not 7"),
        ("post", "policies/plan", {"content": {"rules": 3}}, 422, "rules"),
        ("post", "policies/rollback", {"version": 9}, 404, "no version 9"),
        ("get", "policies/versions/9", None, 404, "no version 9"),
        ("get", "services/none", None, 404, "no service 'none'"),
        ("delete", "services/none", None, 404, "no service 'none'"),
        ("put", "services/x", {**SERVICE, "address": "nowhere"}, 409, "nowhere"),
        ("put", "services/x", {**SERVICE, "port": 0}, 422, "port"),
        ("put", "services/x", {**SERVICE, "address": "10.9.0.1"}, 409, "web has that address"),
    ],
)
async def test_bad_requests_get_a_problem_that_names_what_is_wrong(
    connect, ruled, method, path, body, status, detail
):
    async with connect(ruled) as client:
        answer = await client.request(method.upper(), f"{API}/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.text


async def test_no_plan_is_told(connect, ruled):
    ruled.desk_of_policies.loop.plan = None
    async with connect(ruled) as client:
        assert (await client.get(f"{API}/policies/rulings")).status_code == 503


class Asked:
    """Answers the commands as the API would, and notes what was asked."""

    def __init__(self, answers):
        self.answers, self.calls = answers, []

    def __call__(self, method, path, body=None, *, instance=None):
        self.calls.append((method, path, body))
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def answers_of(connect, ruled):
    async with connect(ruled) as client:
        planned = (await client.post(f"{API}/policies/plan", json={"text": DIVERT})).json()
        await client.put(f"{API}/policies", json={"text": DIVERT})
        return {
            "policies/plan": planned,
            "policies": {"version": 4, "text": DIVERT},
            "policies/versions": (await client.get(f"{API}/policies/versions")).json(),
            "policies/rulings": (await client.get(f"{API}/policies/rulings")).json(),
            "policies/rollback": {"version": 5},
        }


async def test_commands_show_what_the_api_says(connect, ruled, monkeypatch, tmp_path):
    asked = Asked(await answers_of(connect, ruled))
    monkeypatch.setattr(controller.client, "ask", asked)
    file = tmp_path / "p.yaml"
    file.write_text(DIVERT)

    def call(*arguments, code=0):
        done = CliRunner().invoke(policy, arguments)
        assert done.exit_code == code, done.output
        return done.output

    shown = call("plan", "-f", str(file))
    assert "+ relieve: divert 50 % at d to b, by operator, until it is withdrawn" in shown
    assert "~ web from d: 25 % w1, 75 % w2 -> 12 % w1, 38 % w2, 50 % w3" in shown
    assert "the worst link: " in shown
    assert json.loads(call("plan", "-f", str(file), "--json"))["version"] == 0
    assert call("apply", "-f", str(file), "-m", "why", "--expect", "3").startswith("version 4 is")
    assert asked.calls[-1] == ("PUT", "policies", {
        "text": DIVERT, "name": str(file), "comment": "why", "expected_version": 3})  # fmt: skip
    assert call("rollback", "2") == "version 5 is in force\n"
    assert call("show") == DIVERT + "\n"
    assert "1  1970-01-01 00:16:40Z  operator" in call("versions")
    assert "relieve: divert 50 % at d to b, by operator" in call("rules")
    asked.answers["policies/rollback"] = ClientError("there is no version 9 (any more)", 404)
    assert "no version 9" in call("rollback", "9", code=1)
    call("plan", "-f", str(tmp_path / "none"), code=2)


def test_client_says_when_no_brain_runs(tmp_path):
    with pytest.raises(ClientError, match="no brain runs here"):
        ask("GET", "policies", instance=tmp_path)
    (tmp_path / "state.json").write_text('{"page": "http://127.0.0.1:9"}')
    with pytest.raises(ClientError, match=r"127\.0\.0\.1:9 does not answer"):
        ask("GET", "policies", instance=tmp_path)
