"""The barrier register 屏障: health of the site's barriers from tests, reports, bypasses and the points they need.

Who may do what: everybody who logs a shift (``LOG_SHIFT``) records a test and says that a barrier is degraded or
failed – bad news must be easy to tell. Saying that it is better or well again takes ``BYPASS``; so does the passed test
that ends a standing report. What a test found is ended by a test that passes, not by words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from anlan.core.actor import SYSTEM, Actor, Permission
from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError
from anlan.core.events import EventType
from anlan.core.ids import new_ulid
from anlan.core.time import MINUTE
from anlan.plant.model import Barrier
from anlan.plant.registers import outbox
from anlan.plant.registers.barrier_engine import (
    GRAVITY,
    BypassOf,
    Facts,
    Report,
    available,
    due_at,
    reasons_of,
    state_of,
)
from anlan.plant.registers.barrier_facts import PointFacts
from anlan.plant.registers.desk import Desk, Serve, fire
from anlan.plant.registers.machine import DEGRADATION
from anlan.plant.registers.model import (
    Act,
    BarrierEntry,
    BarrierHealth,
    BarrierHistory,
    BarrierReason,
    ListBarriers,
    RecordTest,
    ReportBarrier,
)
from anlan.plant.registers.tables import BarrierReportRow, BarrierRow, BarrierTestRow, BypassRow
from anlan.plant.registers.vocabulary import barrier_kinds

RESULTS = ("passed", "degraded", "failed")
STANDING = ("degraded", "failed")
CLOCKS_MAY_DIFFER = 5 * MINUTE
LONGEST_TEXT = 4000


class BarrierRegister:
    """Serves ``registers.barrier*`` and tells every change of a barrier's state."""

    def __init__(self, desk: Desk, points: PointFacts) -> None:
        self._desk = desk
        self._points = points

    async def serve(self, serve: Serve) -> None:
        """Register the handlers."""
        await serve("registers.barriers", ListBarriers, self.list)
        await serve("registers.barrier.history", BarrierHistory, self.history)
        await serve("registers.barrier.test", RecordTest, self.test)
        await serve("registers.barrier.report", ReportBarrier, self.report)
        await serve("registers.barrier.act", Act, self.act)

    def barrier(self, identity: str, actor: Actor) -> Barrier:
        """Return a barrier of the plant in force that the actor sees.

        Raises:
            NotFoundError: there is none.
        """
        for barrier in self._desk.plant.barriers:
            if barrier.id == identity and actor.sees(barrier.path):
                return barrier
        raise NotFoundError(f"no barrier {identity}", where=identity, fix="see 'barriers' in the site's files")

    # --- reading ----------------------------------------------------------------------------------------------------

    async def list(self, request: ListBarriers, actor: Actor) -> tuple[BarrierHealth, ...]:
        """Return the barriers the actor sees, gravest first, then by place."""

        def work(session: Session, now: int) -> tuple[BarrierHealth, ...]:
            found = [health for health, _ in _Round(self._desk, session, self._points, now).judge_all()]
            scope = request.scope
            rows = [
                item
                for item in found
                if actor.sees(item.path)
                and (not scope or item.path == scope or item.path.startswith(scope + "/"))
                and not (request.impaired and item.state == "healthy")
            ]
            return tuple(sorted(rows, key=lambda item: (-GRAVITY[item.state], item.path, item.id)))

        return await self._desk.run(work)

    async def history(self, request: BarrierHistory, actor: Actor) -> tuple[BarrierEntry, ...]:
        """Return a barrier's tests and reports, newest first."""
        barrier = self.barrier(request.id, actor)

        def work(session: Session, _now: int) -> tuple[BarrierEntry, ...]:
            limit = max(1, min(request.limit, 1000))
            tests = select(BarrierTestRow).where(BarrierTestRow.barrier == barrier.id)
            reports = select(BarrierReportRow).where(BarrierReportRow.barrier == barrier.id)
            entries = [
                BarrierEntry(row.id, row.barrier, "test", row.result, row.time, row.who, row.comment)
                for row in session.scalars(tests.order_by(BarrierTestRow.time.desc()).limit(limit))
            ]
            entries += [
                _entry(row) for row in session.scalars(reports.order_by(BarrierReportRow.time.desc()).limit(limit))
            ]
            return tuple(sorted(entries, key=lambda entry: (-entry.time, entry.id))[:limit])

        return await self._desk.run(work)

    async def sweep(self) -> int:
        """Judge every barrier; tell those whose state changed by itself; return how many did."""

        def work(session: Session, now: int) -> int:
            return sum(1 for _, changed in _Round(self._desk, session, self._points, now).judge_all() if changed)

        return await self._desk.run(work)

    # --- writing ----------------------------------------------------------------------------------------------------

    async def test(self, request: RecordTest, actor: Actor) -> BarrierHealth:
        """Record a test; one that does not pass stands as a degradation until one passes.

        Raises:
            InvalidInputError: an unknown result, or a time in the future.
        """
        barrier = self.barrier(request.id, actor)
        actor.require(Permission.LOG_SHIFT, barrier.path)
        if request.result not in RESULTS:
            raise InvalidInputError(f"no result {request.result!r}", where="result", fix=f"one of {', '.join(RESULTS)}")
        _check_text(request.comment, "comment", needed=request.result != "passed")

        def work(session: Session, now: int) -> BarrierHealth:
            time = request.time or now
            if time > now + CLOCKS_MAY_DIFFER:
                raise InvalidInputError("a test lies in the past", where="time", fix="when it was done")
            round_ = _Round(self._desk, session, self._points, now)
            row = BarrierTestRow(
                id=new_ulid(now),
                barrier=barrier.id,
                path=barrier.path,
                time=time,
                entered=now,
                result=request.result,
                who=actor.user,
                comment=request.comment,
            )
            session.add(row)
            known = round_.row(barrier)
            causes: Sequence[str] = ()
            if time >= known.last_test:
                known.last_test, known.result, known.tested_by = time, request.result, actor.user
                causes = self._apply_test(session, row, actor, now)
            return round_.tell(barrier, actor, "barrier.test", request.comment, causes)

        return await self._desk.run(work)

    def _apply_test(self, session: Session, test: BarrierTestRow, actor: Actor, now: int) -> Sequence[str]:
        """Begin, change or end the standing report by the newest test; return the events it follows from."""
        report = _standing(session, test.barrier)
        if test.result == "passed":
            # What a person reported is for a person to judge, though the test says that it works.
            if report is None or not report.test:
                return []
            actor.require(Permission.BYPASS, test.path)
            report.state, report.ended, report.ended_by = "restored", now, actor.user
            report.closing = test.comment or test.id
            return [report.event]
        if report is None:
            session.add(_new_report(test.barrier, test.path, test.result, test.comment, "", actor, now, test.id))
            return []
        report.state, report.test, report.reason = test.result, test.id, test.comment
        return [report.event]

    async def report(self, request: ReportBarrier, actor: Actor) -> BarrierHealth:
        """Say that a barrier is degraded or failed.

        Raises:
            ConflictError: a report stands already.
        """
        barrier = self.barrier(request.id, actor)
        actor.require(Permission.LOG_SHIFT, barrier.path)
        if request.state not in STANDING:
            raise InvalidInputError(f"no state {request.state!r}", where="state", fix=f"one of {', '.join(STANDING)}")
        _check_text(request.reason, "reason", needed=True)
        _check_text(request.measures, "measures")

        def work(session: Session, now: int) -> BarrierHealth:
            if (standing := _standing(session, barrier.id)) is not None:
                raise ConflictError(
                    f"it is reported as {standing.state} already", where=standing.id, fix="worsen, ease or restore that"
                )
            row = _new_report(
                barrier.id, barrier.path, request.state, request.reason, request.measures, actor, now, test=""
            )
            session.add(row)
            round_ = _Round(self._desk, session, self._points, now)
            return round_.tell(barrier, actor, "barrier.report", request.reason, request.causes, row)

        return await self._desk.run(work)

    async def act(self, request: Act, actor: Actor) -> BarrierHealth:
        """Worsen, ease or restore the standing report of a barrier; ``id`` is the barrier's."""
        barrier = self.barrier(request.id, actor)
        _check_text(request.comment, "comment")

        def work(session: Session, now: int) -> BarrierHealth:
            row = _standing(session, barrier.id)
            if row is None:
                raise ConflictError("no degradation is reported", where=barrier.id, fix="nothing is to be restored")
            arrow = fire(DEGRADATION, row.state, request.verb, actor, row.who, barrier.path, request.comment)
            if row.test and request.verb != "worsen":
                raise ConflictError("a test found it so", where=row.test, fix="record a test that passes")
            row.state = arrow.after
            cause = row.event
            if DEGRADATION.over(arrow.after):
                row.ended, row.ended_by, row.closing = now, actor.user, request.comment
            else:
                row.reason = request.comment
            round_ = _Round(self._desk, session, self._points, now)
            return round_.tell(barrier, actor, f"barrier.{request.verb}", request.comment, [cause], row)

        return await self._desk.run(work)


