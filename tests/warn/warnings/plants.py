"""Findings, models and a small plant for tests of the book."""

from __future__ import annotations

from collections.abc import Iterable

from anlan.core.events import AlarmState, AlarmTransition, Event
from anlan.core.severity import WarningGrade
from anlan.core.time import HOUR, MINUTE, SECOND
from anlan.plant.model import EscalationChain, Place, Plant, Point, SiteInfo, Unit, WarnPlan
from anlan.warn.model import Contribution, Finding, ModelKind, ModelMode, Target, WarningModel
from anlan.warn.warnings.engine import Book
from anlan.warn.warnings.record import Mint, Running

S = SECOND
START = 1_790_000_000 * S
A, B = "haian/tank-farm/t-401", "haian/tank-farm/p-402"
FAR = "haian/furnace/f-1"
LEVEL, PRESSURE, STEAM = f"{A}/level", f"{A}/pressure", "haian/tank-farm/steam/pressure"

RED, ORANGE, YELLOW, BLUE = WarningGrade.RED, WarningGrade.ORANGE, WarningGrade.YELLOW, WarningGrade.BLUE


def plant(chains: tuple[EscalationChain, ...] = ()) -> Plant:
    points = tuple(
        Point(n, path, "pressure", "kPa", name=path.rpartition("/")[2])
        for n, path in enumerate((LEVEL, PRESSURE, STEAM, f"{B}/flow", f"{FAR}/temperature"), start=1)
    )
    return Plant(
        SiteInfo("s", "s"),
        places=(Place("haian", "海安"), Place("haian/tank-farm", "罐区"), Place("haian/furnace", "炉区")),
        units=(Unit(A, "四〇一罐"), Unit(B, "四〇二泵"), Unit(FAR, "一号炉")),
        points=points,
        warn=WarnPlan(chains=chains),
    )


def model(name: str = "seal", version: int = 1, **more: object) -> WarningModel:
    chosen: dict[str, object] = {
        "target": Target(priority=2),
        "horizon": HOUR,
        "least_lead": MINUTE,
        "action_zh": "检查密封",
        "action_en": "check the seal",
        **more,
    }
    return WarningModel(name, chosen.pop("kind", ModelKind.DETECTOR), version, **chosen)  # type: ignore[arg-type]  # fields of the model


def running(*models: WarningModel, shadow: Iterable[str] = ()) -> dict[tuple[str, int], Running]:
    modes = {True: ModelMode.SHADOW, False: ModelMode.LIVE}
    hidden = set(shadow)
    return {
        (m.id, m.version): Running(m, modes[m.id in hidden or f"{m.id}/{m.version}" in hidden], (A,)) for m in models
    }


def finding(
    at: float, grade: WarningGrade | None = ORANGE, path: str = A, name: str = "seal", version: int = 1, **more: object
) -> Finding:
    chosen: dict[str, object] = {
        "score": 3.0,
        "contributions": (Contribution(LEVEL, 0.7), Contribution(PRESSURE, 0.3)),
        "samples": (f"samples:test/1/{round(at)}..{round(at) + 1}#1-2",),
        "zh": "液位异常",
        "en": "level is odd",
        **more,
    }
    return Finding(name, version, path, START + round(at * S), grade, **chosen)  # type: ignore[arg-type]  # its fields


def mint(number: int) -> Mint:
    return Mint("test", "warn", number)


def book(*models: WarningModel, chains: tuple[EscalationChain, ...] = (), shadow: Iterable[str] = ()) -> Book:
    return Book("test", running(*(models or (model(),)), shadow=shadow), plant(chains))


def rung(at: float, path: str = LEVEL, kind: str = "HH", priority: int = 1, name: str = "", **more: object) -> Event:
    transition = {
        "alarm": f"{path}.{kind}",
        "instance": "i",
        "arrow": "raise",
        "state": AlarmState.UNACKNOWLEDGED.value,
        "before": AlarmState.NORMAL.value,
        "point": 1,
        "priority": priority,
        **more,
    }
    identity = name or f"EV{round(at * 10):012d}{len(path):02d}"
    return Event(identity, "alarm.transition", "test", START + round(at * S), f"{path}.{kind}", (), transition)


def ring(into: Book, event: Event, path: str = LEVEL, point_kind: str = "level"):  # type: ignore[no-untyped-def]  # Changes
    import msgspec

    transition = msgspec.convert(event.data, AlarmTransition)
    return into.alarm(event, transition, transition.alarm.rpartition(".")[2], path, point_kind)
