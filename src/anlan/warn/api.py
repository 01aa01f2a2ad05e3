"""REST routes of early warning: warnings, risk, features, predicted alarms, models, alarm analytics."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY, HOUR, now_us
from anlan.warn.client import WarnClient
from anlan.warn.model import (
    ActOnModel,
    AddModel,
    FeatureRow,
    FloodDetail,
    FloodRow,
    Forecast,
    GetForecast,
    GetModel,
    ListFloods,
    ListMissed,
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
    TrialResult,
    TryModel,
    WarningDetail,
    WarningRow,
    WarnStatus,
)
from anlan.web.api.history import Moment, moment
from anlan.web.api.plant import Cursor, Limit, require_place
from anlan.web.contract import body, documented, page_of, reply
from anlan.web.security import Context, CurrentActor
from anlan.web.watch import PlantWatch

router = APIRouter(tags=["warnings"])

UnderQuery = Annotated[str, Query(alias="under", max_length=400, description="a place of the hierarchy")]
Horizon = Annotated[int, Query(ge=1_000_000, le=DAY, description="how far ahead, µs")]
ModelId = Annotated[str, Query(max_length=64, description="id of a model")]
SortKey = tuple[int, int, str]


class WarningPage(msgspec.Struct, frozen=True):
    """A page of warnings, gravest first, then newest; ``open_by_grade`` counts all that are open (red … blue)."""

    items: tuple[WarningRow, ...]
    open_by_grade: tuple[int, int, int, int]
    time: int
    next: str = ""


class Verb(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What to do with a warning (answer, confirm, dismiss, close, averted), and why or what was done."""

    verb: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    comment: Annotated[str, msgspec.Meta(max_length=4000)] = ""


