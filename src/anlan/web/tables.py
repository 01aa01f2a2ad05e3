"""Tables of the web floor: people, what they may do, sessions, tokens, failed sign-ins, audit not yet published.

Times are µs UTC, 0 when there is none. Secrets of our own making are kept as SHA-256 (they have full entropy),
passwords as argon2id, one-time-code seeds encrypted.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from anlan.store.records.base import Base


class UserRow(Base):
    """A person (or a program's account) that may sign in."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    login: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str] = mapped_column(String(120), default="")
    password_hash: Mapped[str] = mapped_column(String(200), default="")
    password_changed: Mapped[int] = mapped_column(BigInteger, default=0)
    must_change: Mapped[bool] = mapped_column(Boolean, default=False)
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    totp_seed: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    totp_on: Mapped[bool] = mapped_column(Boolean, default=False)
    totp_step: Mapped[int] = mapped_column(BigInteger, default=0)
    external: Mapped[str | None] = mapped_column(String(300), unique=True, default=None)
    created: Mapped[int] = mapped_column(BigInteger)
    last_sign_in: Mapped[int] = mapped_column(BigInteger, default=0)
    version: Mapped[int] = mapped_column(Integer, default=1)

    grants: Mapped[list[GrantRow]] = relationship(cascade="all, delete-orphan", lazy="selectin")

    # An update names the version it was made from; ``auth.users`` counts it up.
    __mapper_args__ = {"version_id_col": version, "version_id_generator": False}  # noqa: RUF012  # read once by the ORM


class GrantRow(Base):
    """A role a person holds at a place."""

    __tablename__ = "user_grants"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(30), primary_key=True)
    scope: Mapped[str] = mapped_column(String(400), primary_key=True, default="")


class SessionRow(Base):
    """A signed-in browser; ``id`` is the SHA-256 of what its cookie holds."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created: Mapped[int] = mapped_column(BigInteger)
    seen: Mapped[int] = mapped_column(BigInteger)
    expires: Mapped[int] = mapped_column(BigInteger, index=True)
    revoked: Mapped[int] = mapped_column(BigInteger, default=0)
    address: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(200), default="")
    method: Mapped[str] = mapped_column(String(20), default="password")


class TokenRow(Base):
    """An API token; it can do what its grants say and its owner still may."""

    __tablename__ = "api_tokens"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    grants: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    created: Mapped[int] = mapped_column(BigInteger)
    expires: Mapped[int] = mapped_column(BigInteger)
    used: Mapped[int] = mapped_column(BigInteger, default=0)
    revoked: Mapped[int] = mapped_column(BigInteger, default=0)


class RecoveryRow(Base):
    """A recovery code for somebody who lost the device with the one-time codes."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger, default=0)


class FailureRow(Base):
    """Failed sign-ins of one account from one address, of one account, or of one address."""

    __tablename__ = "sign_in_failures"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    count: Mapped[int] = mapped_column(Integer, default=0)
    last: Mapped[int] = mapped_column(BigInteger, default=0)
    locked_until: Mapped[int] = mapped_column(BigInteger, default=0)


class FlowRow(Base):
    """A sign-in at the site's OpenID provider that is under way; ``state`` is the SHA-256 of the state sent."""

    __tablename__ = "oidc_flows"

    state: Mapped[str] = mapped_column(String(64), primary_key=True)
    verifier: Mapped[str] = mapped_column(String(128))
    nonce: Mapped[str] = mapped_column(String(64))
    after: Mapped[str] = mapped_column(String(400), default="/")
    created: Mapped[int] = mapped_column(BigInteger)


class OutboxRow(Base):
    """An audit event that is written with the change itself and waits to be published."""

    __tablename__ = "audit_outbox"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    event: Mapped[bytes] = mapped_column(LargeBinary)
