"""One warning: evidence drawn over time, why, what is similar, what to do next, who was told, what has happened."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from nicegui import ui

from anlan.core.time import HOUR, MINUTE, now_us
from anlan.warn.model import Finding, SimilarCase, WarningDetail, WarningStep
from anlan.warn.page_acts import act, client
from anlan.warn.page_rows import OUTCOME_TONES, contributions, full_place, model_name, warning_row
from anlan.warn.warnings.escalation import chain_for
from anlan.web.components import live
from anlan.web.shell import View

BEFORE = HOUR
AFTER = 15 * MINUTE
MOST_POINTS = 5
GIVEN_UP = 6 * HOUR
LONGEST = 70
SAMPLES = re.compile(r"samples:.*/(\d+)/(\d+)\.\.(\d+)#")


async def warning(view: View, identity: str) -> None:
    """Draw one warning."""
    detail = await (await client(view)).warning(identity)
    setup = msgspec.json.encode(document(view, detail)).decode()
    kept = {"row": detail.row}
    live("warndetail", "cols", setup=setup)

    async def refresh() -> None:
        newer = await (await client(view)).warning(identity)
        kept["row"] = newer.row
        ui.run_javascript(f"anlan.warn.detail({msgspec.json.encode(document(view, newer)).decode()})")

    view.on("an_warnings", lambda _message: refresh())
    view.on("an_warn_act", lambda message: act(view, kept["row"], str(message.get("verb", "")), refresh))


def document(view: View, detail: WarningDetail) -> dict[str, Any]:
    """Return what the page's script draws."""
    row = detail.row
    start, end = _window(detail)
    return {
        "row": warning_row(view, row),
        "start": start,
        "end": end,
        "points": _points(view, detail),
        "samples": [found for item in detail.samples if (found := _range(item)) is not None],
        "steps": [_step(view, step) for step in detail.steps],
        "similar": [_similar(view, case) for case in detail.similar],
        "findings": [_finding(view, item) for item in detail.findings],
        "chain": _chain(view, detail),
    }


def _window(detail: WarningDetail) -> tuple[int, int]:
    """Return what of the past is drawn; the end is 0 while it goes on."""
    row = detail.row
    ranges = [found for item in detail.samples if (found := _range(item)) is not None]
    start = min([row.raised - BEFORE, *(item["start"] for item in ranges)])
    start = max(start, row.raised - 12 * HOUR)
    over = row.closed or (row.changed if not row.active else 0)
    if over:
        return start, over + AFTER
    return start, 0 if now_us() - row.raised < GIVEN_UP else row.raised + GIVEN_UP


def _range(text: str) -> dict[str, int] | None:
    """Return point, start and end of ``samples:NODE/POINT/START..END#FIRST-LAST``."""
    found = SAMPLES.match(text)
    return dict(zip(("point", "start", "end"), map(int, found.groups()), strict=True)) if found else None


def _points(view: View, detail: WarningDetail) -> list[dict[str, Any]]:
    """Return the points to draw, the largest contributions first; then the others that were looked at."""
    plant = view.context.plant
    found = {item["number"]: item for item in contributions(view, detail.row.contributions) if item["number"]}
    # What the gravest finding names stands before what the others do.
    findings = sorted(detail.findings, key=lambda item: (int(item.grade) if item.grade else 9, -item.time))
    named = [item.name for finding in findings for item in finding.contributions]
    for path in (*named, *detail.points, detail.row.path):
        point = plant.by_path.get(path)
        if point is not None and point.number not in found:
            found[point.number] = {
                "number": point.number, "label": view.named(point), "sub": point.tag, "unit": point.unit,
                "share": 0.0, "value": None, "expected": None, "name": path,
            }  # fmt: skip
    return list(found.values())[:MOST_POINTS]


def _step(view: View, step: WarningStep) -> dict[str, Any]:
    return {
        "t": step.time,
        "arrow": step.arrow,
        "text": view.t(f"warrow.{step.arrow}"),
        "grade": int(step.grade),
        "who": model_name(view, step.who) if step.arrow == "join" else step.who,
        "comment": step.comment if len(step.comment) < LONGEST else f"{step.comment[:LONGEST]}…",
    }


def _similar(view: View, case: SimilarCase) -> dict[str, Any]:
    tone = OUTCOME_TONES[case.outcome] if case.outcome else "dim"
    return {
        "id": case.warning,
        "place": full_place(view, case.path),
        "raised": case.raised,
        "likeness": case.likeness,
        "outcome": {"text": view.t(f"outcome.{case.outcome}") if case.outcome else view.t("warn.open"), "tone": tone},
        "comment": case.comment,
    }


def _finding(view: View, item: Finding) -> dict[str, Any]:
    return {
        "model": model_name(view, item.model),
        "id": item.model,
        "version": item.version,
        "place": full_place(view, item.path),
        "time": item.time,
        "grade": int(item.grade) if item.grade else 0,
        "score": item.score,
        "p": item.p_value,
        "text": (item.zh if view.zh else item.en) or item.zh,
        "contributions": contributions(view, item.contributions),
    }


def _chain(view: View, detail: WarningDetail) -> list[dict[str, Any]]:
    """Return the steps of the escalation chain that fits, with whom each tells."""
    plant = view.context.plant.plant
    chain = chain_for(plant.warn.chains, detail.row.path, int(detail.row.grade)) if plant is not None else None
    if chain is None:
        return []
    return [
        {"after": step.after, "to": [_recipient(view, name) for name in step.to], "need": step.need}
        | {"channels": list(step.channels)}
        for step in chain.steps
    ]


def _recipient(view: View, name: str) -> str:
    role = name.removeprefix("role:")
    return view.t(f"role.{role}") if role != name else name
