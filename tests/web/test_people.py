"""People, tokens and one's own account over http, as a browser does it; audit as it reaches the stream."""

from __future__ import annotations

import json
import time
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pyotp
import pytest

from anlan.core.events import EventType
from anlan.web.security import SESSION_COOKIE
from tests.web.node import PASSWORD, WebNode


def add(web: WebNode, login: str, **fields: Any) -> httpx.Response:
    grants = [{"role": "operator", "scope": "haian"}]
    with web.client("admin") as admin:
        return admin.post("/api/v1/users", json={"login": login, "grants": grants} | fields)


def settle(web: WebNode, login: str) -> None:
    """Add a person with ``PASSWORD`` as their own choice."""
    first = "Interim-Pass-77"
    assert add(web, login, password=first).status_code == 201
    with web.browser(login, first) as client:
        changed = client.post("/api/v1/session/password", json={"current": first, "new": PASSWORD})
        assert changed.status_code == 204


def test_the_session_cookie_is_out_of_reach_for_scripts_and_foreign_pages(web: WebNode) -> None:
    with httpx.Client(base_url=web.url, headers={"Origin": web.url}) as client:
        answer = client.post("/api/v1/session", json={"login": "operator", "password": PASSWORD})
    cookie = SimpleCookie(answer.headers["set-cookie"])[SESSION_COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "lax"
    assert cookie["path"] == "/"
    assert not cookie["secure"]
    assert cookie.value not in answer.text


def test_me_says_what_one_may_do_where(web: WebNode) -> None:
    with web.browser("operator") as client:
        me = client.get("/api/v1/me").json()
    assert me["login"] == "operator"
    assert set(me["permissions"]["haian"]) == {"view", "acknowledge", "shelve", "reset", "log-shift"} | {
        "judge-warning",
        "record-presence",
    }


def test_signing_out_ends_the_session_at_once(web: WebNode) -> None:
    with web.browser("operator") as client:
        cookie = client.cookies[SESSION_COOKIE]
        assert client.delete("/api/v1/session").status_code == 204
        again = client.get("/api/v1/me", headers={"Cookie": f"{SESSION_COOKIE}={cookie}"})
    assert again.status_code == 401


def test_one_sees_and_ends_ones_own_sessions(web: WebNode) -> None:
    settle(web, "traveller")
    with web.browser("traveller") as here, web.browser("traveller") as there:
        mine = here.get("/api/v1/me/sessions").json()
        other = [item["id"] for item in mine if not item["current"]]
        assert len([item for item in mine if item["current"]]) == 1
        for item in other:
            assert here.delete(f"/api/v1/me/sessions/{item}").status_code == 204
        assert here.get("/api/v1/me").status_code == 200
        assert there.get("/api/v1/me").status_code == 401
        assert here.delete("/api/v1/me/sessions/absent").status_code == 404


def test_two_administrators_do_not_overwrite_each_other(web: WebNode) -> None:
    add(web, "shared")
    with web.client("admin") as client:
        read = client.get("/api/v1/users/shared")
        tag = read.headers["etag"]
        bare = client.patch("/api/v1/users/shared", json={"name": "A"})
        first = client.patch("/api/v1/users/shared", json={"name": "A"}, headers={"If-Match": tag})
        second = client.patch("/api/v1/users/shared", json={"name": "B"}, headers={"If-Match": tag})
        forced = client.patch("/api/v1/users/shared", json={"name": "C"}, headers={"If-Match": "*"})
    assert [answer.status_code for answer in (bare, first, second, forced)] == [428, 200, 412, 200]
    assert first.headers["etag"] != tag
    assert forced.json()["name"] == "C"


def test_people_are_paged_by_login(web: WebNode) -> None:
    with web.client("admin") as client:
        whole = [item["login"] for item in client.get("/api/v1/users", params={"limit": 500}).json()["items"]]
        paged, cursor = [], ""
        for _ in whole:
            page = client.get("/api/v1/users", params={"limit": 3, "cursor": cursor}).json()
            paged += [item["login"] for item in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
    assert paged == whole == sorted(whole)


def test_an_administrator_of_a_place_finds_nobody_of_another(web: WebNode) -> None:
    add(web, "neighbour", grants=[{"role": "operator", "scope": "lingang"}])
    with web.client("haian-admin") as client:
        logins = [item["login"] for item in client.get("/api/v1/users", params={"limit": 500}).json()["items"]]
        assert "operator" in logins
        assert "neighbour" not in logins
        assert client.get("/api/v1/users/neighbour").status_code == 404
        assert client.get("/api/v1/users/admin").status_code == 404
        assert client.post("/api/v1/users/neighbour/password").status_code == 404
        outside = {"login": "spy", "grants": [{"role": "regulator", "scope": ""}]}
        assert client.post("/api/v1/users", json=outside).status_code == 404


def test_a_disabled_person_is_out_at_once(web: WebNode) -> None:
    settle(web, "leaver")
    with web.browser("leaver") as client, web.client("admin") as admin:
        off = admin.patch("/api/v1/users/leaver", json={"active": False, "comment": "left"}, headers={"If-Match": "*"})
        assert off.status_code == 200
        assert client.get("/api/v1/me").status_code == 401
        refused = client.post("/api/v1/session", json={"login": "leaver", "password": PASSWORD})
        assert refused.json()["type"] == "urn:anlan:problem:sign-in-refused"


def test_a_token_made_in_the_browser_works_for_a_program(web: WebNode) -> None:
    wanted = {"name": "mes", "grants": [{"role": "operator", "scope": "haian"}], "days": 1}
    with web.browser("operator") as client:
        made = client.post("/api/v1/tokens", json=wanted).json()
        with httpx.Client(base_url=web.url, headers={"Authorization": f"Bearer {made['token']}"}) as program:
            assert program.get("/api/v1/me").json()["login"] == "operator"
            refused = program.post("/api/v1/tokens", json=wanted)
            assert client.delete(f"/api/v1/tokens/{made['info']['id']}").status_code == 204
            assert program.get("/api/v1/me").status_code == 401
        listed = {item["id"]: item for item in client.get("/api/v1/tokens").json()}
    assert refused.status_code == 403
    assert listed[made["info"]["id"]]["revoked"] > 0
    assert made["token"] not in json.dumps(listed)


def test_nobody_ends_the_tokens_of_others(web: WebNode) -> None:
    with web.client("admin") as admin:
        identifier = admin.get("/api/v1/tokens").json()[0]["id"]
    with web.client("engineer") as client:
        assert client.delete(f"/api/v1/tokens/{identifier}").status_code == 404
        assert client.get("/api/v1/tokens?everybody=true").status_code == 403


def test_a_second_factor_from_enrolment_to_removal(web: WebNode) -> None:
    settle(web, "careful")
    with web.browser("careful") as client:
        seed = client.post("/api/v1/me/second-factor").json()["seed"]
        wrong = client.post("/api/v1/me/second-factor/confirm", json={"code": "000000"})
        assert (wrong.status_code, wrong.json()["where"]) == (422, "code")
        codes = client.post("/api/v1/me/second-factor/confirm", json={"code": pyotp.TOTP(seed).now()}).json()["codes"]
        again = client.post("/api/v1/me/second-factor")
        assert again.status_code == 409
        asked = client.post("/api/v1/session", json={"login": "careful", "password": PASSWORD})
        assert asked.json()["type"] == "urn:anlan:problem:second-factor-required"
        inside = client.post("/api/v1/session", json={"login": "careful", "password": PASSWORD, "code": codes[0]})
        assert inside.json()["second_factor"] is True
        spent = client.post("/api/v1/me/second-factor/remove", json={"code": codes[0]})
        assert spent.status_code == 422
        assert client.post("/api/v1/me/second-factor/remove", json={"code": codes[1]}).status_code == 204
        assert client.get("/api/v1/me").json()["second_factor"] is False


@pytest.mark.parametrize("path", ["/session/password", "/me/second-factor", "/me/second-factor/confirm"])
def test_ones_own_secrets_are_not_changed_with_a_token(web: WebNode, path: str) -> None:
    bodies = {"/session/password": {"current": PASSWORD, "new": "x"}, "/me/second-factor/confirm": {"code": "1"}}
    with web.client("operator") as client:
        answer = client.post(f"/api/v1{path}", json=bodies.get(path))
    assert answer.status_code == 403


def test_audit_reaches_the_stream_once_with_who_and_from_where(web: WebNode) -> None:
    add(web, "audited")
    with web.client("admin") as admin:
        change = {"grants": [{"role": "engineer", "scope": "haian"}], "comment": "promoted"}
        admin.patch("/api/v1/users/audited", json=change, headers={"If-Match": "*"})
    deadline = time.monotonic() + 10
    events: list[dict[str, Any]] = []
    while len(events) < 2 and time.monotonic() < deadline:
        events = [item for item in web.run(_events(web)) if item["subject"] == "users/audited"]
    assert [item["type"] for item in events] == [EventType.AUDIT] * 2
    last = events[-1]["data"]
    assert (last["who"], last["action"], last["comment"]) == ("admin", "user.change", "promoted")
    assert last["address"] == "127.0.0.1"
    assert (last["before"]["grants"], last["after"]["grants"]) == (["operator@haian"], ["engineer@haian"])


async def _events(web: WebNode) -> list[dict[str, Any]]:
    state = (await web.fabric.jetstream.stream_info("EVENTS")).state
    found = []
    for sequence in range(1, state.last_seq + 1):
        message = await web.fabric.jetstream.get_msg("EVENTS", sequence, direct=True)
        if message.subject == f"events.{EventType.AUDIT}":
            found.append(json.loads(message.data or b""))
    return found


def test_sign_ins_from_one_address_are_rated(web: WebNode, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = web.api.state.sign_in_bucket
    monkeypatch.setattr(bucket, "_left", {"127.0.0.1": (0.0, time.monotonic())})
    with httpx.Client(base_url=web.url, headers={"Origin": web.url}) as client:
        answer = client.post("/api/v1/session", json={"login": "operator", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


def test_how_one_may_sign_in_is_told_to_anybody(web: WebNode) -> None:
    with web.client() as client:
        options = client.get("/api/v1/session/options").json()
    assert options == {"password": True, "oidc": False, "oidc_name": "", "language": "zh"}
