"""What the commands of detection do: files in, models and scores out. Imported only when one of them runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from anlan.cli.table_files import write_file
from anlan.cli.tables import Selection, Sheet, read_sheet
from anlan.core.errors import InvalidInputError
from anlan.science.detection.adapted import Adapted, fit_adapted
from anlan.science.detection.audit import audit_training, outside_training
from anlan.science.detection.ensemble import Ensemble, EnsembleScores, Settings
from anlan.science.detection.protocol import Floats, Table
from anlan.science.detection.regimes import KNOWN, NEW, PASSING, find_settings

Say = Callable[[str], None]

_CHUNK_ROWS = 20_000
_SAY_SECONDS = 2.0
_NAMED = 4
_TOLD_DRIFT = 0.5
_REGIME_NAMES = {KNOWN: "known", PASSING: "passing", NEW: "new"}


@dataclass(slots=True)
class Fitted:
    """A model written to a file."""

    path: Path
    ensemble: Ensemble
    sheet: Sheet
    notes: list[str]

    def summary(self) -> dict[str, Any]:
        """Return what to tell of it."""
        return {
            "model": str(self.path),
            "rows": len(self.sheet.table),
            "runs": len(self.sheet.runs),
            "variables": len(self.sheet.table.names),
            "inputs": list(self.sheet.table.names),
            "members": list(self.ensemble.settings.members),
            "share": self.ensemble.share,
            "training_hash": self.ensemble.info.training_hash,
            "notes": self.notes,
        }


def fit_file(
    train: Path, model: Path, selection: Selection, *, share: float, per_month: float | None,
    members: tuple[str, ...], owner: str, say: Say, set_points: tuple[str, ...] = (), recalibrate: bool = False,
) -> Fitted:  # fmt: skip
    """Fit an ensemble on a file and write the model.

    Raises:
        InvalidInputError: the file cannot be read or its rows cannot carry a fit.
    """
    sheet = read_sheet(train, selection)
    if per_month is not None and not _has_dates(sheet):
        raise InvalidInputError(
            "false alarms a month need a time column with dates",
            where=str(train),
            fix="--time COLUMN, or --false-alarms",
        )
    say(f"fitting {len(sheet.table.names)} variables on {len(sheet.table)} rows")
    settings = Settings(false_alarm_share=share, false_alarms_per_month=per_month)
    if members:
        settings = Settings(false_alarm_share=share, false_alarms_per_month=per_month, members=members)
    found = tuple(sheet.table.names[number] for number in find_settings(sheet.table.values))
    if set_points == ("auto",):
        set_points = found
        sheet.notes.append(f"set-points found: {', '.join(found) or 'none'}")
    elif found and not set_points:
        sheet.notes.append(
            f"{', '.join(found)}: may be set-points; --set-points {','.join(found)} keeps their changes from alarming"
        )
    fitted = fit_adapted(sheet.table, settings, runs=sheet.run, set_points=set_points, recalibrate=recalibrate)
    ensemble = fitted.ensemble
    notes = list(dict.fromkeys((*sheet.notes, *ensemble.notes)))
    if not set_points:  # rows of another regime are unlike the rest by right
        notes += audit_training(sheet.table, sheet.run, sheet.row)
    ensemble = replace(ensemble, notes=tuple(notes))
    written = replace(fitted, ensemble=ensemble).encode(owner=owner, created=time.time_ns() // 1000)
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(written)
    return Fitted(model, ensemble, sheet, notes)


def _has_dates(sheet: Sheet) -> bool:
    return bool(pa.types.is_timestamp(sheet.stamp.type) or pa.types.is_date(sheet.stamp.type)) or (
        sheet.stamp_name != "row" and float(np.median(sheet.table.time)) > 1e14
    )


@dataclass(slots=True)
class Judged:
    """A file scored by a model; rows in the order of ``sheet``."""

    ensemble: Ensemble
    sheet: Sheet
    scores: EnsembleScores
    notes: list[str]
    regime: NDArray[np.int8] | None = None

    def summary(self, out: Path) -> dict[str, Any]:
        """Return what to tell of it."""
        alarm = self.scores.alarm
        return {
            "scores": str(out),
            "rows": len(alarm),
            "unscored": int(np.isnan(self.scores.score).sum()),
            "alarms": int(alarm.sum()),
            "alarm_share": float(alarm.mean()),
            "share": self.ensemble.share,
            "runs": [self._run(name, rows) for name, rows, _ in self.sheet.parts()],
            "notes": self.notes,
        }

    def _run(self, name: str, rows: slice) -> dict[str, Any]:
        alarm = self.scores.alarm[rows]
        at = rows.start + int(alarm.argmax()) if alarm.any() else None
        blame = self.scores.contribution[rows][alarm].sum(axis=0)
        return {
            "run": name,
            "rows": len(alarm),
            "alarms": int(alarm.sum()),
            "first_alarm": None if at is None else stamp_text(self.sheet, at),
            "first_alarm_row": None if at is None else int(self.sheet.row[at]),
            "top": self.ensemble.names[int(blame.argmax())] if alarm.any() and blame.max() > 0 else "",
        }


def stamp_text(sheet: Sheet, at: int) -> str:
    """Return what stands in the time column, as text."""
    return str(sheet.stamp[at].as_py())


def judge_file(model: Path, test: Path, selection: Selection, say: Say) -> Judged:
    """Score a file with a model.

    Raises:
        DecodeError: the model file is altered, cut short or no model of detection.
        InvalidInputError: the table cannot be read or lacks a column of the model.
    """
    if not model.exists():
        raise InvalidInputError(
            "there is no such model", where=str(model), fix="make one: anlan detect fit TRAIN --model OUT"
        )
    fitted = Adapted.decode(model.read_bytes(), str(model))
    sheet = read_sheet(test, selection, fitted.ensemble.names)
    parts = [_judge_run(fitted, table, name, say) for name, _, table in sheet.parts()]
    scores = _joined([scores for scores, _, _ in parts])
    regime = np.concatenate([said for _, said, _ in parts]) if fitted.scaling is not None else None
    notes = [*sheet.notes, *outside_training(sheet.table, fitted.ensemble.info.validity)]
    notes += _regime_notes(sheet, regime)
    notes += _unscored_notes(sheet, scores, regime)
    notes += _stuck_notes(sheet, scores)
    notes += [note for _, _, drifts in parts for note in drifts]
    return Judged(fitted.ensemble, sheet, scores, notes, regime)


def _regime_notes(sheet: Sheet, regime: NDArray[np.int8] | None) -> list[str]:
    if regime is None:
        return []
    notes = []
    if (regime == NEW).any():
        first = int(sheet.row[(regime == NEW).argmax()])
        notes.append(
            f"{(regime == NEW).sum()} rows are in an operating regime never trained on (first: row {first}); they are "
            "not judged: train on such running too"
        )
    if (regime == PASSING).any():
        notes.append(f"{(regime == PASSING).sum()} rows are on the way between regimes; they are not judged")
    return notes


def _unscored_notes(sheet: Sheet, scores: EnsembleScores, regime: NDArray[np.int8] | None) -> list[str]:
    empty = np.isnan(scores.score)
    if regime is not None:
        empty &= regime == KNOWN
    if not empty.any():
        return []
    first = int(sheet.row[empty.argmax()])
    return [f"{empty.sum()} rows have no score (first: row {first}): too much is missing, or too little came before"]


def _stuck_notes(sheet: Sheet, scores: EnsembleScores) -> list[str]:
    still = np.flatnonzero(scores.stuck.any(axis=0))
    if not len(still):
        return []
    first = int(sheet.row[scores.stuck.any(axis=1).argmax()])
    shown = ", ".join(sheet.table.names[number] for number in still[:_NAMED]) + (", …" if len(still) > _NAMED else "")
    return [
        f"{shown}: {len(still)} variable(s) stand still as they never did in training (first: row {first}); such "
        "readings are left out (column stuck)"
    ]


def _judge_run(
    fitted: Adapted, table: Table, name: str, say: Say
) -> tuple[EnsembleScores, NDArray[np.int8], list[str]]:
    """Return scores, what each row's regime is, and notes on drift, of one run from a fresh start."""
    state = fitted.start()
    parts, regimes = [], []
    said = time.monotonic()
    for start in range(0, len(table), _CHUNK_ROWS):
        piece = table.rows(start, start + _CHUNK_ROWS)
        state, scores, regime = fitted.update(state, piece.time, piece.values)
        parts.append(scores)
        regimes.append(regime)
        if time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            say(f"{'run ' + name + ': ' if name else ''}{start + len(piece)} of {len(table)} rows")
    where = f"run {name}: " if name else ""
    drifts = [
        f"{where}{variable} has drifted by {moved:+.1f} training standard deviations; that much was taken out"
        for variable, moved in fitted.drift(state).items()
        if abs(moved) >= _TOLD_DRIFT
    ]
    return _joined(parts), np.concatenate(regimes), drifts


