"""The warnings at rest: each step of the book in one transaction, and what lists and score sheets read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from anlan.core.events import Event, WarningOutcome, WarningState, decode_event, encode_event
from anlan.core.severity import WarningGrade
from anlan.store.records.base import Records
from anlan.warn.model import ListMissed, ListWarnings, Missed, WarningStep
from anlan.warn.tables import (
    WarningClaimRecord,
    WarningMarkRecord,
    WarningMessageRecord,
    WarningMissedRecord,
    WarningOutboxRecord,
    WarningRecord,
    WarningStepRecord,
)
from anlan.warn.warnings.record import Changes, Kept, Message
from anlan.warn.warnings.scoring import ClaimRow

MOST_ROWS = 10_000
OPEN = (WarningState.RAISED.value, WarningState.CONFIRMED.value, WarningState.DISMISSED.value)
OVER = (WarningState.CLOSED.value, WarningState.SCORED.value)

_encode = msgspec.json.Encoder().encode
_kept = msgspec.json.Decoder(Kept)
_message = msgspec.json.Decoder(Message)


class Ledger:
    """Reads and writes the tables of warnings; every method is one transaction, called on a thread."""

    def __init__(self, records: Records) -> None:
        self._records = records

    # --- writing ----------------------------------------------------------------------------------------------------

    def save(self, changes: Changes, marks: Mapping[str, int] | None = None, events: Sequence[Event] = ()) -> None:
        """Write a step of the book with its events, and how far the streams were read for it."""
        with self._records.session() as session:
            for kept in changes.kept.values():
                session.merge(_record(kept))
                self._claims(session, kept)
            for warning, step in changes.steps:
                session.add(_step(warning, step))
            for missed in changes.missed:
                session.merge(WarningMissedRecord(**{**msgspec.structs.asdict(missed), "models": list(missed.models)}))
            for message in changes.messages:
                if session.get(WarningMessageRecord, message.id) is None:
                    session.add(_waiting(message))
            for event in (*changes.events, *events):
                session.add(WarningOutboxRecord(id=event.id, event=encode_event(event)))
            for name, value in (marks or {}).items():
                session.merge(WarningMarkRecord(name=name, value=value))

    def _claims(self, session: Session, kept: Kept) -> None:
        for member in kept.members.values():
            session.merge(
                WarningClaimRecord(
                    warning=kept.row.id,
                    model=member.model,
                    version=member.version,
                    path=member.path,
                    joined=member.joined,
                    grade=int(kept.row.worst),
                    outcome=member.outcome.value if member.outcome else "",
                    event=member.event,
                    lead=member.lead,
                )
            )

    def line(self, warning: str, step: WarningStep) -> None:
        """Write one line of a warning's history."""
        with self._records.session() as session:
            session.add(_step(warning, step))

    def marks(self) -> dict[str, int]:
        """Return all marks."""
        with self._records.session() as session:
            return {row.name: row.value for row in session.scalars(select(WarningMarkRecord))}

    # --- reading ----------------------------------------------------------------------------------------------------

    def living(self) -> list[Kept]:
        """Return the warnings a book goes on with: all that are not scored, or whose condition goes on."""
        with self._records.session() as session:
            query = select(WarningRecord.kept).where(
                (WarningRecord.state != WarningState.SCORED.value) | WarningRecord.active.is_(True)
            )
            return [_kept.decode(raw) for raw in session.scalars(query.order_by(WarningRecord.raised))]

    def kept(self, warning: str) -> Kept | None:
        """Return one warning."""
        with self._records.session() as session:
            raw = session.scalars(select(WarningRecord.kept).where(WarningRecord.id == warning)).first()
            return _kept.decode(raw) if raw is not None else None

    def steps(self, warning: str) -> tuple[WarningStep, ...]:
        """Return the history of one warning, oldest first."""
        with self._records.session() as session:
            query = select(WarningStepRecord).where(WarningStepRecord.warning == warning)
            return tuple(
                WarningStep(row.time, row.arrow, WarningGrade(row.grade), row.who, row.comment, row.event)
                for row in session.scalars(query.order_by(WarningStepRecord.number))
            )

    def find(self, request: ListWarnings) -> list[Kept]:
        """Return the warnings of a view, gravest first, then newest."""
        query = _narrowed(select(WarningRecord.kept), request)
        with self._records.session() as session:
            raws = session.scalars(query.order_by(WarningRecord.raised.desc()).limit(MOST_ROWS))
            found = [_kept.decode(raw) for raw in raws]
        if request.model:
            found = [kept for kept in found if request.model in kept.row.models]
        found.sort(key=lambda kept: (kept.row.grade, -kept.row.raised))
        return found

    def past(self, before: int, limit: int = 500) -> list[Kept]:
        """Return the newest warnings of live models that were scored, raised before ``before``."""
        query = select(WarningRecord.kept).where(
            WarningRecord.state == WarningState.SCORED.value,
            WarningRecord.shadow.is_(False),
            WarningRecord.raised < before,
        )
        with self._records.session() as session:
            raws = session.scalars(query.order_by(WarningRecord.raised.desc()).limit(limit))
            return [_kept.decode(raw) for raw in raws]

    def claims(self, start: int, end: int) -> list[ClaimRow]:
        """Return the claims that joined in [start, end)."""
        query = select(WarningClaimRecord).where(WarningClaimRecord.joined >= start, WarningClaimRecord.joined < end)
        with self._records.session() as session:
            return [
                ClaimRow(
                    row.warning,
                    row.model,
                    row.version,
                    row.joined,
                    WarningGrade(row.grade),
                    WarningOutcome(row.outcome) if row.outcome else None,
                    row.event,
                    row.lead,
                )
                for row in session.scalars(query.order_by(WarningClaimRecord.joined))
            ]

    def missed(self, request: ListMissed) -> list[Missed]:
        """Return missed events, newest first."""
        query = select(WarningMissedRecord).where(WarningMissedRecord.time >= request.start)
        if request.end:
            query = query.where(WarningMissedRecord.time < request.end)
        if request.scope:
            query = query.where(_below(WarningMissedRecord.path, request.scope))
        with self._records.session() as session:
            rows = session.scalars(query.order_by(WarningMissedRecord.time.desc()).limit(MOST_ROWS))
            return [Missed(r.event, r.time, r.path, r.target, r.priority, tuple(r.models)) for r in rows]

    # --- events waiting for the fabric ------------------------------------------------------------------------------

    def waiting_events(self, limit: int = 100) -> list[Event]:
        """Return the oldest events the fabric has not taken yet."""
        with self._records.session() as session:
            query = select(WarningOutboxRecord.event).order_by(WarningOutboxRecord.number).limit(limit)
            return [decode_event(raw) for raw in session.scalars(query)]

    def published(self, ids: Iterable[str], sequence: int) -> None:
        """Forget events that the event log has, the newest of them at ``sequence``."""
        with self._records.session() as session:
            session.execute(delete(WarningOutboxRecord).where(WarningOutboxRecord.id.in_(list(ids))))
            session.merge(WarningMarkRecord(name="published", value=sequence))

    def waiting_count(self) -> int:
        """Return how many events wait for the fabric."""
        with self._records.session() as session:
            return int(session.scalar(select(func.count()).select_from(WarningOutboxRecord)) or 0)

    # --- messages ---------------------------------------------------------------------------------------------------

    def due_messages(self, now: int, limit: int = 20) -> list[tuple[Message, int, bool]]:
        """Return messages to send at ``now``, tries so far, and whether one may have gone out before a crash."""
        query = select(WarningMessageRecord).where(
            WarningMessageRecord.state.in_(("waiting", "trying")), WarningMessageRecord.next <= now
        )
        with self._records.session() as session:
            rows = session.scalars(query.order_by(WarningMessageRecord.next).limit(limit))
            return [(_message.decode(row.message), row.tries, row.state == "trying") for row in rows]

    def message(self, identity: str, state: str, tries: int, next_try: int, line: WarningStep | None = None) -> None:
        """Note what became of a message, with its line in the warning's history."""
        with self._records.session() as session:
            changed = update(WarningMessageRecord).where(WarningMessageRecord.id == identity)
            session.execute(changed.values(state=state, tries=tries, next=next_try))
            row = session.get(WarningMessageRecord, identity)
            if line is not None and row is not None:
                session.add(_step(row.warning, line))


