"""Sign-in at an OpenID provider, end to end over sockets: good ways in, and everything that must be refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from anlan.core.actor import Grant, Role
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.web.auth.oidc import parse_roles, provider_of
from anlan.web.security import SESSION_COOKIE
from tests.web.node import WebNode
from tests.web.provider import Provider

ROLES = '{"operators": "operator@haian", "safety": ["safety-manager", "auditor"]}'


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def console(web: WebNode, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A browser before a console that knows the provider."""
    extra = {"oidc_issuer": provider.issuer, "oidc_client_id": "anlan", "oidc_roles": ROLES}
    monkeypatch.setattr(web.context.accounts, "settings", replace(web.settings, extra=extra))
    provider.claims = {"sub": "42", "preferred_username": "zhang.wei", "name": "张伟", "groups": ["operators", "other"]}
    provider.wrong = {}
    provider.signing = provider.key
    with httpx.Client(base_url=web.url, follow_redirects=True) as client:
        yield client


def sign_in(client: httpx.Client, after: str = "/api/v1/me") -> httpx.Response:
    return client.get("/oidc/start", params={"after": after})


def test_signs_in_with_the_roles_the_provider_gives(console: httpx.Client) -> None:
    me = sign_in(console).json()
    assert (me["login"], me["name"], me["must_change"]) == ("zhang.wei", "张伟", False)
    assert me["grants"] == [{"role": "operator", "scope": "haian"}]
    assert console.cookies[SESSION_COOKIE]


def test_roles_follow_the_provider_at_each_sign_in(console: httpx.Client, provider: Provider) -> None:
    sign_in(console)
    provider.claims["groups"] = "safety"
    roles = {grant["role"] for grant in sign_in(console).json()["grants"]}
    assert roles == {"safety-manager", "auditor"}


def test_a_local_account_of_the_same_name_is_not_taken_over(console: httpx.Client, provider: Provider) -> None:
    provider.claims |= {"sub": "43", "preferred_username": "admin"}
    me = sign_in(console).json()
    assert me["login"].startswith("admin-")
    assert me["grants"] == [{"role": "operator", "scope": "haian"}]


def test_without_a_mapped_role_nobody_comes_in(console: httpx.Client, provider: Provider) -> None:
    provider.claims |= {"sub": "44", "groups": ["visitors"]}
    answer = sign_in(console)
    assert answer.status_code == 403
    assert SESSION_COOKIE not in console.cookies


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "http://other.example"},
        {"aud": "another"},
        {"nonce": "replayed"},
        {"exp": int(time.time()) - 3600},
        {"sub": None},
    ],
)
def test_identity_tokens_that_are_not_for_us_are_refused(
    console: httpx.Client, provider: Provider, wrong: dict[str, Any]
) -> None:
    provider.wrong = wrong
    answer = sign_in(console)
    assert answer.status_code == 401, answer.text
    assert SESSION_COOKIE not in console.cookies


def test_identity_tokens_of_another_key_are_refused(console: httpx.Client, provider: Provider) -> None:
    provider.signing = RSAKey.generate_key(2048, {"kid": "k1"})
    assert sign_in(console).status_code == 401


def test_a_provider_that_is_another_issuer_is_refused(console: httpx.Client, provider: Provider) -> None:
    provider.wrong = {"issuer": "http://other.example"}
    assert sign_in(console).status_code == 503


def test_an_answer_works_once_and_only_in_the_browser_that_asked(console: httpx.Client, web: WebNode) -> None:
    console.follow_redirects = False
    to_provider = console.get("/oidc/start").headers["location"]
    back = httpx.get(to_provider).headers["location"]
    with httpx.Client(base_url=web.url) as other:
        assert other.get(back).status_code == 401
    first = console.get(back)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    again = console.get(back)
    assert again.status_code == 401


@pytest.mark.parametrize("after", ["//evil.example", "/\\evil.example", "https://evil.example", "x", "/" + "x" * 500])
def test_sign_in_leads_nowhere_else(console: httpx.Client, after: str) -> None:
    console.follow_redirects = False
    back = httpx.get(console.get("/oidc/start", params={"after": after}).headers["location"]).headers["location"]
    assert console.get(back).headers["location"] == "/"


def test_without_a_provider_there_is_no_such_way_in(web: WebNode) -> None:
    with web.client() as client:
        assert client.get("/oidc/start").status_code == 404


def test_a_provider_beyond_this_machine_is_reached_by_https_only(web: WebNode) -> None:
    with pytest.raises(InvalidInputError, match="https"):
        provider_of(replace(web.settings, extra={"oidc_issuer": "http://sso.example"}))


def test_roles_are_read_from_the_settings() -> None:
    assert parse_roles(ROLES)["safety"] == (Grant(Role.SAFETY_MANAGER), Grant(Role.AUDITOR))


@pytest.mark.parametrize("text", ["", "[]", '{"a": "king"}', '{"a": 7}', '{"a": "operator@//"}'])
def test_roles_that_cannot_be_read_are_named(text: str) -> None:
    with pytest.raises(AnlanError):
        parse_roles(text)
