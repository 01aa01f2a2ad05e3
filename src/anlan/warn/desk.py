"""What the process ``warn`` answers: checks permission once, reads ledger and stream, hands acts to the book."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from anlan.core.actor import Actor, Permission
from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError
from anlan.core.ids import new_ulid
from anlan.core.time import now_us
from anlan.warn.analytics.desk import AnalyticsDesk
from anlan.warn.fleet import grade_counts, where
from anlan.warn.ledger import Ledger
from anlan.warn.model import (
    ActOnModel,
    ActOnWarning,
    AddModel,
    ExplainRisk,
    FeatureRow,
    Forecast,
    GetForecast,
    GetModel,
    GetRisk,
    GetWarning,
    ListFeatures,
    ListMissed,
    ListModels,
    ListPredictions,
    ListWarnings,
    Missed,
    ModelDetail,
    ModelRow,
    PredictedAlarm,
    RiskMap,
    RiskNode,
    ScoreSheet,
    SimilarCase,
    StatusQuery,
    TrialResult,
    TryModel,
    WarningDetail,
    WarningList,
    WarningRow,
    WarnStatus,
)
from anlan.warn.models.registry import Version, places_of
from anlan.warn.stream.similar import PastCase, pattern_of, similar_cases
from anlan.warn.warnings.record import Kept, Mint
from anlan.warn.warnings.scoring import WEEK, ClaimRow, sheet

if TYPE_CHECKING:
    from anlan.warn.service import WarnService

PERIOD = 4 * WEEK
VIEWS = ("open", "closed", "shadow", "all")
MOST = 5_000


@dataclass
class Desk:
    """Serves the requests of ``warn.model`` for one process."""

    service: WarnService

    @property
    def ledger(self) -> Ledger:
        """Where warnings rest."""
        return self.service.ledger

    async def serve(self) -> None:
        """Answer on the fabric from now on."""
        fabric = self.service.fabric
        await fabric.serve("warn.warnings", ListWarnings, self.warnings)
        await fabric.serve("warn.warning", GetWarning, self.warning)
        await fabric.serve("warn.act", ActOnWarning, self.act)
        await fabric.serve("warn.missed", ListMissed, self.missed)
        await fabric.serve("warn.features", ListFeatures, self.features)
        await fabric.serve("warn.risk", GetRisk, self.risk)
        await fabric.serve("warn.risk.explain", ExplainRisk, self.explain)
        await fabric.serve("warn.predictions", ListPredictions, self.predictions)
        await fabric.serve("warn.forecast", GetForecast, self.forecast)
        await fabric.serve("warn.models", ListModels, self.models)
        await fabric.serve("warn.model", GetModel, self.model)
        await fabric.serve("warn.model.add", AddModel, self.add_model)
        await fabric.serve("warn.model.act", ActOnModel, self.act_on_model)
        await fabric.serve("warn.try", TryModel, self.try_model)
        await fabric.serve("warn.status", StatusQuery, self.status)
        await AnalyticsDesk(fabric, lambda: self.service.plant).serve()

    # --- warnings ---------------------------------------------------------------------------------------------------

    async def warnings(self, request: ListWarnings, actor: Actor) -> WarningList:
        """Return the warnings of a view that the actor may see."""
        if request.view not in VIEWS:
            raise InvalidInputError(f"{request.view!r} is no view", where="view", fix=f"one of {', '.join(VIEWS)}")
        if request.scope:
            actor.require(Permission.VIEW, request.scope)
        found = await asyncio.to_thread(self.ledger.find, request)
        rows = [kept.row for kept in found if actor.sees(kept.row.path)]
        now_open = rows
        if request.view != "open" or request.model or request.start or request.end:
            whole = await asyncio.to_thread(self.ledger.find, ListWarnings(scope=request.scope))
            now_open = [kept.row for kept in whole if actor.sees(kept.row.path)]
        counts = grade_counts(row.grade for row in now_open)
        return WarningList(tuple(rows[: max(0, min(request.limit, MOST))]), counts, now_us())

    async def warning(self, request: GetWarning, actor: Actor) -> WarningDetail:
        """Return one warning with its evidence, history and similar cases."""
        kept = await self._kept(request.id, actor)
        steps = await asyncio.to_thread(self.ledger.steps, request.id)
        similar = await asyncio.to_thread(self._similar, kept)
        findings = tuple(member.finding for member in sorted(kept.members.values(), key=lambda m: m.joined))
        visible = tuple(case for case in similar if actor.sees(case.path))
        return WarningDetail(kept.row, kept.samples, kept.points, steps, visible, findings)

    async def _kept(self, identity: str, actor: Actor) -> Kept:
        kept = await asyncio.to_thread(self.ledger.kept, identity)
        if kept is None or not actor.sees(kept.row.path):
            raise NotFoundError("no such warning", where=identity)
        return kept

    def _similar(self, kept: Kept) -> tuple[SimilarCase, ...]:
        kinds = {point.path: point.kind for point in self.service.plant.points}
        cases = [
            PastCase(
                past.row.id,
                past.row.path,
                past.row.raised,
                pattern_of(past.row.model, past.row.contributions, kinds),
                past.row.outcome,
                past.row.comment,
            )
            for past in self.ledger.past(kept.row.raised)
        ]
        return similar_cases(pattern_of(kept.row.model, kept.row.contributions, kinds), cases)

    async def act(self, request: ActOnWarning, actor: Actor) -> WarningRow:
        """Answer, confirm, dismiss or close a warning."""
        kept = await self._kept(request.id, actor)
        actor.require(Permission.JUDGE_WARNING, kept.row.path)
        if len(request.comment) > 4_000:
            raise InvalidInputError("the comment is too long", where="comment", fix="at most 4000 characters")
        service = self.service
        async with service.whole:
            if request.id not in service.book.kept:
                raise ConflictError(f"it is {kept.row.state.value}: nothing can be done any more", where=request.id)
            now = now_us()
            mint = Mint(service.node, f"warn/act/{new_ulid(now)}", 0)
            changes = service.book.act(request, actor.user, now, mint)
            row = changes.kept[request.id].row
            await service.keep(changes)
        return row

    async def missed(self, request: ListMissed, actor: Actor) -> tuple[Missed, ...]:
        """Return the target events that no warning came before."""
        if request.scope:
            actor.require(Permission.VIEW, request.scope)
        found = await asyncio.to_thread(self.ledger.missed, request)
        return tuple(item for item in found if actor.sees(item.path))[: max(0, min(request.limit, MOST))]

    # --- features, risk, predictions --------------------------------------------------------------------------------

    async def features(self, request: ListFeatures, actor: Actor) -> tuple[FeatureRow, ...]:
        """Return the feature library with the values in the places the actor sees."""
        if request.path:
            actor.require(Permission.VIEW, request.path)
        rows = self.service.engine.feature_rows(request.path, request.id)
        return tuple(
            msgspec.structs.replace(
                row,
                values=tuple(value for value in row.values if actor.sees(value.path)),
                unbound={path: why for path, why in row.unbound.items() if actor.sees(path)},
            )
            for row in rows
        )

    async def risk(self, request: GetRisk, actor: Actor) -> RiskMap:
        """Return the risk of a place and all below it, terms left out."""
        if request.scope:
            actor.require(Permission.VIEW, request.scope)
        nodes = tuple(
            msgspec.structs.replace(node, terms=())
            for node in self.service.risk.nodes
            if actor.sees(node.path) and _below(node.path, request.scope)
        )
        return RiskMap(nodes, self.service.engine.time)

    async def explain(self, request: ExplainRisk, actor: Actor) -> RiskNode:
        """Return the risk of one place, term by term."""
        actor.require(Permission.VIEW, request.path)
        node = self.service.risk.explain(request.path)
        if node is None:
            raise NotFoundError(f"no risk is known of {request.path or 'the site'}", where=request.path)
        return node

    async def predictions(self, request: ListPredictions, actor: Actor) -> tuple[PredictedAlarm, ...]:
        """Return predicted alarms, soonest first."""
        if request.scope:
            actor.require(Permission.VIEW, request.scope)
        found = self.service.engine.predictions(request.scope, request.horizon)
        return tuple(item for item in found if actor.sees(item.path))

    async def forecast(self, request: GetForecast, actor: Actor) -> Forecast:
        """Return the cone of one point."""
        if all(point.path != request.path for point in self.service.plant.points) or not actor.sees(request.path):
            raise NotFoundError(f"no point {request.path}", where="path")
        return self.service.engine.forecast(request.path, request.horizon)

    # --- models -----------------------------------------------------------------------------------------------------

    async def models(self, request: ListModels, actor: Actor) -> tuple[ModelRow, ...]:
        """Return models with their score sheets of the last four weeks."""
        _require_somewhere(actor, Permission.VIEW)
        versions = await asyncio.to_thread(self.service.registry.versions, every=request.every)
        now = now_us()
        return await self._rows(versions, actor, now - PERIOD, now)

    async def model(self, request: GetModel, actor: Actor) -> ModelDetail:
        """Return every version of one model and its warnings of a period."""
        _require_somewhere(actor, Permission.VIEW)
        versions = [
            version
            for version in await asyncio.to_thread(self.service.registry.versions)
            if version.model.id == request.id
        ]
        if not versions:
            raise NotFoundError(f"no model {request.id}", where="id", fix="see 'anlan warn models'")
        end = request.end or now_us()
        start = request.start or end - PERIOD
        rows = await self._rows(versions, actor, start, end)
        found = await asyncio.to_thread(self.ledger.find, ListWarnings("all", model=request.id, start=start, end=end))
        warnings = tuple(kept.row for kept in found if actor.sees(kept.row.path))
        return ModelDetail(rows, warnings[:MOST])

    async def _rows(self, versions: list[Version], actor: Actor, start: int, end: int) -> tuple[ModelRow, ...]:
        claims = await asyncio.to_thread(self.ledger.claims, start, end)
        missed = await asyncio.to_thread(self.ledger.missed, ListMissed("", start, end))
        features = self.service.engine.feature_rows()
        rows = [self._row(version, claims, missed, start, end, features) for version in versions]
        return tuple(
            msgspec.structs.replace(row, bound=tuple(path for path in row.bound if actor.sees(path))) for row in rows
        )

    def _row(
        self,
        version: Version,
        claims: list[ClaimRow],
        missed: list[Missed],
        start: int,
        end: int,
        features: Sequence[FeatureRow],
    ) -> ModelRow:
        engine, model = self.service.engine, version.model
        key = f"{model.id}@{model.version}"
        problem = version.problem or (engine.problems.get(key) if version.runs else None) or ("", "")
        info = version.info
        return ModelRow(
            model=model,
            mode=version.mode,
            sheet=_sheet(version, claims, missed, start, end),
            created=version.created,
            created_by=version.created_by,
            digest=version.digest,
            signed_by=version.signed_by,
            training_hash=info.training_hash if info else "",
            training_rows=info.training_rows if info else 0,
            training_start=info.training_start if info else 0,
            training_end=info.training_end if info else 0,
            notes=info.notes if info else (),
            problem_zh=problem[0],
            problem=problem[1],
            bound=where(model, engine, features)[0] if version.runs else (),
        )

    async def add_model(self, request: AddModel, actor: Actor) -> ModelRow:
        """Add a version; it begins in shadow."""
        for place in places_of(request.model):
            actor.require(Permission.MANAGE_MODELS, place)
        version = await asyncio.to_thread(self.service.registry.add, request, actor, now_us())
        await self.service.refit()
        return await self._one(version.key, actor)

    async def act_on_model(self, request: ActOnModel, actor: Actor) -> ModelRow:
        """Set a version live, to shadow, retire it, or roll back."""
        registry = self.service.registry
        versions = [v for v in await asyncio.to_thread(registry.versions) if v.model.id == request.id]
        if not versions:
            raise NotFoundError(f"no model {request.id}", where="id", fix="see 'anlan warn models'")
        for place in {place for version in versions for place in places_of(version.model)}:
            actor.require(Permission.MANAGE_MODELS, place)
        version = await asyncio.to_thread(registry.act, request, actor, now_us())
        await self.service.refit()
        return await self._one(version.key, actor)

    async def _one(self, key: tuple[str, int], actor: Actor) -> ModelRow:
        versions = [v for v in await asyncio.to_thread(self.service.registry.versions) if v.key == key]
        now = now_us()
        return (await self._rows(versions, actor, now - PERIOD, now))[0]

    async def try_model(self, request: TryModel, actor: Actor) -> TrialResult:
        """Run a model on history, telling nobody."""
        from anlan.warn.trial import try_on_historian

        model, file = request.model, request.file
        if model is None:
            versions = await asyncio.to_thread(self.service.registry.versions)
            found = [v for v in versions if v.model.id == request.id and request.version in (0, v.model.version)]
            if not found:
                raise NotFoundError(f"no model {request.id}", where="id", fix="see 'anlan warn models --every'")
            if found[0].problem is not None:
                raise ConflictError(found[0].problem[1], where=request.id)
            model, file = found[0].model, found[0].file
        service = self.service
        return await try_on_historian(
            service.fabric, service.plant, model, file, request.start, request.end, actor, library=service.library
        )

    # --- status -----------------------------------------------------------------------------------------------------

    async def status(self, _request: StatusQuery, actor: Actor) -> WarnStatus:
        """Return how far the process is."""
        _require_somewhere(actor, Permission.VIEW)
        service = self.service
        return WarnStatus(
            sequence=service.settled,
            behind=service.behind,
            steps=service.engine.steps,
            time=service.engine.time,
            models=len(service.fleet.versions),
            features=len(service.engine.features.bound),
            problems=tuple(service.health.problems.values()),
        )


def _sheet(version: Version, claims: Iterable[ClaimRow], missed: Iterable[Missed], start: int, end: int) -> ScoreSheet:
    own = [claim for claim in claims if (claim.model, claim.version) == version.key]
    unseen = [item for item in missed if version.model.id in item.models and item.time >= version.created]
    # A model is judged over the time it has been there.
    return sheet(own, unseen, min(max(start, version.created), end), end, version.model.budget)


def _below(path: str, scope: str) -> bool:
    return not scope or path == scope or path.startswith(scope + "/")


def _require_somewhere(actor: Actor, permission: Permission) -> None:
    if not any(actor.may(permission, grant.scope) for grant in actor.grants):
        actor.require(permission)
