"""Features as the console shows them: what each is, where it runs, its value now, and in words why it has none."""

from __future__ import annotations

import math

from anlan.core.severity import WarningGrade
from anlan.core.time import SECOND
from anlan.warn.features import kernels
from anlan.warn.features.engine import FeatureEngine, State
from anlan.warn.features.library import number
from anlan.warn.features.specs import FeatureSpec, InputSpec
from anlan.warn.model import FeatureRow, FeatureValue

REASONS: dict[int, tuple[str, str]] = {
    kernels.MISSING: ("有输入缺失、质量坏或过期", "an input is missing, bad or stale"),
    kernels.IDLE: (
        "当前工况不适用（设备未运行或条件不满足）",
        "does not apply now (not running, or its condition is not met)",
    ),
    kernels.LEARNING: ("正在学习正常基线", "is learning what is normal here"),
    kernels.FILLING: ("时间窗数据不足", "its window is not full yet"),
    kernels.RANGE: ("结果超出有效范围", "its result lies outside its validity range"),
    kernels.QUIET: ("信号变化太小，无法判断", "the signal moves too little to judge"),
    kernels.SETTLING: ("设备刚投运，等待稳定", "the machine has only just started"),
}
"""Why a feature has no value, by ``kernels`` code."""


def reason(code: int) -> tuple[str, str]:
    """Return the reason of a code in Chinese and English; empty for a value."""
    return REASONS.get(code, ("", ""))


def feature_rows(engine: FeatureEngine, state: State, *, path: str = "", id: str = "") -> tuple[FeatureRow, ...]:  # noqa: A002  # the request's own field name
    """Return the library with the values of ``state``.

    Args:
        path: only values at and below this place. id: only this feature.
    """
    wanted = [spec for spec in engine.library.of(engine.plant.packs) if not id or spec.id == id]
    values: dict[str, list[FeatureValue]] = {spec.id: [] for spec in wanted}
    grades = engine.grade(state.values)
    for n, one in enumerate(engine.bound):
        if one.feature.id in values and _inside(one.path, path):
            values[one.feature.id].append(_value(engine, state, n, int(grades[n])))
    return tuple(_row(engine, spec, tuple(values[spec.id]), path) for spec in wanted)


def _inside(place: str, path: str) -> bool:
    return not path or place == path or place.startswith(path + "/")


def _value(engine: FeatureEngine, state: State, n: int, grade: int) -> FeatureValue:
    value = float(state.values[n])
    known = math.isfinite(value)
    zh, en = reason(int(state.codes[n]))
    return FeatureValue(
        engine.bound[n].path,
        engine.inputs(n),
        value if known else None,
        WarningGrade(grade) if known and grade else None,
        "" if known else zh,
        "" if known else en,
    )


def _row(engine: FeatureEngine, spec: FeatureSpec, values: tuple[FeatureValue, ...], path: str) -> FeatureRow:
    unbound = engine.unbound.get(spec.id, {})
    return FeatureRow(
        spec.id,
        spec.zh,
        spec.en,
        spec.meaning_zh,
        spec.meaning_en,
        spec.unit,
        int(number(spec.window) * SECOND),
        spec.source,
        expression=" | ".join(text for text in (spec.expression, spec.against) if text),
        builtin=spec.builtin,
        inputs={name: _wanted(item) for name, item in spec.inputs.items()},
        grades=dict(spec.grades),
        low=spec.low,
        high=spec.high,
        action=spec.action_zh,
        action_en=spec.action_en,
        pack=spec.pack,
        values=values,
        unbound={place: f"{zh} / {en}" for place, (zh, en) in unbound.items() if _inside(place, path)},
    )


def _wanted(item: InputSpec) -> str:
    if item.limit:
        return f"{item.limit} @ {item.at}"
    if item.feature:
        return f"feature {item.feature}"
    return " ".join(part for part in (item.kind, "" if item.match == "*" else item.match, item.unit) if part)
