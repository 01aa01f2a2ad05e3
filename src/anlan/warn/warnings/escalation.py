"""Whom to tell next: the chains of the site file, and the words of the messages. Pure, time is passed in."""

from __future__ import annotations

from collections.abc import Iterable

from anlan.core.severity import WarningGrade
from anlan.core.time import MINUTE, to_iso
from anlan.plant.model import EscalationChain, EscalationStep, Plant
from anlan.warn.model import WarningRow
from anlan.warn.warnings.record import Kept, Message

GRADES_ZH = {1: "红色", 2: "橙色", 3: "黄色", 4: "蓝色"}


def chain_for(chains: Iterable[EscalationChain], path: str, grade: int) -> EscalationChain | None:
    """Return the chain for a grade at a path: the one whose scope fits longest; None: nobody is told.

    Blue warnings are told to nobody unless a chain of their own says so.
    """
    fitting = [chain for chain in chains if chain.grade == grade and _below(path, chain.scope)]
    return max(fitting, key=lambda chain: len(chain.scope), default=None)


def _below(path: str, scope: str) -> bool:
    return not scope or path == scope or path.startswith(scope + "/")


def enough(kept: Kept, chain: EscalationChain) -> bool:
    """Return whether as many have answered as the step in force wants (before the first: as that one wants)."""
    need = kept.row.need or (chain.steps[0].need if chain.steps else 0)
    return len(kept.row.answers) >= need


def due(kept: Kept, chain: EscalationChain, now: int) -> EscalationStep | None:
    """Return the step to take at ``now`` (µs UTC), or None; ``after`` counts from the beginning of the escalation."""
    if kept.row.step >= len(chain.steps) or enough(kept, chain):
        return None
    step = chain.steps[kept.row.step]
    return step if now >= (kept.told or now) + step.after else None


def messages(kept: Kept, step: EscalationStep, number: int, identity: str, now: int, plant: Plant) -> list[Message]:
    """Return one message per channel of a step.

    Args:
        kept: the warning.
        step: the step, the ``number``-th of its chain from 1.
        identity: id of the ``escalate`` event; with the channel it makes the message's own.
        now: µs UTC.
        plant: plant in force, for names and the time zone.
    """
    title, body = words(kept.row, step, number, plant, exercise=kept.exercise)
    return [
        Message(
            id=f"{identity}-{channel}",
            warning=kept.row.id,
            step=number,
            channel=channel,
            to=step.to,
            title=title,
            body=body,
            grade=kept.row.grade,
            time=now,
            exercise=kept.exercise,
        )
        for channel in step.channels
    ]


def words(row: WarningRow, step: EscalationStep, number: int, plant: Plant, *, exercise: bool) -> tuple[str, str]:
    """Return title and text of a message, Chinese first."""
    mark = "【演练 EXERCISE】" if exercise else ""
    grade = WarningGrade(row.grade)
    title = f"{mark}【{GRADES_ZH[grade]}预警】{place_name(plant, row.path)}"
    lead = ""
    if row.lead:
        lead = f"预计 {row.lead / MINUTE:.0f} 分钟内 / expected within {row.lead / MINUTE:.0f} min"
    need = f"需 {step.need} 人答复 / {step.need} must answer" if step.need > 1 else ""
    lines = (
        row.zh,
        row.en,
        f"建议措施:{row.action_zh}" if row.action_zh else "",
        f"Action: {row.action_en}" if row.action_en else "",
        lead,
        f"位置 place: {row.path}",
        f"等级 grade: {GRADES_ZH[grade]} {grade.name.lower()}",
        f"时间 raised: {to_iso(row.raised, plant.site.timezone)[:19]}",
        f"收件人 to: {', '.join(step.to)} (第 {number} 步 step {number})",
        need,
        f"预警号 warning: {row.id}",
    )
    return title, "\n".join(line for line in lines if line)


def place_name(plant: Plant, path: str) -> str:
    """Return the names on the way to a path, Chinese where the site gives them."""
    names = {place.path: place.name for place in plant.places}
    names |= {unit.path: unit.name for unit in plant.units} | {point.path: point.name for point in plant.points}
    parts = path.split("/")
    found = [names.get("/".join(parts[: n + 1])) or parts[n] for n in range(len(parts))]
    return " ".join(found[1:] or found)
