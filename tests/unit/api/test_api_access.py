"""Tokens, roles, sessions, limits, edits and the audit log: who may do what, and how often."""

import asyncio
import json
import stat

import pytest
from request_desk import RequestDesk

from controller.api import create_app, edits
from controller.api.access import Audit, Limits, Role, TokenBook, TokenError
from controller.api.access.own import OWN, own_token
from controller.api.access.roles import CHANGES, needed
from controller.api.app import Access

API = "/api/v1"
CIRCUIT = {"source": "a", "destination": "d", "name": "x"}


class Watch:
    """A clock that tests move."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def tokens(tmp_path, watch):
    return TokenBook(tmp_path / "tokens.json", watch)


@pytest.fixture
def access(tmp_path, tokens, watch):
    audit = Audit(tmp_path / "audit.log", watch)
    return Access(tokens, audit, None, clock=watch, wall=watch)


@pytest.fixture
def shown(tokens):
    """A token of each role."""
    return {role: tokens.create(role.word, role)[1] for role in Role}


@pytest.fixture
def operated(view):
    view.requests = RequestDesk()
    return view


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_only_hashes_are_kept_and_only_the_owner_reads_them(tokens, tmp_path):
    kept, token = tokens.create("grafana", Role.VIEWER)
    text = (tmp_path / "tokens.json").read_text()
    assert token.split("_", 2)[2] not in text
    assert kept.digest in text
    assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600
    assert tokens.find(token) == kept


def test_a_token_ends_when_it_expires_or_is_revoked_even_by_another_process(
    tokens, tmp_path, watch
):
    short, first = tokens.create("short", Role.VIEWER, 10.0)
    _, second = tokens.create("long", Role.OPERATOR)
    watch.now += 10.0
    assert tokens.find(first) is None
    assert tokens.known(short.id) is None
    other = TokenBook(tmp_path / "tokens.json", watch)
    (kept,) = [one for one in other.all() if one.name == "long"]
    assert other.revoke(kept.id)
    assert not other.revoke(kept.id)
    assert tokens.find(second) is None


@pytest.mark.parametrize("wrong", ["", "fst", "fst_1_2", "bearer", "fst_ÿ_x", "a_b_c_d"])
def test_what_is_no_token_is_nobodys(tokens, wrong):
    tokens.create("one", Role.ADMIN)
    assert tokens.find(wrong) is None


@pytest.mark.parametrize(
    ("name", "lifetime"), [("", None), ("x" * 65, None), ("a\n", None), ("ok", 0.0), ("ok", -1.0)]
)
def test_a_token_that_makes_no_sense_is_not_made(tokens, name, lifetime):
    with pytest.raises(TokenError):
        tokens.create(name, Role.VIEWER, lifetime)
    assert tokens.all() == ()


def test_names_are_taken_once(tokens):
    tokens.create("one", Role.VIEWER)
    with pytest.raises(TokenError, match="already"):
        tokens.create("one", Role.ADMIN)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"version": 9, "tokens": []}', '{"version":1,"tokens":[{"id":"a"}]}']
)
def test_a_damaged_file_lets_nobody_in(tmp_path, watch, content):
    (tmp_path / "tokens.json").write_text(content)
    with pytest.raises(TokenError, match=r"tokens\.json"):
        TokenBook(tmp_path / "tokens.json", watch)


def test_the_machines_own_token_is_made_once_and_again_when_it_is_lost(tokens, tmp_path):
    own_token(tokens, tmp_path)
    first = (tmp_path / OWN).read_text()
    own_token(tokens, tmp_path)
    assert (tmp_path / OWN).read_text() == first
    assert stat.S_IMODE((tmp_path / OWN).stat().st_mode) == 0o600
    (tmp_path / OWN).write_text("rubbish")
    own_token(tokens, tmp_path)
    assert tokens.find((tmp_path / OWN).read_text().strip()).role == "admin"
    assert len(tokens.all()) == 1


async def test_every_route_asks_for_its_role(connect, operated, access, shown):
    """The role matrix: each route with no token, a wrong one, and one of each role."""
    document = create_app(operated, access).openapi()
    asked = 0
    async with connect(operated, access=access, rates=dict.fromkeys(access.rates, 1e6)) as client:
        for path, operations in document["paths"].items():
            where = path.replace("{", "").replace("}", "")
            if where.endswith("/stream"):
                continue
            for method in operations:
                role = needed(method.upper(), where)
                for holder in (None, *Role):
                    headers = bearer(shown[holder]) if holder else {}
                    answer = await client.request(method, where, headers=headers, json={})
                    asked += 1
                    if role is None or (holder is not None and holder >= role):
                        assert answer.status_code not in {401, 403}, (method, path, holder)
                    elif holder is None:
                        assert answer.status_code == 401, (method, path)
                        assert answer.headers["www-authenticate"].startswith("Bearer")
                    else:
                        assert answer.status_code == 403, (method, path, holder)
                wrong = await client.request(method, where, headers=bearer("fst_1_2"), json={})
                assert role is None or wrong.status_code == 401
    assert asked > 100


async def test_documented_roles_are_those_that_are_asked_for(operated, access):
    document = create_app(operated, access).openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            role = needed(method.upper(), path)
            assert operation.get("x-role") == (role.word if role else None)
            assert bool(operation.get("security")) == (role is not None)
            assert "default" in operation["responses"], (method, path)
            if method.upper() in CHANGES and role is not None:
                names = {one["name"] for one in operation["parameters"]}
                assert {"If-Match", "Idempotency-Key"} <= names


async def test_one_on_this_machine_may_look_but_not_touch(connect, operated, access):
    async with connect(operated, access=access, anonymous=Role.VIEWER) as client:
        assert (await client.get(f"{API}/status")).status_code == 200
        refused = await client.put(f"{API}/freeze", json={"frozen": True})
        assert refused.status_code == 401
        assert "operator" in refused.json()["detail"]
    assert not operated.requests.book.wanted.frozen


async def test_a_session_reads_by_cookie_and_changes_with_its_secret(
    connect, operated, access, shown
):
    async with connect(operated, access=access) as client:
        begun = await client.post(f"{API}/session", json={"token": shown[Role.OPERATOR]})
        assert begun.status_code == 201
        cookie = begun.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert (await client.get(f"{API}/status")).status_code == 200
        body = {"frozen": True}
        assert (await client.put(f"{API}/freeze", json=body)).status_code == 403
        wrong = {"X-CSRF-Token": "x"}
        assert (await client.put(f"{API}/freeze", json=body, headers=wrong)).status_code == 403
        right = {"X-CSRF-Token": (await client.get(f"{API}/session")).json()["csrf"]}
        assert (await client.put(f"{API}/freeze", json=body, headers=right)).status_code == 200
        assert (await client.delete(f"{API}/session")).status_code == 204
        assert (await client.get(f"{API}/status")).status_code == 401


async def test_a_session_ends_with_its_token_and_with_time(
    connect, operated, access, tokens, watch
):
    kept, token = tokens.create("someone", Role.VIEWER)
    async with connect(operated, access=access) as client:
        await client.post(f"{API}/session", json={"token": token})
        assert (await client.get(f"{API}/status")).status_code == 200
        tokens.revoke(kept.id)
        assert (await client.get(f"{API}/status")).status_code == 401
        _, token = tokens.create("someone", Role.VIEWER)
        await client.post(f"{API}/session", json={"token": token})
        watch.now += 13 * 3600
        assert (await client.get(f"{API}/status")).status_code == 401
        assert (await client.post(f"{API}/session", json={"token": "fst_a_b"})).status_code == 401


async def test_who_asks_too_often_waits_and_others_do_not(connect, operated, access, shown, watch):
    rates = {"read": 2.0, "change": 1.0, "login": 1.0}
    async with connect(operated, access=access, rates=rates) as client:
        viewer, admin = bearer(shown[Role.VIEWER]), bearer(shown[Role.ADMIN])
        seen = [(await client.get(f"{API}/status", headers=viewer)).status_code for _ in range(6)]
        assert seen == [200] * 4 + [429] * 2
        assert (await client.get(f"{API}/status", headers=admin)).status_code == 200
        late = await client.get(f"{API}/status", headers=viewer)
        watch.now += float(late.headers["retry-after"])
        assert (await client.get(f"{API}/status", headers=viewer)).status_code == 200
        guesses = [
            (await client.get(f"{API}/status", headers=bearer(f"fst_{n}_x"))).status_code
            for n in range(4)
        ]
        assert guesses == [401, 401, 429, 429]


def test_limits_forget_those_who_were_silent_longest(watch):
    limits = Limits(watch, {"read": 1.0})
    for number in range(5000):
        assert limits.wait_s(str(number), "read") == 0.0
    assert len(limits._buckets) <= 4096


async def test_changes_and_refusals_are_in_the_audit_log_and_secrets_are_not(
    connect, operated, access, shown, tmp_path, watch
):
    async with connect(operated, access=access) as client:
        admin = bearer(shown[Role.ADMIN])
        await client.put(f"{API}/freeze", json={"frozen": True}, headers=admin)
        await client.put(f"{API}/freeze", json={}, headers=bearer(shown[Role.VIEWER]))
        await client.get(f"{API}/status", headers=admin)
        made = await client.post(f"{API}/tokens", json={"name": "n", "role": "viewer"},
                                 headers=admin)  # fmt: skip
        found = (await client.get(f"{API}/audit?limit=2", headers=admin)).json()
        assert [line["path"] for line in found["lines"]] == [f"{API}/tokens", f"{API}/freeze"]
        assert found["lines"][1]["status"] == 403
        assert found["lines"][1]["who"] == "viewer"
        assert found["total"] == 3
        rest = await client.get(f"{API}/audit?limit=2&cursor={found['next']}", headers=admin)
        assert rest.json()["lines"][0]["status"] == 200
    text = (tmp_path / "audit.log").read_text()
    assert [json.loads(line)["method"] for line in text.splitlines()] == ["PUT", "PUT", "POST"]
    assert made.json()["token"] not in text
    # the next brain remembers
    again = Audit(tmp_path / "audit.log", watch)
    assert len(again.recent) == 3


def test_an_audit_log_is_bounded_and_survives_a_damaged_line_and_a_full_disk(tmp_path, watch):
    path = tmp_path / "audit.log"
    path.write_text('{"who": "a"}\n{"who"')
    audit = Audit(path, watch)
    assert [line["who"] for line in audit.recent] == ["a"]
    path.write_bytes(b"x" * (9 << 20))
    audit.write({"who": "b"})
    assert (tmp_path / "audit.log.1").stat().st_size == 9 << 20
    assert "b" in path.read_text()
    path.unlink()
    path.mkdir()
    audit.write({"who": "c"})
    assert audit.failed == 1


async def test_a_token_is_made_shown_once_used_and_revoked(connect, operated, access, shown):
    async with connect(operated, access=access) as client:
        admin = bearer(shown[Role.ADMIN])
        body = {"name": "ci", "role": "operator", "lifetime_s": 60.0}
        made = (await client.post(f"{API}/tokens", json=body, headers=admin)).json()
        mine = bearer(made["token"])
        assert (await client.get(f"{API}/mode", headers=mine)).json() == {"mode": "act"}
        listed = await client.get(f"{API}/tokens", headers=admin)
        assert made["token"] not in listed.text
        assert "digest" not in listed.text
        assert (await client.post(f"{API}/tokens", json=body, headers=admin)).status_code == 409
        gone = await client.delete(f"{API}/tokens/{made['id']}", headers=admin)
        assert gone.status_code == 204
        assert (await client.get(f"{API}/mode", headers=mine)).status_code == 401
        (own,) = [t for t in (await client.get(f"{API}/tokens", headers=admin)).json()["tokens"]
                  if t["name"] == "admin"]  # fmt: skip
        locked = await client.delete(f"{API}/tokens/{own['id']}", headers=admin)
        assert locked.status_code == 409


async def test_an_etag_says_that_nothing_changed(connect, operated):
    async with connect(operated) as client:
        first = await client.get(f"{API}/status")
        tag = first.headers["etag"]
        again = await client.get(f"{API}/status", headers={"If-None-Match": f'"x", {tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        operated.ticks.pop()
        changed = await client.get(f"{API}/status", headers={"If-None-Match": tag})
        assert changed.status_code == 200


async def test_an_edit_of_what_has_changed_meanwhile_is_refused(connect, operated):
    async with connect(operated) as client:
        await client.post(f"{API}/requests", json=CIRCUIT)
        tag = (await client.get(f"{API}/requests/x")).headers["etag"]
        mine, theirs = {"If-Match": tag}, {"If-Match": f'W/"no", {tag}'}
        first = await client.patch(f"{API}/requests/x", json={"share": 0.5}, headers=theirs)
        assert first.status_code == 200
        late = await client.patch(f"{API}/requests/x", json={"share": 0.9}, headers=mine)
        assert late.status_code == 412
        assert (await client.get(f"{API}/requests/x")).json()["share"] == 0.5
        none = await client.delete(f"{API}/requests/y", headers={"If-Match": "*"})
        assert none.status_code == 412
        any_of_them = await client.delete(f"{API}/requests/x", headers={"If-Match": "*"})
        assert any_of_them.status_code == 204


async def test_of_two_edits_of_the_same_state_one_is_made(connect, operated):
    async with connect(operated) as client:
        await client.post(f"{API}/requests", json=CIRCUIT)
        tag = (await client.get(f"{API}/requests/x")).headers["etag"]
        answers = await asyncio.gather(
            *(
                client.patch(f"{API}/requests/x", json={"share": s}, headers={"If-Match": tag})
                for s in (0.25, 0.5, 0.75)
            )
        )
        assert sorted(one.status_code for one in answers) == [200, 412, 412]


async def test_the_same_change_with_the_same_key_is_made_once(connect, operated, access, shown):
    async with connect(operated, access=access) as client:
        key = {**bearer(shown[Role.OPERATOR]), "Idempotency-Key": "k1"}
        made = [await client.post(f"{API}/requests", json=CIRCUIT, headers=key) for _ in range(3)]
        assert [one.status_code for one in made] == [201] * 3
        assert made[0].json() == made[2].json()
        assert "idempotency-replayed" in made[2].headers
        assert len(operated.requests.book.wanted.circuits) == 1
        other = await client.post(f"{API}/requests", json={**CIRCUIT, "name": "y"}, headers=key)
        assert other.status_code == 422
        # someone else's key is another key
        theirs = {**bearer(shown[Role.ADMIN]), "Idempotency-Key": "k1"}
        clash = await client.post(f"{API}/requests", json=CIRCUIT, headers=theirs)
        assert clash.status_code == 409
        long = {**bearer(shown[Role.ADMIN]), "Idempotency-Key": "k" * 201}
        assert (await client.post(f"{API}/requests", json=CIRCUIT, headers=long)).status_code == 400


@pytest.mark.parametrize("cursor", ["x", "%00", "ZnJvbTotMQ", "ZnJvbTphYmM", "a" * 99])
async def test_a_cursor_that_is_not_ours_is_refused(connect, operated, cursor):
    async with connect(operated) as client:
        answer = await client.get(f"{API}/circuits?cursor={cursor}")
        assert answer.status_code == 400


async def test_pages_follow_one_another_to_the_end(connect, operated):
    async with connect(operated) as client:
        whole = (await client.get(f"{API}/circuits")).json()
        assert whole["next"] is None
        found, cursor = [], ""
        while cursor is not None:
            page = (await client.get(f"{API}/circuits?limit=1&cursor={cursor}")).json()
            found += page["circuits"]
            cursor = page["next"]
        assert found == whole["circuits"]
        assert len(found) == whole["total"]


async def test_a_key_is_good_while_others_come_and_the_oldest_goes(connect, operated, monkeypatch):
    monkeypatch.setattr(edits, "KEYS_MOST", 3)
    async with connect(operated) as client:

        async def put(key, frozen):
            return await client.put(
                f"{API}/freeze", json={"frozen": frozen}, headers={"Idempotency-Key": key}
            )

        for number in range(3):
            await put(f"k{number}", True)
        # the table is full: what is asked again is still not made again
        for _ in range(2):
            assert "idempotency-replayed" in (await put("k0", True)).headers
        await put("k3", True)
        assert "idempotency-replayed" not in (await put("k0", True)).headers


async def test_one_who_does_not_read_holds_up_no_change_of_others(operated):
    app = create_app(operated)
    stuck = asyncio.Event()

    def change(send):
        body = b'{"frozen": true}'
        scope = {
            "type": "http", "method": "PUT", "path": f"{API}/freeze", "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"),
                        (b"content-length", str(len(body)).encode()), (b"idempotency-key", b"k")],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http",
            "http_version": "1.1", "root_path": "", "raw_path": b"",
        }  # fmt: skip

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        return app(scope, receive, send)

    async def deaf(_message):
        stuck.set()
        await asyncio.sleep(3600)

    seen = []

    async def heed(message):
        seen.append(message)

    await change(heed)  # so that the deaf one's answer is a replayed one
    waiting = asyncio.create_task(change(deaf))
    await asyncio.wait_for(stuck.wait(), 5)
    await asyncio.wait_for(change(heed), 5)
    assert [one["status"] for one in seen if "status" in one] == [200, 200]
    waiting.cancel()


def test_a_file_that_is_damaged_while_it_runs_changes_nothing(tokens, tmp_path):
    _, token = tokens.create("one", Role.VIEWER)
    good = (tmp_path / "tokens.json").read_text()
    (tmp_path / "tokens.json").write_text("{")
    assert tokens.find(token).name == "one"
    assert tokens.find("fst_1_2") is None
    assert tokens.damaged == 2
    (tmp_path / "tokens.json").write_text(good + "\n")
    assert tokens.find(token).name == "one"
    assert tokens.damaged == 0