def _narrowed(query: Select[Any], request: ListWarnings) -> Select[Any]:
    if request.view == "open":
        query = query.where(WarningRecord.shadow.is_(False), WarningRecord.state.in_(OPEN))
    elif request.view == "closed":
        query = query.where(WarningRecord.shadow.is_(False), WarningRecord.state.in_(OVER))
    elif request.view == "shadow":
        query = query.where(WarningRecord.shadow.is_(True))
    if request.start:
        query = query.where(WarningRecord.raised >= request.start)
    if request.end:
        query = query.where(WarningRecord.raised < request.end)
    if request.scope:
        query = query.where(_below(WarningRecord.path, request.scope))
    return query


def _below(column: InstrumentedAttribute[str], scope: str) -> ColumnElement[bool]:
    return (column == scope) | column.startswith(scope + "/", autoescape=True)


def _record(kept: Kept) -> WarningRecord:
    row = kept.row
    return WarningRecord(
        id=row.id,
        path=row.path,
        state=row.state.value,
        grade=int(row.grade),
        active=row.active,
        shadow=row.shadow,
        raised=row.raised,
        changed=row.changed,
        closed=row.closed,
        kept=_encode(kept),
    )


def _step(warning: str, step: WarningStep) -> WarningStepRecord:
    return WarningStepRecord(
        warning=warning,
        time=step.time,
        arrow=step.arrow,
        grade=int(step.grade),
        who=step.who,
        comment=step.comment,
        event=step.event,
    )


def _waiting(message: Message) -> WarningMessageRecord:
    return WarningMessageRecord(
        id=message.id,
        warning=message.warning,
        state="waiting",
        channel=message.channel,
        tries=0,
        next=message.time,
        message=_encode(message),
    )
