"""SQL of the registers; times are µs UTC, 0 when there is none."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from anlan.store.records.base import Base

_Id = String(26)
_User = String(80)
_Path = String(400)


class ShiftRow(Base):
    """One shift at one operator position."""

    __tablename__ = "shifts"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    position: Mapped[str] = mapped_column(String(80), index=True)
    person: Mapped[str] = mapped_column(_User)
    state: Mapped[str] = mapped_column(String(20))
    started: Mapped[int] = mapped_column(BigInteger)
    offered: Mapped[int] = mapped_column(BigInteger, default=0)
    offered_by: Mapped[str] = mapped_column(_User, default="")
    ended: Mapped[int] = mapped_column(BigInteger, default=0)
    accepted_by: Mapped[str] = mapped_column(_User, default="")
    comment: Mapped[str] = mapped_column(Text, default="")


class EntryRow(Base):
    """One entry of the shift log; entries are never changed, an open item is only closed."""

    __tablename__ = "shift_entries"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    shift_id: Mapped[str] = mapped_column(_Id, ForeignKey("shifts.id"), index=True)
    position: Mapped[str] = mapped_column(String(80), index=True)
    time: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(_User)
    text: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(_Path, default="")
    open_item: Mapped[bool] = mapped_column(Boolean, default=False)
    closed: Mapped[int] = mapped_column(BigInteger, default=0)
    closed_by: Mapped[str] = mapped_column(_User, default="")
    closing: Mapped[str] = mapped_column(Text, default="")
    causes: Mapped[list[str]] = mapped_column(JSON, default=list)


class BypassRow(Base):
    """One bypass of a point or an alarm."""

    __tablename__ = "bypasses"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    path: Mapped[str] = mapped_column(_Path, index=True)
    alarm: Mapped[str] = mapped_column(String(500), default="")
    safety: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(String(20), index=True)
    reason: Mapped[str] = mapped_column(Text)
    measures: Mapped[str] = mapped_column(Text, default="")
    requested_by: Mapped[str] = mapped_column(_User)
    requested: Mapped[int] = mapped_column(BigInteger)
    expires: Mapped[int] = mapped_column(BigInteger)
    approved_by: Mapped[str] = mapped_column(_User, default="")
    approved: Mapped[int] = mapped_column(BigInteger, default=0)
    ended_by: Mapped[str] = mapped_column(_User, default="")
    ended: Mapped[int] = mapped_column(BigInteger, default=0)
    comment: Mapped[str] = mapped_column(Text, default="")


class ChangeRow(Base):
    """One proposed change to the site's files."""

    __tablename__ = "proposed_changes"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    state: Mapped[str] = mapped_column(String(20), index=True)
    safety: Mapped[bool] = mapped_column(Boolean)
    paths: Mapped[list[str]] = mapped_column(JSON)
    edits: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    diff: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    proposed_by: Mapped[str] = mapped_column(_User)
    proposed: Mapped[int] = mapped_column(BigInteger)
    base_revision: Mapped[str] = mapped_column(String(64))
    decided_by: Mapped[str] = mapped_column(_User, default="")
    decided: Mapped[int] = mapped_column(BigInteger, default=0)
    comment: Mapped[str] = mapped_column(Text, default="")
    applied: Mapped[int] = mapped_column(BigInteger, default=0)
    revision: Mapped[str] = mapped_column(String(64), default="")


class RevisionRow(Base):
    """One configuration revision put in force; the same revision may come back later as another row."""

    __tablename__ = "config_revisions"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    revision: Mapped[str] = mapped_column(String(64), index=True)
    time: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(_User)
    change_id: Mapped[str] = mapped_column(_Id, default="")
    summary: Mapped[dict[str, Any]] = mapped_column(JSON)


class RegisterOutboxRow(Base):
    """An event written in the transaction of what it tells, until the fabric has it."""

    __tablename__ = "register_outbox"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    event: Mapped[bytes] = mapped_column(LargeBinary)
