"""Plant tree with point detail; a changed limit becomes a proposed change that another person approves."""

from __future__ import annotations

from typing import Any

import msgspec

from anlan.core.actor import Permission
from anlan.core.errors import AnlanError, InvalidInputError, NotFoundError
from anlan.core.time import DAY, SECOND, now_us
from anlan.plant.model import AlarmDefinition
from anlan.plant.registers.model import Change, Edit, ProposeChange
from anlan.web.components import Form, live, raw, say
from anlan.web.live.frame import covers
from anlan.web.shell import View, page_spec
from anlan.web.sse import Places


class Trial(msgspec.Struct, frozen=True):
    """What of the monitor's answer to a trial is shown; the monitor's room lies above this floor."""

    raised: dict[str, int]
    in_alarm_s: dict[str, float]
    samples: int


def build(view: View) -> None:
    """Draw the page."""
    live("plant", "cols")
    view.on("an_propose", lambda message: propose(view, str(message.get("alarm", ""))))


def propose(view: View, alarm: str) -> None:
    """Open the form with which a change of an alarm definition is proposed."""
    t = view.t
    definition = view.context.plant.alarms.get(alarm)
    path = view.context.plant.path_of_alarm(alarm)
    if definition is None or not covers(Places.key(view.actor), path):
        raise NotFoundError(f"there is no alarm {alarm!r}", where=alarm)
    view.actor.require(Permission.PROPOSE_CHANGE, path)
    point = view.context.plant.by_number[definition.point]
    with Form(view, t("propose.title")) as form:
        form.note(f"{definition.id}", "hi")
        if definition.limit is not None:
            form.number("limit", t("propose.limit", unit=point.unit), definition.limit)
        form.number("deadband", t("propose.deadband"), definition.deadband, min=0)
        form.number("on_delay", t("propose.on_delay"), definition.on_delay / SECOND, min=0)
        form.number("off_delay", t("propose.off_delay"), definition.off_delay / SECOND, min=0)
        form.text("reason", t("propose.reason"), area=True)
        form.note(t("propose.safety" if definition.safety or point.safety else "propose.normal"))
        result = raw("", classes="low")

        async def trial() -> None:
            wanted = _changed(definition, {key: field.value for key, field in form._fields.items()})
            result.set_content(await _try(view, wanted))  # type: ignore[attr-defined]  # it is an html element

        from anlan.web.components import button

        button(t("propose.try"), view.guarded(trial))

    async def send(values: dict[str, Any]) -> bool:
        if not str(values["reason"]).strip():
            form.problem(t("acts.reason_needed"))
            return False
        changed = _changed(definition, values)
        if changed == definition:
            form.problem(t("propose.same"))
            return False
        edits = _edits(path, definition, changed)
        request = ProposeChange(edits, str(values["reason"]).strip())
        await view.call("registers.change.propose", request, Change, timeout=15)
        say(t("propose.sent"))
        return True

    form.open(send, t("act.propose"))


def _changed(definition: AlarmDefinition, values: dict[str, Any]) -> AlarmDefinition:
    def number(key: str) -> float:
        value = values.get(key)
        if value is None:
            raise InvalidInputError("a number is missing", where=key, fix="fill it in")
        return float(value)

    return msgspec.structs.replace(
        definition,
        limit=number("limit") if definition.limit is not None else None,
        deadband=number("deadband"),
        on_delay=round(number("on_delay") * SECOND),
        off_delay=round(number("off_delay") * SECOND),
    )


def _edits(path: str, before: AlarmDefinition, after: AlarmDefinition) -> tuple[Edit, ...]:
    """Return the edits of the site file that turn one definition into the other."""
    alarm = before.id.removeprefix(path + ".")
    edits = []
    for field in ("limit", "deadband", "on_delay", "off_delay"):
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            value = f"{new / SECOND:g} s" if field.endswith("delay") else new
            edits.append(Edit("set", path, field, alarm, value))
    return tuple(edits)


async def _try(view: View, definition: AlarmDefinition) -> str:
    end = now_us()
    request = {"definitions": (definition,), "start": end - DAY, "end": end}
    try:
        trial = await view.call("monitor.try", request, Trial, timeout=60)
    except AnlanError as error:
        return str(error)
    seconds = trial.in_alarm_s.get(definition.id, 0.0)
    span = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
    return view.t("propose.tried", n=trial.raised.get(definition.id, 0), span=span, samples=trial.samples)


PAGE = page_spec("/plant", "plant", build, icon="account_tree", order=40, group="group_monitor")