class ModelVerb(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What to do with a model (live, shadow, retire, rollback); ``version`` 0 is the newest."""

    verb: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    version: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    comment: Annotated[str, msgspec.Meta(max_length=4000)] = ""


def sort_key(row: WarningRow) -> SortKey:
    """Return what warnings are sorted by, everywhere."""
    return (int(row.grade), -row.raised, row.id)


def _inside(path: str, place: str) -> bool:
    return not place or path == place or path.startswith(place + "/")


def _period(start: str, end: str, plant: PlantWatch, default: int) -> tuple[int, int]:
    until = moment(end, "end", plant, now_us())
    since = moment(start, "start", plant, until - default)
    if not since < until:
        raise InvalidInputError("the end is not after the start", where="end", fix="start < end")
    return since, until


# --- warnings -------------------------------------------------------------------------------------------------------


@router.get("/warnings", **documented(answer=WarningPage))
async def list_warnings(
    context: Context,
    actor: CurrentActor,
    view: Literal["open", "closed", "shadow", "all"] = "open",
    under: UnderQuery = "",
    model: ModelId = "",
    grade: Annotated[int | None, Query(ge=1, le=4, description="1 red … 4 blue")] = None,
    start: Moment = "",
    end: Moment = "",
    cursor: Cursor = "",
    limit: Limit = 500,
) -> Response:
    """Warnings: what is on its way, with grade, lead time and reason."""
    require_place(context.plant, actor, under)
    request = ListWarnings(
        view,
        under if actor.sees(under) else "",
        model,
        moment(start, "start", context.plant),
        moment(end, "end", context.plant),
        limit=5000,
    )
    found = await WarnClient(context.fabric, actor).warnings(request)
    rows = sorted(
        (row for row in found.rows if (grade is None or row.grade == grade) and _inside(row.path, under)), key=sort_key
    )
    items, after = page_of(rows, sort_key, SortKey, cursor, limit)
    return reply(WarningPage(items, found.open_by_grade, found.time, after))


@router.get("/warnings/status", **documented(answer=WarnStatus))
async def read_warn_status(context: Context, actor: CurrentActor) -> Response:
    """How far the process of early warning is in the log."""
    return reply(await WarnClient(context.fabric, actor).status())


@router.get("/warnings/missed", **documented(answer=tuple[Missed, ...]))
async def list_missed(
    context: Context,
    actor: CurrentActor,
    under: UnderQuery = "",
    start: Moment = "",
    end: Moment = "",
    limit: Limit = 200,
) -> Response:
    """Target events that no warning came before, newest first."""
    require_place(context.plant, actor, under)
    since, until = _period(start, end, context.plant, 28 * DAY)
    request = ListMissed(under if actor.sees(under) else "", since, until, limit)
    found = await WarnClient(context.fabric, actor).missed(request)
    return reply(tuple(item for item in found if _inside(item.path, under)))


@router.get("/warnings/{warning}", **documented(answer=WarningDetail))
async def read_warning(context: Context, actor: CurrentActor, warning: str) -> Response:
    """One warning: evidence, history, similar cases."""
    return reply(await WarnClient(context.fabric, actor).warning(warning))


@router.post("/warnings/{warning}/act", **documented(Verb, WarningRow))
async def act_on_warning(
    context: Context, actor: CurrentActor, warning: str, wanted: Annotated[Verb, body(Verb)]
) -> Response:
    """Answer, confirm, dismiss (with a reason) or close a warning, or state that an inspection averted it."""
    return reply(await WarnClient(context.fabric, actor).act(warning, wanted.verb, wanted.comment))


# --- features, risk, predictions ------------------------------------------------------------------------------------


@router.get("/risk-features", **documented(answer=tuple[FeatureRow, ...]))
async def list_features(
    context: Context,
    actor: CurrentActor,
    under: UnderQuery = "",
    feature: Annotated[str, Query(max_length=100, description="id of a feature")] = "",
) -> Response:
    """The library of risk features with their newest values, and where they cannot run and why."""
    require_place(context.plant, actor, under)
    return reply(await WarnClient(context.fabric, actor).features(under if actor.sees(under) else "", feature))


@router.get("/risk", **documented(answer=RiskMap))
async def read_risk(context: Context, actor: CurrentActor, under: UnderQuery = "") -> Response:
    """Live risk of every place one sees, parents before children."""
    require_place(context.plant, actor, under)
    found = await WarnClient(context.fabric, actor).risk(under if actor.sees(under) else "")
    return reply(msgspec.structs.replace(found, nodes=tuple(n for n in found.nodes if _inside(n.path, under))))


@router.get("/risk/explain", **documented(answer=RiskNode))
async def explain_risk(
    context: Context, actor: CurrentActor, path: Annotated[str, Query(max_length=400, description="a place")] = ""
) -> Response:
    """Risk of one place, term by term, each with its source."""
    return reply(await WarnClient(context.fabric, actor).explain(path))


@router.get("/predicted-alarms", **documented(answer=tuple[PredictedAlarm, ...]))
async def list_predictions(
    context: Context, actor: CurrentActor, under: UnderQuery = "", horizon: Horizon = HOUR
) -> Response:
    """Limits that trending points will reach, soonest first."""
    require_place(context.plant, actor, under)
    request = ListPredictions(under if actor.sees(under) else "", horizon)
    found = await WarnClient(context.fabric, actor).predictions(request)
    return reply(tuple(item for item in found if _inside(item.path, under)))


@router.get("/forecast", **documented(answer=Forecast))
async def read_forecast(
    context: Context,
    actor: CurrentActor,
    path: Annotated[str, Query(max_length=400, description="path of a point")],
    horizon: Horizon = HOUR,
) -> Response:
    """Where a point is going: median and 90 % band, and the limits it will reach."""
    context.plant.point(path, actor)
    return reply(await WarnClient(context.fabric, actor).forecast(GetForecast(path, horizon)))


# --- models ---------------------------------------------------------------------------------------------------------


@router.get("/warning-models", **documented(answer=tuple[ModelRow, ...]))
async def list_models(context: Context, actor: CurrentActor, every: bool = False) -> Response:
    """Models that run, live and in shadow (or every version), with their score sheets of four weeks."""
    return reply(await WarnClient(context.fabric, actor).models(every=every))


@router.post("/warning-models", **documented(AddModel, ModelRow))
async def add_model(context: Context, actor: CurrentActor, wanted: Annotated[AddModel, body(AddModel)]) -> Response:
    """Add a version of a model; it begins in shadow. ``file`` is base64."""
    return reply(await WarnClient(context.fabric, actor).add_model(wanted))


@router.post("/warning-models/try", **documented(TryModel, TrialResult))
async def try_model(context: Context, actor: CurrentActor, wanted: Annotated[TryModel, body(TryModel)]) -> Response:
    """What a model would have done on history, telling nobody."""
    return reply(await WarnClient(context.fabric, actor).try_model(wanted))


@router.get("/warning-models/{model}", **documented(answer=ModelDetail))
async def read_model(
    context: Context, actor: CurrentActor, model: str, start: Moment = "", end: Moment = ""
) -> Response:
    """Every version of one model, and the warnings of a period it had a part in."""
    since, until = _period(start, end, context.plant, 28 * DAY)
    return reply(await WarnClient(context.fabric, actor).model(GetModel(model, since, until)))


@router.post("/warning-models/{model}/act", **documented(ModelVerb, ModelRow))
async def act_on_model(
    context: Context, actor: CurrentActor, model: str, wanted: Annotated[ModelVerb, body(ModelVerb)]
) -> Response:
    """Set a version live, to shadow, retire it, or go back to the one that was live before."""
    request = ActOnModel(model, wanted.verb, wanted.version, wanted.comment)
    return reply(await WarnClient(context.fabric, actor).act_on_model(request))


# --- alarm analytics ------------------------------------------------------------------------------------------------


@router.get("/alarm-floods", **documented(answer=tuple[FloodRow, ...]))
async def list_floods(
    context: Context,
    actor: CurrentActor,
    under: UnderQuery = "",
    start: Moment = "",
    end: Moment = "",
    limit: Limit = 100,
) -> Response:
    """Alarm floods of a period (a week when left out) with likely root alarm and most similar past flood."""
    require_place(context.plant, actor, under)
    since, until = _period(start, end, context.plant, 7 * DAY)
    return reply(await WarnClient(context.fabric, actor).floods(ListFloods(since, until, under, limit)))


@router.get("/alarm-floods/{flood}", **documented(answer=FloodDetail))
async def read_flood(context: Context, actor: CurrentActor, flood: str) -> Response:
    """One flood: sequence of alarms, likely roots, similar floods and what came next in them."""
    return reply(await WarnClient(context.fabric, actor).flood(flood))


@router.get("/alarm-proposals", **documented(answer=tuple[Proposal, ...]))
async def list_proposals(
    context: Context,
    actor: CurrentActor,
    under: UnderQuery = "",
    start: Moment = "",
    end: Moment = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Proposed deadbands and delays of the noisiest alarms with their predicted effect on recorded history."""
    require_place(context.plant, actor, under)
    since, until = _period(start, end, context.plant, 7 * DAY)
    return reply(await WarnClient(context.fabric, actor).proposals(ListProposals(since, until, under, limit)))
