"""The versions of warning models: kept with their file, hash and the node's signature; which of them run and why not.

Every version is checked whenever it is read: one altered byte of its definition or its file, and it does not run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from anlan.core.actor import SYSTEM, Actor
from anlan.core.errors import ConflictError, DecodeError, InvalidInputError, NotFoundError
from anlan.core.events import AuditChange, Event, EventType, ModelChange, encode_event
from anlan.core.ids import new_ulid
from anlan.core.severity import WarningGrade
from anlan.science.model_file import ModelInfo, decode_model
from anlan.store.records.base import Records
from anlan.warn.model import ActOnModel, AddModel, ModelKind, ModelMode, WarningModel
from anlan.warn.models.key import public_of, signed
from anlan.warn.tables import WarningModelModeRecord, WarningModelRecord, WarningOutboxRecord

VERBS = {"live": ModelMode.LIVE, "shadow": ModelMode.SHADOW, "retire": ModelMode.RETIRED, "rollback": ModelMode.LIVE}
MOST_BYTES = 4 << 20
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_GRADES = frozenset(grade.name.lower() for grade in WarningGrade)

_encode = msgspec.json.Encoder(order="deterministic").encode
_decoder = msgspec.json.Decoder(WarningModel)

Problem = tuple[str, str]
"""What is wrong, in Chinese and in English."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version as it was read: ``problem`` says why it may not run; ``info`` is the header of its file."""

    model: WarningModel
    mode: ModelMode
    file: bytes
    digest: str
    signed_by: str
    created: int
    created_by: str
    built_in: bool
    flagged: int
    definition: bytes = b""
    signature: str = ""
    info: ModelInfo | None = None
    problem: Problem | None = None

    @property
    def key(self) -> tuple[str, int]:
        """Id and version."""
        return self.model.id, self.model.version

    @property
    def runs(self) -> bool:
        """Whether it runs, live or in shadow."""
        return self.mode is not ModelMode.RETIRED and self.problem is None