def _joined(parts: list[EnsembleScores]) -> EnsembleScores:
    return EnsembleScores(
        *(np.concatenate([getattr(part, field) for part in parts]) for field in EnsembleScores.__dataclass_fields__)
    )


def write_scores(judged: Judged, out: Path, top: int) -> None:
    """Write the scores of each row, in the order of the file scored.

    Columns: the time column (or ``row``), ``row``, ``run`` where there are several, ``score``, ``p_value``, ``alarm``,
    ``regime`` (known, passing, new) where the model knows regimes, then ``top_1``, ``share_1``, … and ``stuck``.
    """
    sheet, scores = judged.sheet, judged.scores
    back = np.argsort(sheet.row, kind="stable")
    columns: dict[str, Any] = {}
    if sheet.stamp_name != "row":
        columns[sheet.stamp_name] = sheet.stamp.take(pa.array(back))
    columns["row"] = sheet.row[back]
    if len(sheet.runs) > 1:
        columns["run"] = pa.array([sheet.runs[number] for number in sheet.run[back]])
    columns["score"] = _filled(scores.score[back])
    columns["p_value"] = _filled(scores.p_value[back])
    columns["alarm"] = scores.alarm[back]
    if judged.regime is not None:
        columns["regime"] = pa.array([_REGIME_NAMES[int(said)] for said in judged.regime[back]])
    columns |= _contributors(judged.ensemble.names, scores.contribution[back], top)
    columns["stuck"] = pa.array(list(_stuck_names(judged.ensemble.names, scores.stuck[back])))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, columns)


