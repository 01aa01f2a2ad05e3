"""The process ``works``: site files to the revision in force, and the registers.

Files are checked, compiled and put in force at one position of the log. A change that does not pass leaves the old
revision in force and shows its findings in health and as an event.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from sqlalchemy import select
from watchfiles import Change as FileChange
from watchfiles import awatch

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor, Permission
from anlan.core.errors import AnlanError, NotFoundError
from anlan.core.events import EventType
from anlan.core.health import Health
from anlan.core.ids import new_ulid
from anlan.core.time import SECOND, now_us
from anlan.plant.compiler import compile_site
from anlan.plant.findings import Finding, SiteFileError
from anlan.plant.model import Plant, decode_plant, encode_plant, revision_of
from anlan.plant.registers.bypasses import BypassRegister
from anlan.plant.registers.changes import ChangeRegister
from anlan.plant.registers.desk import Desk
from anlan.plant.registers.engine import calibrations_due, differences
from anlan.plant.registers.live import LiveRegisters
from anlan.plant.registers.model import Calibration, ListCalibrations
from anlan.plant.registers.outbox import Publisher, keep
from anlan.plant.registers.shifts import ShiftLog
from anlan.plant.registers.tables import RevisionRow
from anlan.plant.registry import assign, keys_of
from anlan.plant.requests import ListRevisions, PlantStatus, Reload, Revision, Status
from anlan.plant.site_file import SUFFIXES, SiteDocument, check
from anlan.store.fabric.client import LOG, Fabric
from anlan.store.fabric.log import LogWriter
from anlan.store.records.base import Records, open_engine, upgrade

logger = logging.getLogger(__name__)

RUN_OUT_S = 1.0
LOOK_AGAIN_S = 30.0
UPKEEP_S = 20.0


class Book:
    """The site's files, and the plant in force that was made from them."""

    def __init__(self, fabric: Fabric, health: Health, records: Records) -> None:
        self.path = Path(fabric.settings.site)
        self.plant: Plant | None = None
        self.revision = ""
        self.since = 0
        self.checked = 0
        self.valid = False
        self.findings: tuple[Finding, ...] = ()
        self._fabric = fabric
        self._health = health
        self._records = records
        self._writer = LogWriter(fabric)
        self._lock = asyncio.Lock()
        self._recorded = 0
        self._watched: frozenset[Path] = frozenset()
        self.publisher = Publisher(fabric, records)

    # --- in force ---------------------------------------------------------------------------------------------------

    async def resume(self) -> None:
        """Take up the revision that the log says is in force, so that broken files leave it so."""
        try:
            revision, document = await self._fabric.current_config()
        except NotFoundError:
            return
        self.revision, self.plant = revision, decode_plant(document)
        self._recorded = await self._newest_record()
        self.since = await asyncio.to_thread(self._time_of, revision)

    def _time_of(self, revision: str) -> int:
        with self._records.session() as session:
            query = select(RevisionRow.time).where(RevisionRow.revision == revision).order_by(RevisionRow.time.desc())
            return session.scalars(query.limit(1)).first() or 0

    async def reload(self, who: str = SYSTEM.user, change_id: str = "") -> str:
        """Read the files and put them in force if they pass and differ; return the revision in force.

        Args:
            who: user who caused it.
            change_id: the proposed change that was written.

        Raises:
            SiteFileError: the files are wrong; the old revision stays in force.
        """
        async with self._lock:
            document, findings = await asyncio.to_thread(check, self.path)
            self.checked = now_us()
            if document is None:
                await self._refuse(findings)
                raise SiteFileError(findings)
            self.valid, self.findings = True, findings
            self._watched = frozenset(file.resolve() for file in document.files)
            self._health.problems.pop("site", None)
            plant, message = await asyncio.to_thread(self._compile, document)
            revision = revision_of(message)
            if revision != self.revision:
                await self._enforce(plant, message, revision, who, change_id)
            self._tell_health()
        return self.revision

    def _compile(self, document: SiteDocument) -> tuple[Plant, bytes]:
        numbers = assign(self._records, keys_of(document), now_us())
        plant = compile_site(document, numbers)
        return plant, encode_plant(plant)

    async def _enforce(self, plant: Plant, message: bytes, revision: str, who: str, change_id: str) -> None:
        await self._fabric.put_config(revision, message)
        now = await self._record(revision)
        summary = differences(self.plant, plant)
        before = self.revision

        def work() -> None:
            with self._records.session() as session:
                row = RevisionRow(
                    id=new_ulid(now), revision=revision, time=now, who=who, change_id=change_id, summary=summary
                )
                session.add(row)
                data = {"revision": revision, "before": before, "who": who, "change": change_id, **summary}
                keep(session, EventType.CONFIG, self._fabric.settings.node, now, plant.site.id, data)

        self.plant, self.revision, self.since = plant, revision, now
        await asyncio.to_thread(work)
        self.publisher.wake()
        logger.info(
            "configuration %s is in force (%d points, %d alarms)", revision, len(plant.points), len(plant.alarms)
        )

    async def _record(self, revision: str) -> int:
        now = now_us()
        record = log.encode(log.ConfigRecord(time=now, revision=revision))
        await self._writer.append(log.CONFIG, record, f"config-{self._fabric.settings.node}-{revision}-{now}")
        self._recorded = now
        return now

    async def _newest_record(self) -> int:
        message = await self._fabric.jetstream.get_last_msg(LOG, log.CONFIG, direct=True)
        record = log.decode(log.CONFIG, message.data or b"")
        assert isinstance(record, log.ConfigRecord)
        return record.time

    async def remember(self) -> None:
        """Write the revision in force into the log again before the log forgets the record that named it."""
        half_life = self._fabric.settings.log_age_s * SECOND // 2
        async with self._lock:
            if self.revision and now_us() - self._recorded > half_life:
                await self._record(self.revision)

    async def _refuse(self, findings: tuple[Finding, ...]) -> None:
        again = self.findings == findings and not self.valid
        self.valid, self.findings = False, findings
        error = SiteFileError(findings)
        kept = f"; revision {self.revision} stays in force" if self.revision else ""
        self._health.problems["site"] = f"{error}{kept}"
        self._tell_health()
        if again:
            return
        logger.error("the site's files are not taken: %s", error)
        errors = [finding.where + ": " + finding.message for finding in findings if finding.severity == "error"]
        data = {"revision": self.revision, "refused": True, "errors": errors[:20], "count": len(errors)}
        subject = self.plant.site.id if self.plant is not None else self.path.name

        def work() -> None:
            with self._records.session() as session:
                keep(session, EventType.CONFIG, self._fabric.settings.node, self.checked, subject, data)

        await asyncio.to_thread(work)
        self.publisher.wake()

    def _tell_health(self) -> None:
        health = self._health
        health.details["revision"] = self.revision
        health.counters["points"] = len(self.plant.points) if self.plant else 0
        health.counters["alarms"] = len(self.plant.alarms) if self.plant else 0
        health.counters["warnings"] = sum(finding.severity == "warning" for finding in self.findings)

    # --- files ------------------------------------------------------------------------------------------------------

    def concerns(self, _change: FileChange, name: str) -> bool:
        """Return whether a changed file is part of the site."""
        file = Path(name)
        if file.name.startswith("."):
            return False
        if file.resolve() in self._watched:
            return True
        return (file.suffix in SUFFIXES and self.path.is_dir()) or file.resolve() == self.path.resolve()

    async def watch(self, stop: asyncio.Event) -> None:
        """Reload whenever a file of the site changes, until ``stop``."""
        folder = self.path if self.path.is_dir() else self.path.absolute().parent
        while not stop.is_set():
            try:
                async for _ in awatch(folder, watch_filter=self.concerns, stop_event=stop, debounce=400, step=100):
                    await self.reload_quietly()
            except OSError as error:
                logger.warning("%s cannot be watched: %s", folder, error)
                self._health.problems["watch"] = f"{folder} cannot be watched for changes: {error}"
                await _pause(stop, LOOK_AGAIN_S)
                await self.reload_quietly()
            else:
                return

    async def reload_quietly(self) -> None:
        """Reload; findings are shown in health and events instead of raised."""
        try:
            await self.reload()
        except SiteFileError:
            return
        except AnlanError:
            logger.exception("the site could not be put in force")

    # --- requests ---------------------------------------------------------------------------------------------------

    async def status(self, _request: PlantStatus, actor: Actor) -> Status:
        """Return what is in force and what is wrong with the files; findings only to those who may change them."""
        plant = self.plant
        whole = any(actor.may(Permission.PROPOSE_CHANGE, grant.scope) for grant in actor.grants)
        return Status(
            revision=self.revision,
            since=self.since,
            checked=self.checked,
            valid=self.valid,
            site=plant.site.id if plant else "",
            points=len(plant.points) if plant else 0,
            alarms=len(plant.alarms) if plant else 0,
            connectors=len(plant.connectors) if plant else 0,
            findings=self.findings if whole else (),
        )

    async def reload_now(self, _request: Reload, actor: Actor) -> Status:
        """Read the files again and return what came of it."""
        actor.require(Permission.PROPOSE_CHANGE)
        try:
            await self.reload(actor.user)
        except SiteFileError:
            logger.debug("asked to read files that are wrong")
        return await self.status(PlantStatus(), actor)

    async def revisions(self, request: ListRevisions, actor: Actor) -> tuple[Revision, ...]:
        """Return the revisions put in force, newest first."""
        actor.require(Permission.VIEW)

        def work() -> tuple[Revision, ...]:
            with self._records.session() as session:
                query = select(RevisionRow).order_by(RevisionRow.time.desc()).limit(min(request.limit, 1000))
                return tuple(_revision(row) for row in session.scalars(query))

        return await asyncio.to_thread(work)


