"""What the responders of the process ``warn`` answer in tests of the web floor: one example of each contract."""

from __future__ import annotations

from typing import Any

from anlan.core.events import WarningOutcome, WarningState
from anlan.core.severity import RiskColour, WarningGrade
from anlan.warn import model as warn
from tests.web.plant import HAIAN, LINGANG

MODEL = warn.WarningModel("level-trend", warn.ModelKind.TREND)
SHEET = warn.ScoreSheet(1, 2, raised=3, hit=2, false=1, precision=2 / 3, leads=(5, 6))
MODEL_ROW = warn.ModelRow(MODEL, warn.ModelMode.LIVE, SHEET, bound=(HAIAN,))
WARNINGS = (
    warn.WarningRow("W1", HAIAN, WarningGrade.RED, WarningState.RAISED, "level-trend", 1, 30, 30, zh="将超限"),
    warn.WarningRow("W2", HAIAN, WarningGrade.ORANGE, WarningState.CONFIRMED, "level-trend", 1, 40, 50),
    warn.WarningRow("W3", LINGANG, WarningGrade.ORANGE, WarningState.RAISED, "seal", 2, 20, 20),
)
SCORED = warn.WarningRow(
    "W0", HAIAN, WarningGrade.BLUE, WarningState.SCORED, "seal", 1, 1, 9, outcome=WarningOutcome.HIT
)
DETAIL = warn.WarningDetail(WARNINGS[0], ("samples:n/1/1..2#3-4",), (f"{HAIAN}/pressure",))
NODE = warn.RiskNode(HAIAN, "unit", 41.0, RiskColour.YELLOW, 20.0, terms=())
PREDICTED = warn.PredictedAlarm(f"{HAIAN}/pressure.HH", f"{HAIAN}/pressure", 1, "HH", 2.0, 1.5, 0.1, 0.9, 99)
MISSED = warn.Missed("E1", 5, f"{LINGANG}/speed", f"{LINGANG}/speed.H", 1, ("seal",))
FEATURE = warn.FeatureRow("pump.efficiency", "效率", "efficiency", "m", "m", "1", 60, "ISO 9906")
FLOOD = warn.FloodRow("desk-1@5", 5, 9, 12)

# Subject: type of the request, answer.
ANSWERS: dict[str, tuple[Any, Any]] = {
    "warn.warnings": (warn.ListWarnings, warn.WarningList(WARNINGS, (1, 2, 0, 0), 77)),
    "warn.warning": (warn.GetWarning, DETAIL),
    "warn.act": (warn.ActOnWarning, WARNINGS[1]),
    "warn.missed": (warn.ListMissed, (MISSED,)),
    "warn.features": (warn.ListFeatures, (FEATURE,)),
    "warn.risk": (warn.GetRisk, warn.RiskMap((NODE,), 77)),
    "warn.risk.explain": (warn.ExplainRisk, NODE),
    "warn.predictions": (warn.ListPredictions, (PREDICTED,)),
    "warn.forecast": (warn.GetForecast, warn.Forecast(f"{HAIAN}/pressure", True, (1, 2), (1.0, 2.0))),
    "warn.models": (warn.ListModels, (MODEL_ROW,)),
    "warn.model": (warn.GetModel, warn.ModelDetail((MODEL_ROW,), (SCORED,))),
    "warn.model.add": (warn.AddModel, MODEL_ROW),
    "warn.model.act": (warn.ActOnModel, MODEL_ROW),
    "warn.try": (warn.TryModel, warn.TrialResult((SCORED,), SHEET, 9, 1)),
    "warn.floods": (warn.ListFloods, (FLOOD,)),
    "warn.flood": (warn.GetFlood, warn.FloodDetail(FLOOD)),
    "warn.proposals": (warn.ListProposals, (warn.Proposal(f"{HAIAN}/pressure.HH", "deadband", 0.0, 0.1, 9, 3),)),
    "warn.status": (warn.StatusQuery, warn.WarnStatus(9, 0, 100, 77)),
}
