"""The gate: who is let in to what, over http and over sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect

from anlan.core.actor import ALLOWED, Permission, Role
from anlan.settings import Settings
from anlan.web import service
from anlan.web.middleware import BODY_LIMIT, host_of
from anlan.web.security import SESSION_COOKIE
from tests.warn.test_api import ROUTES as WARN_ROUTES
from tests.web.node import PASSWORD, PEOPLE, WebNode, must_change
from tests.web.test_services import ROUTES

SOCKETS = ("/_nicegui_ws/socket.io/?EIO=4&transport=websocket", "/console/live", "/any/other/socket")


async def _open(url: str, path: str, headers: dict[str, str]) -> int:
    """Return the status a socket's handshake was answered with; 101 when it opened."""
    try:
        async with connect(url.replace("http", "ws") + path, additional_headers=headers, user_agent_header=None):
            return 101
    except websockets.InvalidStatus as error:
        return int(error.response.status_code)


@pytest.fixture
def cookie(web: WebNode) -> str:
    with web.browser("operator") as client:
        return client.cookies[SESSION_COOKIE]


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("headers", [{}, {"Origin": "own"}, {"Cookie": f"{SESSION_COOKIE}=guess", "Origin": "own"}])
async def test_sockets_are_refused_to_anonymous_clients(web: WebNode, path: str, headers: dict[str, str]) -> None:
    headers = {name: web.url if value == "own" else value for name, value in headers.items()}
    assert await _open(web.url, path, headers) == 403


@pytest.mark.parametrize("path", SOCKETS)
async def test_sockets_open_for_who_is_signed_in_on_an_own_page(web: WebNode, path: str, cookie: str) -> None:
    assert await _open(web.url, path, {"Cookie": f"{SESSION_COOKIE}={cookie}", "Origin": web.url}) == 101


@pytest.mark.parametrize("path", SOCKETS)
async def test_sockets_open_for_programs_with_a_token(web: WebNode, path: str) -> None:
    assert await _open(web.url, path, {"Authorization": f"Bearer {web.tokens['operator']}"}) == 101


async def test_an_open_socket_ends_with_its_session(web: WebNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anlan.web.middleware.SOCKET_CHECK_S", 0.0)
    with web.browser("engineer") as client:
        headers = {"Cookie": f"{SESSION_COOKIE}={client.cookies[SESSION_COOKIE]}", "Origin": web.url}
        async with connect(web.url.replace("http", "ws") + "/any", additional_headers=headers) as opened:
            await opened.send("one")
            assert await opened.recv() == "one"
            assert client.delete("/api/v1/session").status_code == 204
            await opened.send("two")
            with pytest.raises(websockets.ConnectionClosed):
                await opened.recv()
    assert opened.close_code == 1008


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1:1", None])
async def test_sockets_are_refused_to_pages_of_another_origin(
    web: WebNode, path: str, cookie: str, origin: str | None
) -> None:
    headers = {"Cookie": f"{SESSION_COOKIE}={cookie}"} | ({"Origin": origin} if origin else {})
    assert await _open(web.url, path, headers) == 403


def test_polling_transport_of_the_console_is_guarded_like_its_socket(web: WebNode, cookie: str) -> None:
    address = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    jar = {"Cookie": f"{SESSION_COOKIE}={cookie}"}
    with web.client() as client:
        assert client.get(address).status_code == 401
        assert client.get(address, headers=jar | {"Origin": "http://evil.example"}).status_code == 403
        assert client.post(address, headers=jar).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "own"}, 201),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({}, 403),
    ],
)
def test_changes_by_cookie_must_come_from_an_own_page(
    web: WebNode, cookie: str, headers: dict[str, str], status: int
) -> None:
    headers = {name: web.url if value == "own" else value for name, value in headers.items()}
    wanted = {"name": "csrf", "grants": [{"role": "operator", "scope": "haian"}]}
    with web.client() as client:
        jar = {"Cookie": f"{SESSION_COOKIE}={cookie}"}
        answer = client.post("/api/v1/tokens", json=wanted, headers=headers | jar)
    assert answer.status_code == status, answer.text


def test_signing_in_for_somebody_from_a_foreign_page_is_refused(web: WebNode) -> None:
    with web.client() as client:
        sign_in = {"login": "operator", "password": PASSWORD}
        answer = client.post("/api/v1/session", json=sign_in, headers={"Origin": "http://evil.example"})
    assert answer.json()["type"] == "urn:anlan:problem:foreign-origin"


def test_anonymous_clients_get_a_problem_and_browsers_the_way_in(web: WebNode) -> None:
    with web.client() as client:
        api = client.get("/api/v1/points")
        document = client.get("/api/openapi.json")
        page = client.get("/alarms?priority=1", headers={"Accept": "text/html"})
    assert (api.status_code, document.status_code) == (401, 401)
    assert api.json()["type"] == "urn:anlan:problem:sign-in-required"
    assert api.headers["www-authenticate"].startswith("Bearer")
    assert page.status_code == 303
    assert page.headers["location"] == "/login?after=%2Falarms%3Fpriority%3D1"