class _Round:
    """One look at all barriers in one transaction."""

    def __init__(self, desk: Desk, session: Session, points: PointFacts, now: int) -> None:
        self._desk, self._session, self._now = desk, session, now
        self._rows = {row.id: row for row in session.scalars(select(BarrierRow))}
        carried = {row.id: _reasons(row) for row in self._rows.values()}
        lost, conditions, unknown = points.of(desk.plant, now, carried)
        self._facts = Facts(lost, self._bypasses(), conditions, unknown)

    def _bypasses(self) -> dict[str, BypassOf]:
        query = select(BypassRow).where(BypassRow.state.in_(("active", "expired"))).order_by(BypassRow.approved.desc())
        return {row.path: BypassOf(row.id, row.approved, row.reason, row.event) for row in self._session.scalars(query)}

    def row(self, barrier: Barrier) -> BarrierRow:
        """Return the register's row of a barrier, made when it is seen for the first time."""
        found = self._rows.get(barrier.id)
        if found is None:
            found = BarrierRow(
                id=barrier.id,
                path=barrier.path,
                first=self._now,
                state="healthy",
                since=self._now,
                reasons=[],
                event="",
                last_test=0,
                result="",
                tested_by="",
            )
            self._session.add(found)
            self._rows[barrier.id] = found
        return found

    def judge_all(self) -> list[tuple[BarrierHealth, bool]]:
        """Return every barrier's health and whether its state changed; a change is told."""
        query = select(BarrierReportRow).where(BarrierReportRow.state.in_(STANDING))
        reports = {row.barrier: row for row in self._session.scalars(query)}
        found = []
        for barrier in self._desk.plant.barriers:
            before = self.row(barrier).state
            health = self._judge(barrier, reports.get(barrier.id))
            changed = health.state != before
            if changed:
                self._tell_change(barrier, health, before)
                health = self._health(barrier, reports.get(barrier.id), health.reasons)
            found.append((health, changed))
        return found

    def tell(
        self,
        barrier: Barrier,
        actor: Actor,
        action: str,
        comment: str,
        causes: Sequence[str],
        report: BarrierReportRow | None = None,
    ) -> BarrierHealth:
        """Judge a barrier after a person's act, tell act and state in one event, and return its health."""
        self._session.flush()
        row = self.row(barrier)
        before = {"state": row.state, "result": row.result}
        health = self._judge(barrier, _standing(self._session, barrier.id))
        row.event = self._desk.tell(
            self._session,
            self._now,
            EventType.BARRIER,
            barrier.path,
            actor,
            action,
            health,
            before,
            comment,
            [*causes, *(reason.cause for reason in health.reasons)],
        )
        standing = report or _standing(self._session, barrier.id)
        if standing is not None:
            standing.event = row.event
        return self._health(barrier, _standing(self._session, barrier.id), health.reasons)

    def _tell_change(self, barrier: Barrier, health: BarrierHealth, before: str) -> None:
        known = {"action": "barrier.state", "who": SYSTEM.user, "before": before}
        row = self.row(barrier)
        causes = [reason.cause for reason in health.reasons] or [row.event]
        data = {**known, **_builtins(health)}
        row.event = outbox.keep(
            self._session, EventType.BARRIER, self._desk.node, self._now, barrier.path, data, causes
        )

    def _judge(self, barrier: Barrier, report: BarrierReportRow | None) -> BarrierHealth:
        row = self.row(barrier)
        standing = (
            Report(report.id, report.state, report.time, report.reason, report.event, report.test)
            if report is not None
            else None
        )
        due = due_at(barrier, row.first, row.last_test)
        reasons = reasons_of(barrier, self._facts, standing, due, self._now)
        state = state_of(reasons)
        if state != row.state:
            row.state, row.since = state, self._now
        kept = [_builtins(reason) for reason in reasons]
        if kept != row.reasons:
            row.reasons = kept
        if barrier.path != row.path:
            row.path = barrier.path
        return self._health(barrier, report, reasons)

    def _health(
        self, barrier: Barrier, report: BarrierReportRow | None, reasons: tuple[BarrierReason, ...]
    ) -> BarrierHealth:
        row = self.row(barrier)
        kind = barrier_kinds().get(barrier.kind)
        return BarrierHealth(
            id=barrier.id,
            path=barrier.path,
            kind=barrier.kind,
            state=row.state,
            since=row.since,
            name=barrier.name,
            name_en=barrier.name_en,
            demand=barrier.demand,
            demand_en=barrier.demand_en,
            role=kind.role if kind is not None else "prevent",
            reasons=reasons,
            event=row.event,
            points=len(barrier.points),
            available=available(barrier, self._facts),
            needed=barrier.needed or len(barrier.points),
            test_interval=barrier.test_interval,
            last_test=row.last_test or barrier.tested,
            result=row.result,
            tested_by=row.tested_by,
            due=due_at(barrier, row.first, row.last_test),
            report=report.id if report is not None else "",
            report_state=report.state if report is not None else "",
            by_test=bool(report is not None and report.test),
            source=barrier.source,
        )


