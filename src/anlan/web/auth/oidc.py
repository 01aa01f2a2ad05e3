"""Sign-in at the site's own OpenID provider: authorization code with PKCE, roles mapped from a claim.

Settings (``extra``): ``oidc_issuer``, ``oidc_client_id``, ``oidc_client_secret`` (the name of a secret, empty for a
public client), ``oidc_claim`` (default ``groups``), ``oidc_roles`` (JSON: claim value to ``role@place`` or a list of
those) and ``oidc_redirect`` (the console's own callback address when a proxy hides it). These are the only requests the
web process sends out, and only to the issuer that the settings name.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode, urlsplit

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from fastapi import APIRouter, Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from anlan.core.actor import Actor, Grant, Role
from anlan.core.errors import InvalidInputError, NotFoundError, PermissionDeniedError, UnavailableError
from anlan.core.ids import new_ulid
from anlan.core.time import MINUTE, SECOND
from anlan.settings import Settings
from anlan.web.auth.accounts import Accounts
from anlan.web.auth.secrets import digest, named_secret, random_secret
from anlan.web.auth.sign_in import open_session
from anlan.web.auth.users import check_grants, grants_of, normal_login
from anlan.web.errors import SignInRefusedError
from anlan.web.security import Address, set_session_cookie
from anlan.web.tables import FlowRow, GrantRow, UserRow

if TYPE_CHECKING:
    from joserfc.jwk import KeySetSerialization

router = APIRouter(include_in_schema=False)

_FLOW_LIFE = 10 * MINUTE
_STATE_COOKIE = "anlan_oidc"
_TIMEOUT_S = 10.0
_LEEWAY_S = 60
# What an identity token may be signed with; "none" and shared-secret algorithms are not among them.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]


@dataclass(frozen=True, slots=True)
class Provider:
    """The provider as the settings name it."""

    issuer: str
    client_id: str
    secret: str
    claim: str
    roles: dict[str, tuple[Grant, ...]]
    redirect: str


def provider_of(settings: Settings) -> Provider:
    """Return the provider of the settings.

    Raises:
        NotFoundError: none is set.
        InvalidInputError: the settings break their rules.
    """
    extra = settings.extra
    issuer = extra.get("oidc_issuer", "").rstrip("/")
    if not issuer:
        raise NotFoundError("no OpenID provider is set up here", fix="set oidc_issuer and oidc_client_id")
    parts = urlsplit(issuer)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise InvalidInputError(
            "the provider must be reached by https", where="oidc_issuer", fix=f"https://{parts.netloc}"
        )
    name = extra.get("oidc_client_secret", "")
    return Provider(
        issuer=issuer,
        client_id=extra.get("oidc_client_id", ""),
        secret=named_secret(settings, name) if name else "",
        claim=extra.get("oidc_claim", "groups"),
        roles=parse_roles(extra.get("oidc_roles", "{}")),
        redirect=extra.get("oidc_redirect", ""),
    )


def parse_roles(text: str) -> dict[str, tuple[Grant, ...]]:
    """Return the grants each value of the claim gives: ``{"plant-operators": "operator@haian"}``.

    Raises:
        InvalidInputError: not such a mapping.
    """
    fix = '{"plant-operators": "operator@haian", "safety": ["safety-manager"]}'
    try:
        table = json.loads(text)
        grants = {
            str(value): tuple(_grant(item) for item in ([given] if isinstance(given, str) else given))
            for value, given in table.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidInputError(f"the roles cannot be read: {error}", where="oidc_roles", fix=fix) from error
    for given in grants.values():
        check_grants(given)
    return grants


def _grant(text: str) -> Grant:
    role, _, place = text.partition("@")
    return Grant(Role(role), place)


async def _fetch(client: httpx.AsyncClient, method: str, url: str, **keywords: Any) -> dict[str, Any]:
    try:
        answer = await client.request(method, url, **keywords)
        answer.raise_for_status()
        document = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(f"the OpenID provider does not answer as it should: {error}", where=url) from error
    if not isinstance(document, dict):
        raise UnavailableError("the OpenID provider does not answer as it should", where=url)
    return document


async def discover(client: httpx.AsyncClient, provider: Provider) -> dict[str, Any]:
    """Return the provider's own description.

    Raises:
        UnavailableError: it does not answer, or is another issuer.
    """
    url = f"{provider.issuer}/.well-known/openid-configuration"
    document = await _fetch(client, "GET", url)
    if str(document.get("issuer", "")).rstrip("/") != provider.issuer:
        raise UnavailableError("the OpenID provider says it is another issuer", where=url)
    return document


def _redirect_uri(request: Request, provider: Provider) -> str:
    return provider.redirect or str(request.url_for("finish_oidc"))


def _own_path(after: str) -> str:
    """Return where to go after sign-in: only a path of this console, or a link could lead anywhere."""
    return after if after.startswith("/") and not after.startswith(("//", "/\\")) and len(after) <= 400 else "/"


@router.get("/oidc/start")
async def start_oidc(request: Request, after: str = "/") -> Response:
    """Send the browser to the provider."""
    accounts: Accounts = request.app.state.context.accounts
    provider = provider_of(accounts.settings)
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        known = await discover(client, provider)
    state, verifier, nonce = random_secret(), random_secret(48), random_secret()

    def keep(session: Session) -> None:
        now = accounts.clock()
        session.execute(delete(FlowRow).where(FlowRow.created < now - _FLOW_LIFE))
        session.add(FlowRow(state=digest(state), verifier=verifier, nonce=nonce, after=_own_path(after), created=now))

    await asyncio.to_thread(accounts.change, keep)
    query = urlencode(
        {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": _redirect_uri(request, provider),
            "scope": "openid profile email " + provider.claim,
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
    )
    response = RedirectResponse(f"{known['authorization_endpoint']}?{query}", 303)
    # The state is bound to this browser, or somebody could make another finish their own sign-in.
    response.set_cookie(
        _STATE_COOKIE,
        state,
        max_age=_FLOW_LIFE // SECOND,
        httponly=True,
        samesite="lax",
        secure=bool(accounts.settings.tls_certificate),
        path="/oidc",
    )
    return response


@router.get("/oidc/callback")
async def finish_oidc(request: Request, address: Address, state: str = "", code: str = "", error: str = "") -> Response:
    """Take the provider's answer, sign the person in and send them on."""
    accounts: Accounts = request.app.state.context.accounts
    provider = provider_of(accounts.settings)
    if error or not code or not state or state != request.cookies.get(_STATE_COOKIE, ""):
        raise SignInRefusedError("the OpenID provider did not sign you in", where=error[:100], fix="start again")
    flow = await asyncio.to_thread(accounts.change, lambda session: _take_flow(accounts, session, state))
    claims = await _claims(request, provider, flow, code)
    agent = request.headers.get("user-agent", "")
    cookie = await asyncio.to_thread(
        accounts.change, lambda session: _admit(accounts, session, provider, claims, address, agent)
    )
    response = RedirectResponse(flow.after, 303)
    set_session_cookie(response, cookie, accounts)
    response.delete_cookie(_STATE_COOKIE, path="/oidc")
    return response