class Registry:
    """The model versions of one node; every method is one transaction, called on a thread.

    Args:
        records: where they rest.
        node: id of the node.
        key: signs what is added, and is the one a version must be signed with; ``public`` is its public half as hex.
    """

    def __init__(self, records: Records, node: str, key: Ed25519PrivateKey) -> None:
        self._records = records
        self._node = node
        self._key = key
        self.public = public_of(key)

    # --- reading ----------------------------------------------------------------------------------------------------

    def versions(self, *, every: bool = True) -> list[Version]:
        """Return all versions (or those not retired), checked, newest of each model first."""
        query = select(WarningModelRecord).order_by(WarningModelRecord.id, WarningModelRecord.version.desc())
        if not every:
            query = query.where(WarningModelRecord.mode != ModelMode.RETIRED.value)
        with self._records.session() as session:
            return [self._read(row) for row in session.scalars(query)]

    def _read(self, row: WarningModelRecord) -> Version:
        problem = self._problem(row)
        info = None
        try:
            model = _decoder.decode(row.definition)
        except msgspec.MsgspecError as error:
            model = WarningModel(id=row.id, kind=ModelKind.FEATURE)
            problem = problem or ("定义无法读取", f"its definition cannot be read: {error}")
        if row.file:
            try:
                info = decode_model(row.file, where=f"{row.id}@{row.version}").info
            except DecodeError as error:
                problem = problem or ("模型文件不能使用", str(error))
        return Version(
            model=msgspec.structs.replace(model, id=row.id, version=row.version),
            mode=ModelMode(row.mode),
            file=row.file,
            digest=row.digest,
            signed_by=row.signed_by,
            created=row.created,
            created_by=row.created_by,
            built_in=row.built_in,
            flagged=row.flagged,
            definition=row.definition,
            signature=row.signature,
            info=info,
            problem=problem,
        )

    def _problem(self, row: WarningModelRecord) -> Problem | None:
        digest = digest_of(row.definition, row.file)
        if digest != row.digest:
            return "模型文件被改动:哈希不符", "the model file was altered: its hash does not match"
        if row.signed_by != self.public:
            return "模型由其他密钥签名", "it is signed by another key than this node's"
        if not signed(row.signed_by, row.signature, bytes.fromhex(digest)):
            return "模型签名无效", "its signature does not hold"
        return None

    # --- changing ---------------------------------------------------------------------------------------------------

    def add(self, request: AddModel, actor: Actor, now: int) -> Version:
        """Add a version in shadow; its number is the next one of its id.

        Raises:
            InvalidInputError: the definition does not hold together; names the field.
            DecodeError: the file is not a whole model file.
        """
        check(request.model, request.file)
        with self._records.session() as session:
            newest = self._newest(session, request.model.id)
            model = msgspec.structs.replace(request.model, version=(newest.version if newest else 0) + 1)
            row = self._insert(session, model, request.file, ModelMode.SHADOW, actor, now, request.comment)
            self._tell(session, row, "added", "", actor, now, request.comment)
            return self._read(row)

    def act(self, request: ActOnModel, actor: Actor, now: int) -> Version:
        """Set a version live, to shadow, retire it, or go back to the one that was live before.

        Raises:
            InvalidInputError, NotFoundError, ConflictError: no such act or version, or not possible.
        """
        if request.verb not in VERBS:
            raise InvalidInputError(f"{request.verb!r} is no act", where="verb", fix=f"one of {', '.join(VERBS)}")
        with self._records.session() as session:
            row = self._chosen(session, request)
            mode = VERBS[request.verb]
            if row.mode == mode.value:
                raise ConflictError(f"version {row.version} is {mode.value} already", where=row.id)
            problem = self._read(row).problem
            if problem is not None and mode is not ModelMode.RETIRED:
                raise ConflictError(problem[1], where=f"{row.id}@{row.version}", fix="add it again from its source")
            if mode is ModelMode.LIVE:
                for other in session.scalars(
                    select(WarningModelRecord).where(
                        WarningModelRecord.id == row.id, WarningModelRecord.mode == ModelMode.LIVE.value
                    )
                ):
                    self._turn(session, other, ModelMode.RETIRED, "retired", actor, now, request.comment)
            change = {"retire": "retired", "rollback": "rolled-back"}.get(request.verb, mode.value)
            self._turn(session, row, mode, change, actor, now, request.comment)
            return self._read(row)

    def _chosen(self, session: Session, request: ActOnModel) -> WarningModelRecord:
        rows = list(
            session.scalars(
                select(WarningModelRecord)
                .where(WarningModelRecord.id == request.id)
                .order_by(WarningModelRecord.version.desc())
            )
        )
        if not rows:
            raise NotFoundError(f"no model {request.id}", where="id", fix="see 'anlan warn models'")
        if request.verb == "rollback":
            return self._before(session, rows)
        if request.version:
            found = [row for row in rows if row.version == request.version]
            if not found:
                raise NotFoundError(f"{request.id} has no version {request.version}", where="version")
            return found[0]
        if request.verb == "retire":
            return next((row for row in rows if row.mode != ModelMode.RETIRED.value), rows[0])
        return rows[0]

    def _before(self, session: Session, rows: list[WarningModelRecord]) -> WarningModelRecord:
        live = next((row.version for row in rows if row.mode == ModelMode.LIVE.value), 0)
        query = select(WarningModelModeRecord).where(
            WarningModelModeRecord.model == rows[0].id, WarningModelModeRecord.mode == ModelMode.LIVE.value
        )
        times = [item.version for item in session.scalars(query.order_by(WarningModelModeRecord.number))]
        if live:
            # Only what was live before the present one took its turn: a second rollback goes further back.
            times = times[: times.index(live)] if live in times else times
        earlier = [version for version in times if version != live]
        found = [row for row in rows if earlier and row.version == earlier[-1]]
        if not found:
            raise ConflictError("no version was live before", where=rows[0].id, fix="name a version with 'live'")
        return found[0]

    def flag(self, key: tuple[str, int], now: int, reason: str) -> bool:
        """Note once that a live version is below its budget; return whether that is new. ``now`` 0 takes it back."""
        with self._records.session() as session:
            row = session.get(WarningModelRecord, key)
            if row is None or bool(row.flagged) == bool(now):
                return False
            row.flagged = now
            if now:
                self._tell(session, row, "flagged", row.mode, SYSTEM, now, reason)
            return True

    def keep_built_in(self, models: Iterable[WarningModel], now: int) -> None:
        """Put the library's models in: version 1, live; one whose definition changed becomes the next version."""
        with self._records.session() as session:
            for model in models:
                newest = self._newest(session, model.id, built_in=True)
                if newest is None:
                    version, mode = 1, ModelMode.LIVE
                    other = self._newest(session, model.id)
                    version = other.version + 1 if other else 1
                elif newest.definition == _encode(msgspec.structs.replace(model, version=newest.version)):
                    continue
                else:
                    top = self._newest(session, model.id)
                    version, mode = (top.version if top else newest.version) + 1, ModelMode(newest.mode)
                    self._turn(session, newest, ModelMode.RETIRED, "retired", SYSTEM, now, "replaced by the library")
                fresh = msgspec.structs.replace(model, version=version)
                row = self._insert(session, fresh, b"", mode, SYSTEM, now, "library", built_in=True)
                self._tell(session, row, "added", "", SYSTEM, now, "library")

    def _insert(
        self,
        session: Session,
        model: WarningModel,
        file: bytes,
        mode: ModelMode,
        actor: Actor,
        now: int,
        comment: str,
        *,
        built_in: bool = False,
    ) -> WarningModelRecord:
        definition = _encode(model)
        digest = digest_of(definition, file)
        row = WarningModelRecord(
            id=model.id,
            version=model.version,
            mode=mode.value,
            definition=definition,
            file=file,
            digest=digest,
            signature=self._key.sign(bytes.fromhex(digest)).hex(),
            signed_by=self.public,
            built_in=built_in,
            created=now,
            created_by=actor.user,
            comment=comment,
            flagged=0,
        )
        session.add(row)
        self._note(session, row, actor, now, comment)
        return row

    def _turn(
        self,
        session: Session,
        row: WarningModelRecord,
        mode: ModelMode,
        change: str,
        actor: Actor,
        now: int,
        comment: str,
    ) -> None:
        before, row.mode, row.flagged = row.mode, mode.value, 0
        self._note(session, row, actor, now, comment)
        self._tell(session, row, change, before, actor, now, comment)

    def _note(self, session: Session, row: WarningModelRecord, actor: Actor, now: int, comment: str) -> None:
        session.add(
            WarningModelModeRecord(
                model=row.id, version=row.version, mode=row.mode, time=now, who=actor.user, comment=comment
            )
        )

    def _newest(self, session: Session, model: str, *, built_in: bool = False) -> WarningModelRecord | None:
        session.flush()
        query = select(WarningModelRecord).where(WarningModelRecord.id == model)
        if built_in:
            query = query.where(WarningModelRecord.built_in.is_(True))
        return session.scalars(query.order_by(WarningModelRecord.version.desc()).limit(1)).first()

    def _tell(
        self,
        session: Session,
        row: WarningModelRecord,
        change: str,
        before: str,
        actor: Actor,
        now: int,
        comment: str,
    ) -> None:
        """Write the event of a change and its audit into the outbox, in the same transaction."""
        told = ModelChange(row.id, row.version, change, before, actor.user, comment)
        after = {"version": row.version, "mode": row.mode, "digest": row.digest}
        audit = AuditChange(actor.user, f"model.{change}", {"mode": before}, after, comment)
        for kind, data in ((EventType.MODEL, told), (EventType.AUDIT, audit)):
            event = Event(new_ulid(now), kind.value, self._node, now, row.id, data=msgspec.to_builtins(data))
            session.add(WarningOutboxRecord(id=event.id, event=encode_event(event)))


