"""What one may ask the room ``warn``, and what it answers. Requests go to ``svc.warn.*``; times are µs UTC.

=========================  ====================  ==========================================
subject                    request               answer
=========================  ====================  ==========================================
warn.warnings              ListWarnings          WarningList
warn.warning               GetWarning            WarningDetail
warn.act                   ActOnWarning          WarningRow
warn.missed                ListMissed            tuple of Missed
warn.features              ListFeatures          tuple of FeatureRow
warn.risk                  GetRisk               RiskMap
warn.risk.explain          ExplainRisk           RiskNode
warn.predictions           ListPredictions       tuple of PredictedAlarm
warn.forecast              GetForecast           Forecast
warn.models                ListModels            tuple of ModelRow
warn.model                 GetModel              ModelDetail
warn.model.add             AddModel              ModelRow
warn.model.act             ActOnModel            ModelRow
warn.try                   TryModel              TrialResult
warn.floods                ListFloods            tuple of FloodRow
warn.flood                 GetFlood              FloodDetail
warn.proposals             ListProposals         tuple of Proposal
warn.status                WarnStatus query      WarnStatus
=========================  ====================  ==========================================

``live.warn`` carries ``WarnLive`` once a second for the console; ``events.warning.transition``, ``events.risk.change``
and ``events.model.change`` every change.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from anlan.core.events import WarningOutcome, WarningState
from anlan.core.severity import RiskColour, WarningGrade

LIVE = "live.warn"

# --- findings: what a model says, before it becomes a warning ------------------------------------------------------


class Contribution(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much one point (by path) or feature (by id) adds: ``share`` of the whole, 0..1; what it is and should be."""

    name: str
    share: float
    value: float | None = None
    expected: float | None = None
    unit: str = ""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model says of one place at one moment. Only changes travel; ``grade`` null means it is over.

    Attributes:
        model, version: who says so.
        path: unit, area or point it is about.
        time: end of the step, µs UTC.
        grade: grade it asks for, by the model's thresholds; null when the condition has ended.
        score: the model's own figure, larger is worse.
        p_value: chance of such a score in normal running; null where the model has none.
        lead: µs until the expected target event, 0 when the model cannot say.
        target: alarm id or event the model expects; empty when it names only a kind.
        contributions: largest first, at most eight.
        samples: ``samples:…`` ranges it rests on.
        zh, en: the reason in a sentence.
    """

    model: str
    version: int
    path: str
    time: int
    grade: WarningGrade | None
    score: float
    p_value: float | None = None
    lead: int = 0
    target: str = ""
    contributions: tuple[Contribution, ...] = ()
    samples: tuple[str, ...] = ()
    zh: str = ""
    en: str = ""


# --- models ----------------------------------------------------------------------------------------------------------


class ModelKind(StrEnum):
    """What a warning model rests on: risk features, a fitted detector, a trend to a limit, a risk index."""

    FEATURE = "feature"
    DETECTOR = "detector"
    TREND = "trend"
    RISK = "risk"


class ModelMode(StrEnum):
    """Shadow models run beside the live ones: their warnings are kept and scored, and reach nobody."""

    LIVE = "live"
    SHADOW = "shadow"
    RETIRED = "retired"


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """The event a model claims to foresee: a rung alarm, or an incident, at the warning's place.

    Attributes:
        priority: the alarm must be at least as urgent (1 critical … 4 low).
        kinds: kinds of the alarm (HH, LL, …); any when empty.
        point_kinds: kinds of its point; any when empty.
        contributors: the alarm must be at one of the warning's contributing points.
        scope: ``unit`` or ``area`` of the warning's path in which it counts.
    """

    priority: int = 4
    kinds: tuple[str, ...] = ()
    point_kinds: tuple[str, ...] = ()
    contributors: bool = False
    scope: str = "unit"


class Budget(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model must keep to stay live, judged once ``least`` of its warnings are scored."""

    precision: float = 0.5
    false_a_week: float = 1.0
    least: int = 10


class WarningModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A warning model as data.

    Attributes:
        id, version: ``version`` counts up; an older one can be taken back.
        kind: what it rests on.
        target: what it claims to foresee.
        horizon, least_lead: µs: how far ahead, and the least warning time that helps.
        features: FEATURE: ids of risk features, or patterns such as ``pump.*``; each brings thresholds of its own.
        points, step: DETECTOR: full paths of its inputs, and its step (µs); its file is kept beside the model.
        grades: largest p-value of each grade, by name, for DETECTOR; smallest score otherwise.
        on_steps, off_steps: steps in a row before a finding begins, and before it ends.
        scope: places it runs in; everywhere its inputs are when empty.
        action_zh, action_en: recommended action; empty takes the feature's.
        source: standard, clause, paper or person the model comes from.
    """

    id: str
    kind: ModelKind
    version: int = 1
    name: str = ""
    name_en: str = ""
    target: Target = Target()
    horizon: int = 3_600_000_000
    least_lead: int = 60_000_000
    features: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    step: int = 10_000_000
    grades: dict[str, float] = {}
    on_steps: int = 3
    off_steps: int = 30
    scope: tuple[str, ...] = ()
    action_zh: str = ""
    action_en: str = ""
    owner: str = ""
    source: str = ""
    budget: Budget = Budget()


class ScoreSheet(msgspec.Struct, frozen=True, omit_defaults=True):
    """How good a model was over a period; rates are null where nothing was scored. Lead times in µs.

    ``within_budget`` is null until enough warnings are scored.
    """

    start: int
    end: int
    raised: int = 0
    hit: int = 0
    averted: int = 0
    late: int = 0
    false: int = 0
    missed: int = 0
    open: int = 0
    precision: float | None = None
    recall: float | None = None
    false_a_week: float | None = None
    leads: tuple[int, ...] = ()
    within_budget: bool | None = None


class ModelRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of a model, where it stands and what it is worth; ``problem`` says why it does not run."""

    model: WarningModel
    mode: ModelMode
    sheet: ScoreSheet
    created: int = 0
    created_by: str = ""
    digest: str = ""
    signed_by: str = ""
    training_hash: str = ""
    training_rows: int = 0
    training_start: int = 0
    training_end: int = 0
    notes: tuple[str, ...] = ()
    problem_zh: str = ""
    problem: str = ""
    bound: tuple[str, ...] = ()


class ListModels(msgspec.Struct, frozen=True, omit_defaults=True):
    """Models that run (live and shadow), or every version."""

    every: bool = False


class GetModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model: every version of it, and its warnings between ``start`` and ``end``."""

    id: str
    start: int = 0
    end: int = 0


class AddModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """Add a version; ``file`` is the fitted model of a DETECTOR. It begins in shadow."""

    model: WarningModel
    file: bytes = b""
    comment: str = ""


class ActOnModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """``verb``: ``live``, ``shadow``, ``retire`` or ``rollback`` (to the version that was live before)."""

    id: str
    verb: str
    version: int = 0
    comment: str = ""


# --- warnings --------------------------------------------------------------------------------------------------------


class WarningRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One warning as people see it; times µs UTC, 0 when there is none.

    Attributes:
        active: its condition still holds.
        shadow: raised by a shadow model: nobody was told.
        findings: how many findings, of how many models, were grouped into it.
        expected: when the target event is expected, as ``lead`` was said at; 0 when the model cannot say.
        answers: users who answered; ``need`` how many must, at escalation step ``step``; ``next_step`` when it goes on.
        outcome, event: once scored: what it was worth, and the event that decided it.
    """

    id: str
    path: str
    grade: WarningGrade
    state: WarningState
    model: str
    version: int
    raised: int
    changed: int
    active: bool = True
    shadow: bool = False
    worst: WarningGrade = WarningGrade.BLUE
    score: float = 0.0
    p_value: float | None = None
    horizon: int = 0
    lead: int = 0
    target: str = ""
    zh: str = ""
    en: str = ""
    action_zh: str = ""
    action_en: str = ""
    models: tuple[str, ...] = ()
    findings: int = 1
    contributions: tuple[Contribution, ...] = ()
    step: int = 0
    need: int = 0
    answers: tuple[str, ...] = ()
    next_step: int = 0
    who: str = ""
    comment: str = ""
    closed: int = 0
    outcome: WarningOutcome | None = None
    event: str = ""
    expected: int = 0


class SimilarCase(msgspec.Struct, frozen=True, omit_defaults=True):
    """A past warning like this one: ``likeness`` 0..1, what came of it and what was done."""

    warning: str
    path: str
    raised: int
    likeness: float
    outcome: WarningOutcome | None = None
    comment: str = ""


class WarningStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a warning's history: an arrow, a message sent or a message that failed."""

    time: int
    arrow: str
    grade: WarningGrade
    who: str = ""
    comment: str = ""
    event: str = ""


class WarningDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything about one warning: evidence, history, what is similar, what to do."""

    row: WarningRow
    samples: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    steps: tuple[WarningStep, ...] = ()
    similar: tuple[SimilarCase, ...] = ()
    findings: tuple[Finding, ...] = ()


class ListWarnings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Warnings, gravest first, then newest: ``view`` is open (not closed or scored), closed, shadow or all."""

    view: str = "open"
    scope: str = ""
    model: str = ""
    start: int = 0
    end: int = 0
    limit: int = 500


class WarningList(msgspec.Struct, frozen=True):
    """Warnings, and how many are open by grade (red, orange, yellow, blue)."""

    rows: tuple[WarningRow, ...]
    open_by_grade: tuple[int, int, int, int]
    time: int


class GetWarning(msgspec.Struct, frozen=True):
    """One warning by its id."""

    id: str


class ActOnWarning(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person's act: ``verb`` is ``answer``, ``confirm``, ``dismiss`` (with a reason), ``close`` or ``averted``.

    ``close`` says what was done; ``averted`` closes it and states that an inspection found what it foresaw.
    """

    id: str
    verb: str
    comment: str = ""


class ModelDetail(msgspec.Struct, frozen=True):
    """Every version of one model, newest first, and the warnings of the period in which it had a part."""

    versions: tuple[ModelRow, ...]
    warnings: tuple[WarningRow, ...]


class Missed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target event that no warning came before; ``models`` are the live ones that should have seen it."""

    event: str
    time: int
    path: str
    target: str
    priority: int
    models: tuple[str, ...] = ()


class ListMissed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Missed events, newest first."""

    scope: str = ""
    start: int = 0
    end: int = 0
    limit: int = 200


# --- features --------------------------------------------------------------------------------------------------------


class FeatureValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """A feature in one unit: its value now (null when it cannot say, and why), the grade it asks for, its inputs."""

    path: str
    inputs: dict[str, str] = {}
    value: float | None = None
    grade: WarningGrade | None = None
    reason_zh: str = ""
    reason: str = ""


class FeatureRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A risk feature of the library, and where it runs; ``unbound`` says which units lack what."""

    id: str
    name: str
    name_en: str
    meaning: str
    meaning_en: str
    unit: str
    window: int
    source: str
    expression: str = ""
    builtin: str = ""
    inputs: dict[str, str] = {}
    grades: dict[str, float] = {}
    low: float | None = None
    high: float | None = None
    action: str = ""
    action_en: str = ""
    pack: str = ""
    values: tuple[FeatureValue, ...] = ()
    unbound: dict[str, str] = {}


class ListFeatures(msgspec.Struct, frozen=True, omit_defaults=True):
    """The feature library; ``path`` limits the values to one unit or place."""

    path: str = ""
    id: str = ""


# --- risk ------------------------------------------------------------------------------------------------------------


class RiskTerm(msgspec.Struct, frozen=True, omit_defaults=True):
    """One term of a risk index: what it adds to the index, why, from which standard or register, since when."""

    id: str
    kind: str
    zh: str
    en: str
    adds: float
    source: str
    value: float | None = None
    unit: str = ""
    since: int = 0
    causes: tuple[str, ...] = ()


class RiskNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """Live risk of one place.

    Attributes:
        kind: ``unit``, ``area``, ``enterprise`` or ``site`` (path empty).
        index: 0..100, never below ``inherent``; ``colour`` follows from it by the model's bounds.
        model: risk model that made it; empty where a place has none of its own and only rolls up.
        terms: largest first; for a rolled-up place the leaves that made it.
        lacking: inputs the model wants and the place has not.
    """

    path: str
    kind: str
    index: float
    colour: RiskColour
    inherent: float
    name: str = ""
    name_en: str = ""
    inherent_colour: RiskColour = RiskColour.BLUE
    model: str = ""
    version: int = 0
    time: int = 0
    terms: tuple[RiskTerm, ...] = ()
    lacking: tuple[str, ...] = ()
    red_leaves: int = 0
    leaves: int = 0


class RiskMap(msgspec.Struct, frozen=True):
    """Every place the asker sees, parents before children."""

    nodes: tuple[RiskNode, ...]
    time: int


class GetRisk(msgspec.Struct, frozen=True, omit_defaults=True):
    """Risk of a place and all below it, terms left out."""

    scope: str = ""


class ExplainRisk(msgspec.Struct, frozen=True):
    """Risk of one place, term by term."""

    path: str


# --- predictions -----------------------------------------------------------------------------------------------------


class PredictedAlarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """A limit a trending point will reach: median and 90 % bounds of when (µs UTC, 0 = beyond the horizon)."""

    alarm: str
    path: str
    point: int
    kind: str
    limit: float
    value: float
    rate: float
    probability: float
    expected: int
    earliest: int = 0
    latest: int = 0
    priority: int = 4
    unit: str = ""
    name: str = ""
    name_en: str = ""


class ListPredictions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Predicted alarms, soonest first."""

    scope: str = ""
    horizon: int = 3_600_000_000


class GetForecast(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cone of one point, to be drawn on its trend."""

    path: str
    horizon: int = 3_600_000_000


class Forecast(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a point is going: median and 90 % band at ``times`` (µs UTC); ``trending`` False: only noise is seen."""

    path: str
    trending: bool
    times: tuple[int, ...] = ()
    median: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    alarms: tuple[PredictedAlarm, ...] = ()


# --- trial, analytics, status -----------------------------------------------------------------------------------------


class TryModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """Run a model (by id, or one not yet added) on history, without telling anybody."""

    start: int
    end: int
    id: str = ""
    version: int = 0
    model: WarningModel | None = None
    file: bytes = b""


class TrialResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the model would have done: its warnings with outcomes, its score sheet, steps it ran and could not run."""

    rows: tuple[WarningRow, ...]
    sheet: ScoreSheet
    steps: int = 0
    blind: int = 0
    notes: tuple[str, ...] = ()


class FloodRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alarm flood: when, how many alarms, the likely root alarm and how sure, the most similar past flood."""

    id: str
    start: int
    end: int
    alarms: int
    position: str = ""
    root: str = ""
    root_probability: float = 0.0
    similar: str = ""
    likeness: float = 0.0


class ListFloods(msgspec.Struct, frozen=True, omit_defaults=True):
    """Floods of a period, newest first."""

    start: int
    end: int
    scope: str = ""
    limit: int = 100


class GetFlood(msgspec.Struct, frozen=True):
    """One flood by its id (the event id of its beginning)."""

    id: str


class FloodDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """A flood: its sequence of (alarm, time), likely roots with probability, similar floods, what came next there.

    ``actions`` are what the definitions of the likely roots tell the operator to do.
    """

    row: FloodRow
    sequence: tuple[tuple[str, int], ...] = ()
    roots: tuple[tuple[str, float], ...] = ()
    similar: tuple[FloodRow, ...] = ()
    next_alarms: tuple[tuple[str, float], ...] = ()
    actions: tuple[str, ...] = ()


class Proposal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A proposed change of one alarm: field, old and new value, and its predicted effect on recorded history.

    ``raised``/``would_raise`` count alarms of the period; ``delay`` is what a true alarm would lose (µs); ``missed``
    true alarms that would not have rung. It becomes a change of the site files only through the register of changes.
    """

    alarm: str
    field: str
    old: float | None
    new: float
    raised: int
    would_raise: int
    unit: str = ""
    delay: int = 0
    missed: int = 0
    reason_zh: str = ""
    reason: str = ""
    chattering: float | None = None


class ListProposals(msgspec.Struct, frozen=True, omit_defaults=True):
    """Proposals from the history of a period."""

    start: int
    end: int
    scope: str = ""
    limit: int = 50


class StatusQuery(msgspec.Struct, frozen=True):
    """Ask how far the room is."""


class WarnStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """Log sequence evaluated, how far behind, steps run, models and features that run, and what could not be bound."""

    sequence: int
    behind: int
    steps: int
    time: int
    models: int = 0
    features: int = 0
    problems: tuple[str, ...] = ()


class WarnLive(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the console needs once a second: open warnings by grade, colours by path, predicted alarms soonest first."""

    time: int
    open_by_grade: tuple[int, int, int, int]
    colours: dict[str, tuple[int, float]] = {}
    predictions: tuple[PredictedAlarm, ...] = ()
    extra: dict[str, Any] = {}