@pytest.mark.parametrize("token", ["x", "anl_", "anl_000000000000_x", "anl_000000000000_" + "x" * 500])
def test_tokens_that_never_were_are_refused(web: WebNode, token: str) -> None:
    with web.client() as client:
        assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_security_headers_are_on_every_answer(web: WebNode) -> None:
    with web.client("admin") as client, web.client() as stranger:
        answers = [
            client.get("/api/v1/me"),
            client.get("/api/v1/nothing"),
            stranger.get("/api/v1/me"),
            client.get("/x"),
        ]
    for answer in answers:
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers


def test_bodies_are_bounded_whether_announced_or_not(web: WebNode) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(BODY_LIMIT // 65_536 + 2):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    with web.client("admin") as client:
        announced = client.post("/api/v1/users", content=b" " * (BODY_LIMIT + 1), headers=headers)
        hidden = client.post("/api/v1/users", content=endless(), headers=headers)
    assert (announced.status_code, hidden.status_code) == (413, 413)
    assert announced.json()["type"] == hidden.json()["type"] == "urn:anlan:problem:too-large"


def test_a_client_that_never_ends_its_request_head_is_cut_off(web: WebNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anlan.web.protocol.HEAD_TIME_S", 0.3)
    with socket.create_connection(("127.0.0.1", web.settings.web_port), timeout=5) as slow:
        slow.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n")
        assert slow.recv(1000) == b""
    with web.client() as client:
        assert client.get("/api/v1/health").status_code == 200


def test_a_head_without_end_is_cut_off(web: WebNode) -> None:
    def talk(peer: socket.socket) -> None:
        peer.sendall(b"GET /api/v1/health HTTP/1.1\r\n")
        for _ in range(2000):
            peer.sendall(b"X-Filler: " + b"x" * 8000 + b"\r\n")

    with socket.create_connection(("127.0.0.1", web.settings.web_port), timeout=5) as loud, pytest.raises(OSError):
        talk(loud)


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01", b"\x00" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"{}\n"])
def test_garbage_on_the_listener_stops_nothing(web: WebNode, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", web.settings.web_port), timeout=5) as peer:
        peer.sendall(garbage)
        peer.shutdown(socket.SHUT_WR)
        peer.recv(1000)
    with web.client() as client:
        assert client.get("/api/v1/health").status_code == 200


def test_who_must_change_the_password_reaches_nothing_else(web: WebNode) -> None:
    made = json.loads(_add(web, "fresh").content)
    with httpx.Client(base_url=web.url, headers={"Origin": web.url}) as client:
        signed = client.post("/api/v1/session", json={"login": "fresh", "password": made["password"]})
        assert signed.json()["must_change"] is True
        blocked = client.get("/api/v1/points")
        page = client.get("/alarms", headers={"Accept": "text/html"})
        jar = {"Cookie": f"{SESSION_COOKIE}={client.cookies[SESSION_COOKIE]}", "Origin": web.url}
        assert asyncio.run(_open(web.url, "/console/live", jar)) == 403
        changed = client.post("/api/v1/session/password", json={"current": made["password"], "new": "Harbour-Light-7"})
        assert changed.status_code == 204, changed.text
        assert client.get("/api/v1/points").status_code == 200
    assert blocked.json()["type"] == "urn:anlan:problem:password-change-required"
    assert (page.status_code, page.headers["location"]) == (303, "/password")


def test_a_revoked_session_loses_its_open_stream(web: WebNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anlan.web.sse.CHECK_S", 0.2)
    monkeypatch.setattr("anlan.web.sse.HEARTBEAT_S", 0.2)
    with web.browser("regulator") as client:
        with client.stream("GET", "/api/v1/stream/alarms") as stream:
            chunks = stream.iter_raw()
            assert b"event: position" in next(chunks)
            with web.client("admin") as admin:
                sessions = admin.get("/api/v1/sessions").json()
                mine = [item["id"] for item in sessions if item["login"] == "regulator"]
                assert [admin.delete(f"/api/v1/sessions/{item}").status_code for item in mine] == [204] * len(mine)
            began = time.monotonic()
            assert b"".join(chunks).replace(b": alive\n\n", b"") == b""
            assert time.monotonic() - began < 10
        assert client.get("/api/v1/me").status_code == 401


def _add(web: WebNode, login: str) -> httpx.Response:
    with web.client("admin") as admin:
        return admin.post("/api/v1/users", json={"login": login, "grants": [{"role": "operator", "scope": "haian"}]})


# --- every role and every route ---------------------------------------------------------------------------------------

# What each route of the web floor needs; None: any sign-in. Routes that are missing here fail the test below.
NEEDS: dict[tuple[str, str], Permission | None] = {
    ("GET", "/v1/system"): None,
    ("GET", "/v1/me"): None,
    ("GET", "/v1/session"): None,
    ("GET", "/v1/me/sessions"): None,
    ("GET", "/v1/tokens"): None,
    ("GET", "/v1/roles"): None,
    ("GET", "/v1/plant"): None,
    ("GET", "/v1/places"): None,
    ("GET", "/v1/points"): None,
    ("GET", "/v1/alarm-definitions"): None,
    ("GET", "/v1/zones"): None,
    ("GET", "/v1/stock"): None,
    ("GET", "/v1/positions"): None,
    ("GET", "/v1/values"): None,
    ("GET", "/v1/journal"): None,
    ("GET", "/v1/audit"): Permission.VIEW_AUDIT,
    ("GET", "/v1/users"): Permission.ADMINISTER,
    ("GET", "/v1/users/{login}"): Permission.ADMINISTER,
    ("POST", "/v1/users"): Permission.ADMINISTER,
    ("PATCH", "/v1/users/{login}"): Permission.ADMINISTER,
    ("POST", "/v1/users/{login}/password"): Permission.ADMINISTER,
    ("GET", "/v1/sessions"): Permission.ADMINISTER,
    ("DELETE", "/v1/sessions/{session_id}"): Permission.ADMINISTER,
}
# Public, about oneself with a session only, or needing parameters: each has tests of its own.
ELSEWHERE = {
    "/v1/health",
    "/v1/session",
    "/v1/session/options",
    "/v1/session/password",
    "/v1/me/second-factor",
    "/v1/me/second-factor/confirm",
    "/v1/me/second-factor/remove",
    "/v1/me/sessions/{session_id}",
    "/v1/tokens",
    "/v1/tokens/{token_id}",
    "/v1/points/{path}",
    "/v1/values/{path}",
    "/v1/series",
    "/v1/export",
    "/v1/stream/values",
    "/v1/stream/alarms",
}


def _example(path: str) -> str:
    ids = {"shift": "s1", "entry": "e1", "bypass": "b1", "change": "c1", "hold": "h1", "barrier": "dike", "work": "w1"}
    for name, value in ids.items():
        path = path.replace(f"{{{name}_id}}", value)
    for name, value in (("warning", "W1"), ("model", "seal"), ("flood", "desk-1@5")):
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{sequence}", "7").removeprefix("/v1")


def test_every_route_is_in_the_matrix(web: WebNode) -> None:
    with web.client("admin") as client:
        paths = client.get("/api/openapi.json").json()["paths"]
    routes = {(method.upper(), path) for path, item in paths.items() for method in item}
    handed_on = {(method, path.partition("?")[0]) for method, path, *_ in (*ROUTES, *WARN_ROUTES)}
    rest = {route for route in routes - NEEDS.keys() if route[1] not in ELSEWHERE}
    assert {(method, _example(path)) for method, path in rest} == handed_on
    assert NEEDS.keys() <= routes


@pytest.mark.parametrize("who", [name for name in PEOPLE if name != "nobody"])
def test_every_role_gets_what_it_may_and_is_refused_the_rest(web: WebNode, who: str) -> None:
    roles = {grant.role for grant in PEOPLE[who]}
    allowed = frozenset().union(*(ALLOWED[role] for role in roles))
    wrong = {}
    with web.client(who) as client:
        for (method, path), permission in NEEDS.items():
            address = "/api" + path.replace("{login}", "absent").replace("{session_id}", "absent")
            headers = {"If-Match": '"1"'}
            body = {"login": "no blanks"} if (method, path) == ("POST", "/v1/users") else {}
            status = client.request(method, address, json=body, headers=headers).status_code
            expected = {200, 404, 422} if permission is None or permission in allowed else {403}
            if status not in expected:
                wrong[method, path] = status
    assert wrong == {}


def test_only_administrators_administer() -> None:
    assert [role for role in Role if Permission.ADMINISTER in ALLOWED[role]] == [Role.ADMINISTRATOR]


# --- where it may listen ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "console.example"])
def test_does_not_listen_beyond_loopback_without_tls(host: str) -> None:
    with pytest.raises(Exception, match="without TLS"):
        service.check_listen(Settings(web_host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_listens_on_loopback_without_tls(host: str) -> None:
    service.check_listen(Settings(web_host=host))


def test_a_taken_port_is_named(web: WebNode) -> None:
    with pytest.raises(Exception, match=f"{web.settings.web_port}.*cannot listen"):
        service.listen(web.settings)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://Console.Example", "console.example"),
        ("https://console.example:443", "console.example"),
        ("http://127.0.0.1:8060", "127.0.0.1:8060"),
        ("[::1]:8060", "::1:8060"),
        ("null", "null"),
        ("http://x:port", ""),
    ],
)
def test_origins_are_compared_in_one_form(text: str, host: str) -> None:
    assert host_of(text) == host


def test_must_change_takes_force_for_sessions_that_are_open(web: WebNode) -> None:
    _add(web, "slacker")
    with web.client("admin") as admin:
        password = admin.post("/api/v1/users/slacker/password").json()["password"]
    with web.browser("slacker", password) as client:
        new = {"current": password, "new": "Quiet-Anchor-19"}
        assert client.post("/api/v1/session/password", json=new).status_code == 204
        must_change(web.settings, "slacker")
        deadline = time.monotonic() + 5
        while client.get("/api/v1/points").status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/api/v1/points").status_code == 403