def _revision(row: RevisionRow) -> Revision:
    return Revision(row.revision, row.time, row.who, row.change_id, row.summary)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _serve(fabric: Fabric, book: Book, desk: Desk, bypasses: BypassRegister, changes: ChangeRegister) -> None:
    await fabric.serve("plant.status", PlantStatus, book.status)
    await fabric.serve("plant.revisions", ListRevisions, book.revisions)
    await fabric.serve("plant.reload", Reload, book.reload_now)

    async def calibrations(request: ListCalibrations, actor: Actor) -> tuple[Calibration, ...]:
        due = calibrations_due(desk.plant, request.scope, request.days, desk.clock())
        return tuple(item for item in due if actor.sees(item.path))

    await fabric.serve("registers.calibrations", ListCalibrations, calibrations)
    await ShiftLog(desk).serve(fabric.serve)
    await bypasses.serve(fabric.serve)
    await changes.serve(fabric.serve)


async def _run_out(bypasses: BypassRegister, health: Health, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            health.count("bypasses_ended", await bypasses.run_out())
            health.problems.pop("bypasses", None)
        except Exception as error:  # the records may be locked or away for a moment
            logger.exception("bypasses could not be looked through")
            health.problems["bypasses"] = f"the bypass register does not answer: {error}"
        await _pause(stop, RUN_OUT_S)


async def _upkeep(book: Book, changes: ChangeRegister, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await changes.finish()
        await book.remember()
        await _pause(stop, UPKEEP_S)


async def run(fabric: Fabric, health: Health, stop: asyncio.Event) -> None:
    """Run the works until ``stop``."""
    engine = open_engine(fabric.settings)
    await asyncio.to_thread(upgrade, engine)
    records = Records(engine)
    book = Book(fabric, health, records)
    await book.resume()
    await book.reload_quietly()
    desk = Desk(fabric.settings.node, records, book, book.publisher.wake)
    bypasses = BypassRegister(desk)
    changes = ChangeRegister(desk, book.reload)
    live = LiveRegisters(fabric, desk, health)
    await _serve(fabric, book, desk, bypasses, changes)
    await live.serve(fabric.serve)
    tasks = [
        asyncio.create_task(coroutine)
        for coroutine in (
            book.publisher.run(),
            book.watch(stop),
            _run_out(bypasses, health, stop),
            live.follow(stop),
            live.run(stop),
            _upkeep(book, changes, stop),
        )
    ]
    health.ready = True
    try:
        await _until(stop, tasks)
        await asyncio.wait_for(book.publisher.flush(), 5)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        engine.dispose()


async def _until(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Return when ``stop`` is set; a task that died takes the process with it, to be started again."""
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in done - {waiting}:
        if not stop.is_set() or task.exception() is not None:
            await task