def _check_text(text: str, where: str, *, needed: bool = False) -> None:
    if needed and not text.strip():
        raise InvalidInputError(f"a {where} is needed", where=where, fix="say what was found")
    if len(text) > LONGEST_TEXT:
        raise InvalidInputError("too long", where=where, fix=f"at most {LONGEST_TEXT} characters")


def _standing(session: Session, barrier: str) -> BarrierReportRow | None:
    query = select(BarrierReportRow).where(BarrierReportRow.barrier == barrier, BarrierReportRow.state.in_(STANDING))
    return session.scalars(query.with_for_update()).first()


def _new_report(
    barrier: str, path: str, state: str, reason: str, measures: str, actor: Actor, now: int, test: str
) -> BarrierReportRow:
    return BarrierReportRow(
        id=new_ulid(now),
        barrier=barrier,
        path=path,
        state=state,
        reason=reason,
        measures=measures,
        who=actor.user,
        time=now,
        test=test,
        ended=0,
        ended_by="",
        closing="",
        event="",
    )


def _entry(row: BarrierReportRow) -> BarrierEntry:
    return BarrierEntry(
        id=row.id,
        barrier=row.barrier,
        kind="report",
        state=row.state,
        time=row.time,
        who=row.who,
        text=row.reason,
        measures=row.measures,
        ended=row.ended,
        ended_by=row.ended_by,
        closing=row.closing,
    )


def _builtins(item: BarrierHealth | BarrierReason) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(item)
    return found


def _reasons(row: BarrierRow) -> tuple[BarrierReason, ...]:
    return msgspec.convert(row.reasons, tuple[BarrierReason, ...])
