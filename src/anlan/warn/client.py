"""Typed requests to the process ``warn`` over the fabric, carrying who asks."""

from __future__ import annotations

from anlan.core.actor import Actor
from anlan.store.fabric.client import Fabric
from anlan.warn.model import (
    ActOnModel,
    ActOnWarning,
    AddModel,
    ExplainRisk,
    FeatureRow,
    FloodDetail,
    FloodRow,
    Forecast,
    GetFlood,
    GetForecast,
    GetModel,
    GetRisk,
    GetWarning,
    ListFeatures,
    ListFloods,
    ListMissed,
    ListModels,
    ListPredictions,
    ListProposals,
    ListWarnings,
    Missed,
    ModelDetail,
    ModelRow,
    PredictedAlarm,
    Proposal,
    RiskMap,
    RiskNode,
    StatusQuery,
    TrialResult,
    TryModel,
    WarningDetail,
    WarningList,
    WarningRow,
    WarnStatus,
)

HISTORY_TIMEOUT_S = 120.0
TRY_TIMEOUT_S = 600.0
MODEL_TIMEOUT_S = 30.0


class WarnClient:
    """Asks ``svc.warn.*`` on behalf of ``actor``.

    Every method raises UnavailableError when nobody answers, and what the service raised otherwise.
    """

    def __init__(self, fabric: Fabric, actor: Actor) -> None:
        self._fabric = fabric
        self._actor = actor

    # --- warnings -------------------------------------------------------------------------------------------------

    async def warnings(self, request: ListWarnings | None = None) -> WarningList:
        """Return warnings, gravest first."""
        return await self._fabric.call("warn.warnings", request or ListWarnings(), self._actor, WarningList, timeout=15)

    async def warning(self, identity: str) -> WarningDetail:
        """Return one warning with its evidence and history."""
        return await self._fabric.call("warn.warning", GetWarning(identity), self._actor, WarningDetail, timeout=15)

    async def act(self, identity: str, verb: str, comment: str = "") -> WarningRow:
        """Answer, confirm, dismiss or close a warning, or state that it was averted."""
        request = ActOnWarning(identity, verb, comment)
        return await self._fabric.call("warn.act", request, self._actor, WarningRow, timeout=15)

    async def missed(self, request: ListMissed | None = None) -> tuple[Missed, ...]:
        """Return target events that no warning came before, newest first."""
        return await self._fabric.call(
            "warn.missed", request or ListMissed(), self._actor, tuple[Missed, ...], timeout=15
        )

    # --- features, risk, predictions ----------------------------------------------------------------------------------

    async def features(self, path: str = "", identity: str = "") -> tuple[FeatureRow, ...]:
        """Return the feature library with its newest values."""
        request = ListFeatures(path, identity)
        return await self._fabric.call("warn.features", request, self._actor, tuple[FeatureRow, ...], timeout=15)

    async def risk(self, scope: str = "") -> RiskMap:
        """Return the risk of a place and all below it."""
        return await self._fabric.call("warn.risk", GetRisk(scope), self._actor, RiskMap)

    async def explain(self, path: str) -> RiskNode:
        """Return the risk of one place, term by term."""
        return await self._fabric.call("warn.risk.explain", ExplainRisk(path), self._actor, RiskNode)

    async def predictions(self, request: ListPredictions | None = None) -> tuple[PredictedAlarm, ...]:
        """Return predicted alarms, soonest first."""
        return await self._fabric.call(
            "warn.predictions", request or ListPredictions(), self._actor, tuple[PredictedAlarm, ...]
        )

    async def forecast(self, request: GetForecast) -> Forecast:
        """Return the cone of one point."""
        return await self._fabric.call("warn.forecast", request, self._actor, Forecast)

    # --- models ---------------------------------------------------------------------------------------------------

    async def models(self, *, every: bool = False) -> tuple[ModelRow, ...]:
        """Return the models that run, or every version."""
        return await self._fabric.call(
            "warn.models", ListModels(every), self._actor, tuple[ModelRow, ...], timeout=MODEL_TIMEOUT_S
        )

    async def model(self, request: GetModel) -> ModelDetail:
        """Return every version of one model, and its warnings."""
        return await self._fabric.call("warn.model", request, self._actor, ModelDetail, timeout=MODEL_TIMEOUT_S)

    async def add_model(self, request: AddModel) -> ModelRow:
        """Add a version; it begins in shadow."""
        return await self._fabric.call("warn.model.add", request, self._actor, ModelRow, timeout=MODEL_TIMEOUT_S)

    async def act_on_model(self, request: ActOnModel) -> ModelRow:
        """Set a version live, to shadow, retire it, or roll back."""
        return await self._fabric.call("warn.model.act", request, self._actor, ModelRow, timeout=MODEL_TIMEOUT_S)

    async def try_model(self, request: TryModel) -> TrialResult:
        """Run a model on history, telling nobody."""
        return await self._fabric.call("warn.try", request, self._actor, TrialResult, timeout=TRY_TIMEOUT_S)

    # --- analytics, status ------------------------------------------------------------------------------------------

    async def floods(self, request: ListFloods) -> tuple[FloodRow, ...]:
        """Return alarm floods, newest first."""
        return await self._fabric.call(
            "warn.floods", request, self._actor, tuple[FloodRow, ...], timeout=HISTORY_TIMEOUT_S
        )

    async def flood(self, identity: str) -> FloodDetail:
        """Return one flood: its sequence, likely roots, similar ones."""
        return await self._fabric.call(
            "warn.flood", GetFlood(identity), self._actor, FloodDetail, timeout=HISTORY_TIMEOUT_S
        )

    async def proposals(self, request: ListProposals) -> tuple[Proposal, ...]:
        """Return proposed changes of alarms with their predicted effect."""
        return await self._fabric.call(
            "warn.proposals", request, self._actor, tuple[Proposal, ...], timeout=HISTORY_TIMEOUT_S
        )

    async def status(self) -> WarnStatus:
        """Return how far the process is."""
        return await self._fabric.call("warn.status", StatusQuery(), self._actor, WarnStatus)
