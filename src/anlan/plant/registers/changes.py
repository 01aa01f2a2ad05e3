"""Proposed changes: edits of the site's files that another person reviews before they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from anlan.core.actor import SYSTEM, Actor, Permission
from anlan.core.errors import AnlanError, InvalidInputError, NotFoundError
from anlan.core.events import EventType
from anlan.core.ids import new_ulid
from anlan.plant.editor import SiteEditor
from anlan.plant.registers.desk import Desk, Serve, fire
from anlan.plant.registers.machine import CHANGE
from anlan.plant.registers.model import Act, Change, Edit, ListChanges, ProposeChange
from anlan.plant.registers.tables import ChangeRow
from anlan.plant.site_file import load

MOST_ROWS = 2000
MOST_EDITS = 20_000


class ChangeRegister:
    """Serves ``registers.change*``; ``reload`` puts the written files in force and returns the revision."""

    def __init__(self, desk: Desk, reload: Callable[[str, str], Awaitable[str]]) -> None:
        self._desk = desk
        self._reload = reload
        self._writing = asyncio.Lock()

    async def serve(self, serve: Serve) -> None:
        """Register the handlers."""
        await serve("registers.changes", ListChanges, self.list)
        await serve("registers.change.propose", ProposeChange, self.propose)
        await serve("registers.change.act", Act, self.act)

    async def list(self, request: ListChanges, actor: Actor) -> tuple[Change, ...]:
        """Return changes newest first, of which the actor sees every place."""

        def work(session: Session, _now: int) -> tuple[Change, ...]:
            query = select(ChangeRow).order_by(ChangeRow.proposed.desc(), ChangeRow.id.desc())
            if request.pending:
                query = query.where(ChangeRow.state.in_(("proposed", "approved")))
            rows = [row for row in session.scalars(query.limit(MOST_ROWS)) if all(map(actor.sees, row.paths))]
            return tuple(_change(row) for row in rows[: request.limit])

        return await self._desk.run(work)

    async def propose(self, request: ProposeChange, actor: Actor) -> Change:
        """Check edits against the files as they are and keep them for review.

        Raises:
            InvalidInputError, SiteFileError: the edits or the site they would make are wrong.
        """
        if not request.edits or len(request.edits) > MOST_EDITS:
            raise InvalidInputError("a change needs edits", where="edits", fix=f"1 to {MOST_EDITS}")
        if not request.reason.strip():
            raise InvalidInputError("a change needs a reason", where="reason", fix="say why")
        for edit in request.edits:
            actor.require(Permission.PROPOSE_CHANGE, edit.path)
        edits, editor = await asyncio.to_thread(self._prepare, request.edits)
        diff = editor.diff()
        if not diff:
            raise InvalidInputError("nothing would change", where="edits", fix="the files say this already")

        def work(session: Session, now: int) -> Change:
            row = ChangeRow(
                id=new_ulid(now),
                state=CHANGE.first,
                safety=editor.safety,
                paths=sorted(editor.touched),
                edits=[msgspec.to_builtins(edit) for edit in edits],
                diff=diff,
                reason=request.reason,
                proposed_by=actor.user,
                proposed=now,
                base_revision=self._desk.book.revision,
                decided_by="",
                decided=0,
                comment="",
                applied=0,
                revision="",
            )
            session.add(row)
            change = _change(row)
            self._tell(session, now, actor, "change.propose", change)
            return change

        return await self._desk.run(work)

    def _prepare(self, edits: tuple[Edit, ...]) -> tuple[tuple[Edit, ...], SiteEditor]:
        editor = SiteEditor(load(self._desk.book.path))
        done = editor.apply(edits)
        editor.verify()
        return done, editor

    async def act(self, request: Act, actor: Actor) -> Change:
        """Approve (and write the files), reject or withdraw a change.

        Raises:
            ConflictError, SiteFileError: approved, but the files have changed so that it no longer fits; it is failed.
        """

        def work(session: Session, now: int) -> Change:
            row = session.get(ChangeRow, request.id, with_for_update=True)
            if row is None or not all(map(actor.sees, row.paths)):
                raise NotFoundError("no such change", where=request.id)
            arrow = None
            for path in row.paths:
                arrow = fire(
                    CHANGE, row.state, request.verb, actor, row.proposed_by, path, request.comment, safety=row.safety
                )
            assert arrow is not None
            before = {"state": row.state}
            row.state, row.decided_by, row.decided = arrow.after, actor.user, now
            row.comment = request.comment
            change = _change(row)
            self._tell(session, now, actor, f"change.{request.verb}", change, before, request.comment)
            return change

        change = await self._desk.run(work)
        return await self._apply(change) if change.state == "approved" else change

    async def finish(self) -> None:
        """Apply what was approved and, because of a crash, not yet written or marked."""
        for change in await self.list(ListChanges(pending=True), SYSTEM):
            if change.state == "approved":
                try:
                    await self._apply(change)
                except AnlanError:
                    continue  # it is failed now and says why

    async def _apply(self, change: Change) -> Change:
        async with self._writing:
            if (now := await self._get(change.id)).state != "approved":
                return now  # the other of the two that saw it approved was faster
            try:
                await asyncio.to_thread(self._write, change.edits)
                revision = await self._reload(change.decided_by, change.id)
            except AnlanError as error:
                await self._settle(change.id, "fail", str(error), "")
                raise
            return await self._settle(change.id, "apply", "", revision)

    async def _get(self, identity: str) -> Change:
        def work(session: Session, _now: int) -> Change:
            row = session.get(ChangeRow, identity)
            assert row is not None
            return _change(row)

        return await self._desk.run(work)

    def _write(self, edits: tuple[Edit, ...]) -> None:
        editor = SiteEditor(load(self._desk.book.path))
        if all(editor.stands(edit) for edit in edits):
            return  # written before a crash
        editor.apply(edits, reviewed=True)
        editor.verify()
        editor.write()

    async def _settle(self, identity: str, verb: str, comment: str, revision: str) -> Change:
        def work(session: Session, now: int) -> Change:
            row = session.get(ChangeRow, identity, with_for_update=True)
            assert row is not None
            arrow = CHANGE.fire(
                row.state, verb, who=SYSTEM.user, asked_by=row.proposed_by, comment=comment, system=True
            )
            before = {"state": row.state}
            row.state, row.applied, row.revision = arrow.after, now if verb == "apply" else 0, revision
            row.comment = comment or row.comment
            change = _change(row)
            self._tell(session, now, SYSTEM, f"change.{verb}", change, before, comment)
            return change

        return await self._desk.run(work)

    def _tell(
        self,
        session: Session,
        now: int,
        actor: Actor,
        action: str,
        change: Change,
        before: dict[str, Any] | None = None,
        comment: str = "",
    ) -> None:
        subject = change.paths[0] if len(change.paths) == 1 else _common(change.paths)
        self._desk.tell(session, now, EventType.AUDIT, subject, actor, action, change, before, comment or change.reason)


def _common(paths: tuple[str, ...]) -> str:
    """Return the place in the hierarchy that holds all paths; empty is the whole node."""
    parts = [path.split("/") for path in paths]
    shared: list[str] = []
    for step in zip(*parts, strict=False):
        if len(set(step)) > 1:
            break
        shared.append(step[0])
    return "/".join(shared)


def _change(row: ChangeRow) -> Change:
    values = {name: getattr(row, name) for name in Change.__struct_fields__ if name not in ("edits", "paths")}
    return Change(edits=msgspec.convert(row.edits, tuple[Edit, ...]), paths=tuple(row.paths), **values)
