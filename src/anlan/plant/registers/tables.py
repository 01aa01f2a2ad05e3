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
    event: Mapped[str] = mapped_column(_Id, default="", server_default="")


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


class BarrierRow(Base):
    """What the register knows of one barrier of the site's files, by its id; ``first`` is when it first saw it."""

    __tablename__ = "barriers"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    path: Mapped[str] = mapped_column(_Path)
    first: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(20))
    since: Mapped[int] = mapped_column(BigInteger)
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    event: Mapped[str] = mapped_column(_Id, default="")
    last_test: Mapped[int] = mapped_column(BigInteger, default=0)
    result: Mapped[str] = mapped_column(String(20), default="")
    tested_by: Mapped[str] = mapped_column(_User, default="")


class BarrierTestRow(Base):
    """One test of a barrier; tests are never changed."""

    __tablename__ = "barrier_tests"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    barrier: Mapped[str] = mapped_column(String(80), index=True)
    path: Mapped[str] = mapped_column(_Path)
    time: Mapped[int] = mapped_column(BigInteger)
    entered: Mapped[int] = mapped_column(BigInteger)
    result: Mapped[str] = mapped_column(String(20))
    who: Mapped[str] = mapped_column(_User)
    comment: Mapped[str] = mapped_column(Text)


class BarrierReportRow(Base):
    """One degradation of a barrier, from a person's report or from a test (``test``), until it is restored."""

    __tablename__ = "barrier_reports"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    barrier: Mapped[str] = mapped_column(String(80), index=True)
    path: Mapped[str] = mapped_column(_Path)
    state: Mapped[str] = mapped_column(String(20), index=True)
    reason: Mapped[str] = mapped_column(Text)
    measures: Mapped[str] = mapped_column(Text)
    who: Mapped[str] = mapped_column(_User)
    time: Mapped[int] = mapped_column(BigInteger)
    test: Mapped[str] = mapped_column(_Id)
    ended: Mapped[int] = mapped_column(BigInteger)
    ended_by: Mapped[str] = mapped_column(_User)
    closing: Mapped[str] = mapped_column(Text)
    event: Mapped[str] = mapped_column(_Id)


class WorkRow(Base):
    """One piece of work at a place."""

    __tablename__ = "works_in_progress"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    path: Mapped[str] = mapped_column(_Path, index=True)
    state: Mapped[str] = mapped_column(String(20), index=True)
    start: Mapped[int] = mapped_column(BigInteger)
    end: Mapped[int] = mapped_column(BigInteger)
    persons: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(_User)
    created: Mapped[int] = mapped_column(BigInteger)
    text: Mapped[str] = mapped_column(Text)
    permit: Mapped[str] = mapped_column(String(80))
    began: Mapped[int] = mapped_column(BigInteger)
    began_by: Mapped[str] = mapped_column(_User)
    finished: Mapped[int] = mapped_column(BigInteger)
    finished_by: Mapped[str] = mapped_column(_User)
    comment: Mapped[str] = mapped_column(Text)
    causes: Mapped[list[str]] = mapped_column(JSON)
    event: Mapped[str] = mapped_column(_Id)


class HeadCountRow(Base):
    """One count of people in an area by hand: a number, no names."""

    __tablename__ = "head_counts"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    path: Mapped[str] = mapped_column(_Path, index=True)
    count: Mapped[int] = mapped_column(BigInteger)
    time: Mapped[int] = mapped_column(BigInteger, index=True)
    until: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(_User)
    comment: Mapped[str] = mapped_column(Text)


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
