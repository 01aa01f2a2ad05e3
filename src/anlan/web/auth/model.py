"""What the sign-in routes take and answer."""

from __future__ import annotations

from typing import Annotated

import msgspec

from anlan.core.actor import Actor, Grant

Login = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=80, pattern=r"^[^\s/\\\x00-\x1f\x7f]+$", examples=["wang.min"]),
]
Text = Annotated[str, msgspec.Meta(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$")]
Secret = Annotated[str, msgspec.Meta(max_length=256)]


class Identity(msgspec.Struct, frozen=True):
    """Who a request comes from: the actor, and the session (its hash) or token it came with.

    ``until`` is µs UTC: after it the session or token is no longer good.
    """

    actor: Actor
    user_id: str
    session: str = ""
    token: str = ""
    must_change: bool = False
    until: int = 0


class User(msgspec.Struct, frozen=True):
    """A person as administrators see them; times µs UTC, 0 when never."""

    id: str
    login: str
    name: str
    active: bool
    must_change: bool
    second_factor: bool
    external: bool
    created: int
    last_sign_in: int
    version: int
    grants: tuple[Grant, ...]


class NewUser(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A person to add. Without ``password`` a random one is made and told once; it must be changed at first sign-in."""

    login: Login
    name: Text = ""
    grants: Annotated[tuple[Grant, ...], msgspec.Meta(max_length=100)] = ()
    password: Secret = ""


class UserChange(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What to change of a person; what is left out stays."""

    name: Text | None = None
    active: bool | None = None
    grants: Annotated[tuple[Grant, ...], msgspec.Meta(max_length=100)] | None = None
    reset_second_factor: bool = False
    comment: Text = ""


class UserMade(msgspec.Struct, frozen=True):
    """The person, and the one-time password when one was made; it is never told again."""

    user: User
    password: str = ""


class SignIn(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Sign in with a password, and the one-time or a recovery code when the account asks for it."""

    login: Annotated[str, msgspec.Meta(max_length=80)]
    password: Secret
    code: Annotated[str, msgspec.Meta(max_length=40)] = ""


class PasswordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change one's own password."""

    current: Secret
    new: Secret


class Me(msgspec.Struct, frozen=True):
    """Who is signed in and what they may do where."""

    login: str
    name: str
    grants: tuple[Grant, ...]
    permissions: dict[str, tuple[str, ...]]
    must_change: bool
    second_factor: bool
    until: int


class SessionInfo(msgspec.Struct, frozen=True):
    """One signed-in browser; ``id`` names it for revoking and is not what the cookie holds."""

    id: str
    login: str
    created: int
    seen: int
    expires: int
    address: str
    agent: str
    method: str
    current: bool = False


class NewToken(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An API token to make; its grants must lie within its owner's. ``days`` it is good for."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
    grants: Annotated[tuple[Grant, ...], msgspec.Meta(min_length=1, max_length=100)]
    days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 90


class TokenInfo(msgspec.Struct, frozen=True):
    """An API token without its secret."""

    id: str
    name: str
    login: str
    grants: tuple[Grant, ...]
    created: int
    expires: int
    used: int
    revoked: int


class TokenMade(msgspec.Struct, frozen=True):
    """The token's text, told once."""

    info: TokenInfo
    token: str


class Enrolment(msgspec.Struct, frozen=True):
    """Seed of the one-time codes for an authenticator, as text and as the URI its camera reads."""

    seed: str
    uri: str


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A one-time code."""

    code: Annotated[str, msgspec.Meta(max_length=40)]


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Codes that each let one sign in once without the authenticator; told once."""

    codes: tuple[str, ...]