def _filled(values: Floats) -> Any:
    return pa.array(values, mask=np.isnan(values))


def _contributors(names: tuple[str, ...], contribution: Floats, top: int) -> dict[str, Any]:
    """Return the ``top`` variables of each row with their share; empty where fewer add to the score."""
    positive = np.maximum(np.nan_to_num(contribution), 0.0)
    total = positive.sum(axis=1)
    count = min(top, len(names))
    order = np.argsort(-positive, axis=1, kind="stable")[:, :count]
    columns: dict[str, Any] = {}
    labels = np.array(names, dtype=object)
    for place in range(count):
        part = positive[np.arange(len(order)), order[:, place]]
        share = np.divide(part, total, out=np.zeros_like(part), where=total > 0)
        columns[f"top_{place + 1}"] = pa.array(labels[order[:, place]], pa.string(), mask=share <= 0)
        columns[f"share_{place + 1}"] = pa.array(share, mask=share <= 0)
    return columns


def _stuck_names(names: tuple[str, ...], stuck: NDArray[np.bool_]) -> Iterator[str]:
    for row in stuck:
        yield "; ".join(names[number] for number in np.flatnonzero(row)) if row.any() else ""


def explain_row(judged: Judged, row: int | None, at: str, top: int) -> dict[str, Any]:
    """Return why a row got its score.

    Args:
        judged: the scored file.
        row: row of the file, from 1; ``None`` and no ``at`` takes the row with the highest score.
        at: what stands in the time column.
        top: how many variables to name.

    Raises:
        InvalidInputError: there is no such row.
    """
    index = _find_row(judged, row, at)
    sheet, scores, ensemble = judged.sheet, judged.scores, judged.ensemble
    scored = bool(np.isfinite(scores.score[index]))
    values = sheet.table.values[index]
    parts = []
    for name, share in ensemble.explain(scores, index, top) if scored else []:
        value = float(values[ensemble.names.index(name)])
        low, high = ensemble.info.validity.get(name, (float("nan"), float("nan")))
        shown = value if np.isfinite(value) else None
        parts.append({"name": name, "share": share, "value": shown, "trained": f"{low:.6g} … {high:.6g}"})
    members = {
        name: float(value) if np.isfinite(value) else None
        for name, value in zip(ensemble.settings.members, scores.members[index], strict=True)
    }
    return {
        "row": int(sheet.row[index]),
        "at": stamp_text(sheet, index),
        "run": sheet.runs[int(sheet.run[index])],
        "score": float(scores.score[index]) if scored else None,
        "p_value": float(scores.p_value[index]) if scored else None,
        "alarm": bool(scores.alarm[index]),
        "share": ensemble.share,
        "members": members,
        "contributions": parts,
        "stuck": [name for name, still in zip(ensemble.names, scores.stuck[index], strict=True) if still],
        "notes": judged.notes,
    }


def _find_row(judged: Judged, row: int | None, at: str) -> int:
    sheet = judged.sheet
    if row is not None:
        found = np.flatnonzero(sheet.row == row)
    elif at:
        wanted = at.replace("T", " ").strip()
        texts = (stamp_text(sheet, index) for index in range(len(sheet.row)))
        found = np.array(
            [index for index, text in enumerate(texts) if text.replace("T", " ") == wanted], dtype=np.int64
        )
    else:
        return int(np.argmax(np.nan_to_num(judged.scores.score, nan=-np.inf)))
    if not len(found):
        asked = f"row {row}" if row is not None else f"{sheet.stamp_name} {at}"
        raise InvalidInputError(
            f"there is no {asked}",
            where=str(sheet.path),
            fix=f"rows {sheet.row.min()} to {sheet.row.max()}, {sheet.stamp_name} such as {stamp_text(sheet, 0)}",
        )
    return int(found[0])
