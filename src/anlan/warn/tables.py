"""SQL of early warning; times are µs UTC, 0 when there is none. The service's process alone writes them.

A warning's row, its history, its claims, its events, its messages and the marks of how far the log was read are written
in one transaction: after a crash either all of a step is there or none of it.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from anlan.store.records.base import Base

_Id = String(26)
_User = String(80)
_Path = String(400)
_Model = String(80)


class WarningRecord(Base):
    """One warning: what one searches by, and ``kept`` (``warnings.record.Kept`` as JSON)."""

    __tablename__ = "warnings"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    path: Mapped[str] = mapped_column(_Path)
    state: Mapped[str] = mapped_column(String(20), index=True)
    grade: Mapped[int] = mapped_column(Integer)
    active: Mapped[bool] = mapped_column(Boolean)
    shadow: Mapped[bool] = mapped_column(Boolean)
    raised: Mapped[int] = mapped_column(BigInteger, index=True)
    changed: Mapped[int] = mapped_column(BigInteger)
    closed: Mapped[int] = mapped_column(BigInteger)
    kept: Mapped[bytes] = mapped_column(LargeBinary)


class WarningStepRecord(Base):
    """One line of a warning's history; never changed."""

    __tablename__ = "warning_steps"

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    warning: Mapped[str] = mapped_column(_Id, index=True)
    time: Mapped[int] = mapped_column(BigInteger)
    arrow: Mapped[str] = mapped_column(String(40))
    grade: Mapped[int] = mapped_column(Integer)
    who: Mapped[str] = mapped_column(_User)
    comment: Mapped[str] = mapped_column(Text)
    event: Mapped[str] = mapped_column(_Id)


class WarningClaimRecord(Base):
    """One model's claim in a warning and what it was worth: what score sheets are made from."""

    __tablename__ = "warning_claims"

    warning: Mapped[str] = mapped_column(_Id, primary_key=True)
    model: Mapped[str] = mapped_column(_Model, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    path: Mapped[str] = mapped_column(_Path, primary_key=True)
    joined: Mapped[int] = mapped_column(BigInteger, index=True)
    grade: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[str] = mapped_column(String(20))
    event: Mapped[str] = mapped_column(_Id)
    lead: Mapped[int] = mapped_column(BigInteger)


class WarningMissedRecord(Base):
    """A target event that no warning came before."""

    __tablename__ = "warning_missed"

    event: Mapped[str] = mapped_column(_Id, primary_key=True)
    time: Mapped[int] = mapped_column(BigInteger, index=True)
    path: Mapped[str] = mapped_column(_Path)
    target: Mapped[str] = mapped_column(String(500))
    priority: Mapped[int] = mapped_column(Integer)
    models: Mapped[list[str]] = mapped_column(JSON)


class WarningMessageRecord(Base):
    """A message until it is sent, and what became of it: waiting, trying, sent, exercise, failed."""

    __tablename__ = "warning_messages"

    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    warning: Mapped[str] = mapped_column(_Id, index=True)
    state: Mapped[str] = mapped_column(String(20), index=True)
    channel: Mapped[str] = mapped_column(String(80))
    tries: Mapped[int] = mapped_column(Integer)
    next: Mapped[int] = mapped_column(BigInteger)
    message: Mapped[bytes] = mapped_column(LargeBinary)


class WarningOutboxRecord(Base):
    """An event written in the transaction of what it tells, until the fabric has it; ``number`` keeps the order."""

    __tablename__ = "warning_outbox"

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    id: Mapped[str] = mapped_column(_Id, unique=True)
    event: Mapped[bytes] = mapped_column(LargeBinary)


class WarningMarkRecord(Base):
    """How far a stream was read (``log``, ``events``), and other numbers that must outlive a crash."""

    __tablename__ = "warning_marks"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class WarningModelRecord(Base):
    """One version of a model: its definition, its file, their hash and the node's signature of it."""

    __tablename__ = "warning_models"

    id: Mapped[str] = mapped_column(_Model, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    mode: Mapped[str] = mapped_column(String(20), index=True)
    definition: Mapped[bytes] = mapped_column(LargeBinary)
    file: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    signature: Mapped[str] = mapped_column(String(128))
    signed_by: Mapped[str] = mapped_column(String(64))
    built_in: Mapped[bool] = mapped_column(Boolean)
    created: Mapped[int] = mapped_column(BigInteger)
    created_by: Mapped[str] = mapped_column(_User)
    comment: Mapped[str] = mapped_column(Text)
    flagged: Mapped[int] = mapped_column(BigInteger)


class WarningModelModeRecord(Base):
    """When a version took a mode, and by whom; rollback reads it."""

    __tablename__ = "warning_model_modes"

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    model: Mapped[str] = mapped_column(_Model, index=True)
    version: Mapped[int] = mapped_column(Integer)
    mode: Mapped[str] = mapped_column(String(20))
    time: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(_User)
    comment: Mapped[str] = mapped_column(Text)