def digest_of(definition: bytes, file: bytes) -> str:
    """Return the SHA-256 (hex) of a version: of its definition and its file."""
    inner = hashlib.sha256(definition).digest() + hashlib.sha256(file).digest()
    return hashlib.sha256(inner).hexdigest()


def check(model: WarningModel, file: bytes | None) -> None:
    """Raise unless a definition and its file hold together; ``file`` None looks at the definition alone.

    Raises:
        InvalidInputError: names the field.
        DecodeError: the file is not a whole model file.
    """
    if not _ID.fullmatch(model.id):
        raise InvalidInputError(f"{model.id!r} is no id", where="model.id", fix="a-z, 0-9 and '-', at most 64")
    rules: tuple[tuple[bool, str, str, str], ...] = (
        (model.horizon > 0, "horizon", "the horizon is not positive", "how far ahead it looks"),
        (0 <= model.least_lead < model.horizon, "least_lead", "the least lead is not within the horizon", "shorter"),
        (model.on_steps >= 1 and model.off_steps >= 1, "on_steps", "fewer than one step", "1 or more"),
        (set(model.grades) <= _GRADES, "grades", "there are no such grades", f"one of {', '.join(sorted(_GRADES))}"),
        (1 <= model.target.priority <= 4, "target.priority", "no such priority", "1 to 4"),
        (model.target.scope in ("unit", "area"), "target.scope", "no such scope", "unit or area"),
        (bool(model.features) or model.kind is not ModelKind.FEATURE, "features", "it has no features", "name some"),
        (file != b"" or model.kind is not ModelKind.DETECTOR, "file", "a detector needs its fitted file", "add it"),
        (not file or model.kind is ModelKind.DETECTOR, "file", f"a model of kind {model.kind} has no file", "none"),
        (len(file or b"") <= MOST_BYTES, "file", f"the file is larger than {MOST_BYTES >> 20} MB", "a smaller model"),
    )
    for good, field, wrong, fix in rules:
        if not good:
            raise InvalidInputError(wrong, where=f"model.{field}", fix=fix)
    if file:
        decode_model(file, "detection.", where="file")


def places_of(model: WarningModel) -> tuple[str, ...]:
    """Return the places whose keeper may manage a model: its scope, or where its points lie, or the whole node."""
    if model.scope:
        return model.scope
    if not model.points:
        return ("",)
    parts = [path.split("/")[:-1] for path in model.points]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ("/".join(shared),)


def sound(read: Callable[[], list[Version]]) -> tuple[list[Version], dict[str, str]]:
    """Return the versions that run, and why others that should do not, by ``id@version``."""
    versions = read()
    problems = {
        f"{v.model.id}@{v.model.version}": f"模型不运行 / a model does not run: {v.problem[0]} / {v.problem[1]}"
        for v in versions
        if v.problem is not None and v.mode is not ModelMode.RETIRED
    }
    return [version for version in versions if version.runs], problems