def _take_flow(accounts: Accounts, session: Session, state: str) -> FlowRow:
    flow = session.get(FlowRow, digest(state))
    if flow is None or accounts.clock() - flow.created > _FLOW_LIFE:
        raise SignInRefusedError("this sign-in was not begun here or took too long", fix="start again")
    session.delete(flow)
    session.flush()
    session.expunge(flow)
    return flow


async def _claims(request: Request, provider: Provider, flow: FlowRow, code: str) -> dict[str, Any]:
    """Return the claims of the identity token that the code buys, checked."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _redirect_uri(request, provider),
        "client_id": provider.client_id,
        "code_verifier": flow.verifier,
    }
    auth = httpx.BasicAuth(provider.client_id, provider.secret) if provider.secret else None
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        known = await discover(client, provider)
        answer = await _fetch(client, "POST", known["token_endpoint"], data=form, auth=auth)
        keys = await _fetch(client, "GET", known["jwks_uri"])
    return check_token(str(answer.get("id_token", "")), keys, provider, flow.nonce)


def check_token(text: str, keys: dict[str, Any], provider: Provider, nonce: str) -> dict[str, Any]:
    """Return the claims of an identity token after checking signature, issuer, audience, times and nonce.

    Raises:
        SignInRefusedError: any of them is wrong.
    """
    try:
        token = jwt.decode(text, KeySet.import_key_set(cast("KeySetSerialization", keys)), algorithms=_ALGORITHMS)
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "values": [provider.issuer, provider.issuer + "/"]},
            aud={"essential": True, "value": provider.client_id},
            exp={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(token.claims)
    except (JoseError, ValueError, KeyError) as error:
        raise SignInRefusedError(f"the identity token is not good: {error}", fix="start again") from error
    return dict(token.claims)


def _admit(
    accounts: Accounts, session: Session, provider: Provider, claims: dict[str, Any], address: str, agent: str
) -> str:
    """Sign in the person the claims are about; somebody new is added. Their grants are those of the claim each time."""
    given = claims.get(provider.claim, ())
    values = [given] if isinstance(given, str) else list(given)
    grants = {grant for value in values for grant in provider.roles.get(str(value), ())}
    if not grants:
        raise PermissionDeniedError("the OpenID provider gives you no role here", fix="ask the administrator")
    external = f"{provider.issuer}|{claims['sub']}"[:300]
    row = session.scalar(select(UserRow).where(UserRow.external == external))
    if row is None:
        row = _new_person(accounts, session, claims, external)
    if not row.active:
        raise SignInRefusedError("this account is switched off", fix="ask the administrator")
    wanted = {(grant.role.value, grant.scope) for grant in grants}
    if wanted != {(grant.role.value, grant.scope) for grant in grants_of(row)}:
        row.grants = [item for item in row.grants if (item.role, item.scope) in wanted]
        held = {(item.role, item.scope) for item in row.grants}
        row.grants += [GrantRow(role=role, scope=scope) for role, scope in sorted(wanted - held)]
        row.version += 1
        session.flush()
        accounts.auditor(_provider_actor(provider), address).note(
            session, "user.change", f"users/{row.login}", after={"grants": sorted(f"{r}@{s}" for r, s in wanted)}
        )
    return open_session(accounts, session, row, address=address, agent=agent, method="oidc")


def _provider_actor(provider: Provider) -> Actor:
    return Actor(f"oidc:{urlsplit(provider.issuer).netloc}")


def _new_person(accounts: Accounts, session: Session, claims: dict[str, Any], external: str) -> UserRow:
    now = accounts.clock()
    wanted = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])[:60].replace(" ", ".")
    try:
        login = normal_login(wanted)
    except InvalidInputError:
        login = f"oidc-{digest(external)[:12]}"
    if session.scalar(select(UserRow.id).where(UserRow.login == login)) is not None:
        # A local account of that name is somebody else's until an administrator says otherwise.
        login = f"{login}-{digest(external)[:6]}"
    row = UserRow(
        id=new_ulid(now),
        login=login,
        name=str(claims.get("name") or login)[:120],
        password_hash="",
        password_changed=0,
        must_change=False,
        external=external,
        created=now,
        grants=[],
    )
    session.add(row)
    session.flush()
    return row
