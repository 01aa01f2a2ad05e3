"""The book of warnings: findings, alarms, people's acts and time in; arrows, messages and misses out.

Pure: it knows nothing of where findings come from and never reads a clock. One cause rings once (``grouping``); a
warning gets graver at once and less grave only after ``DOWN_HOLD``; a dismissed one rings again only when it gets worse
or after it has been off. Shadow models' findings form warnings of their own that reach nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError
from anlan.core.events import (
    MAX_CAUSES,
    AlarmTransition,
    Event,
    EventType,
    WarningMissed,
    WarningOutcome,
    WarningState,
    WarningTransition,
)
from anlan.core.severity import WarningGrade
from anlan.core.time import DAY, HOUR, MINUTE
from anlan.plant.model import EscalationChain, Plant
from anlan.warn.model import ActOnWarning, Contribution, Finding, ModelKind, ModelMode, WarningRow, WarningStep
from anlan.warn.warnings import escalation, grouping, scoring
from anlan.warn.warnings.machine import VERBS, Arrow, Facts, Who, fire
from anlan.warn.warnings.record import Changes, Kept, Member, Mint, Running, member_key, merged
from anlan.warn.warnings.scoring import Occurrence

DOWN_HOLD = 5 * MINUTE
"""How long a less grave grade must hold before a warning takes it, and how long a dismissed one must have been off."""
IDLE_RAISED = HOUR
"""A warning that is over and that nobody judged closes itself after this, when its horizon has passed too."""
IDLE_CONFIRMED = DAY
"""The same for one that somebody confirmed and nobody closed."""
MOST_SAMPLES = MAX_CAUSES - 8
STATED = {"averted": Arrow.CLOSE}
ACTS = (*(arrow.value for arrow in VERBS), *STATED)


@dataclass(frozen=True, slots=True)
class _Turn:
    """One step of the book under way: where ids come from, when, what changed, and what caused it."""

    mint: Mint
    time: int
    changes: Changes
    causes: tuple[str, ...] = ()


class Book:
    """The warnings of one node that are not over, and the rules of their life.

    Args:
        node: id of the node.
        running: versions of models that run, by (id, version).
        plant: plant in force.
        kept: warnings to go on with.

    Attributes:
        exercise: what is raised from now on is part of a drill.
        unknown: findings of models that do not run.
        actions: recommended action (Chinese, English) of risk features by id.
        targets: target events that stand, by name; ``missed_at`` when each was last counted as a miss.
    """

    def __init__(
        self, node: str, running: Mapping[tuple[str, int], Running], plant: Plant, kept: Iterable[Kept] = ()
    ) -> None:
        self.node = node
        self.running = dict(running)
        self.plant = plant
        self.kept: dict[str, Kept] = {item.row.id: item for item in kept}
        self.exercise = False
        self.unknown = 0
        self.actions: dict[str, tuple[str, str]] = {}
        self.missed_at: dict[str, int] = {}
        self.targets: dict[str, Occurrence] = {}

    # --- what comes in ----------------------------------------------------------------------------------------------

    def configure(self, running: Mapping[tuple[str, int], Running], plant: Plant, mint: Mint, time: int) -> Changes:
        """Take other models or another plant; what no longer runs is over."""
        self.running, self.plant = dict(running), plant
        turn = _Turn(mint, time, Changes())
        shadows = {key: item.mode is ModelMode.SHADOW for key, item in self.running.items()}
        for kept in list(self.kept.values()):
            gone = [
                m for m in kept.members.values() if m.grade and shadows.get((m.model, m.version)) != kept.row.shadow
            ]
            for member in gone:
                member.grade = 0
            if gone:
                self._settle(kept, turn)
        return turn.changes

    def findings(self, findings: Iterable[Finding], mint: Mint) -> Changes:
        """Take what models say; ids come from the findings' position in the log."""
        changes = Changes()
        for finding in findings:
            running = self.running.get((finding.model, finding.version))
            if running is None or running.mode is ModelMode.RETIRED:
                self.unknown += 1
                continue
            self._take(finding, running, _Turn(mint, finding.time, changes))
        return changes

    def standing(self) -> dict[str, int]:
        """Return the claims whose condition holds, by key, with the grade they ask for."""
        return {m.key: m.grade for kept in self.kept.values() for m in kept.members.values() if m.grade}

    def reconcile(self, standing: Mapping[str, Finding], mint: Mint, time: int) -> Changes:
        """Make the book agree with what the models say at this moment; after a restart the two may differ."""
        changes = Changes()
        known = self.standing()
        for key, finding in standing.items():
            if known.get(key) != finding.grade:
                changes = merged(changes, self.findings([msgspec.structs.replace(finding, time=time)], mint))
        turn = _Turn(mint, time, changes)
        for kept in list(self.kept.values()):
            gone = [member for key, member in kept.members.items() if member.grade and key not in standing]
            for member in gone:
                member.grade = 0
            if gone:
                self._settle(kept, turn)
        return changes

    def tick(self, time: int, mint: Mint) -> Changes:
        """Let time pass to ``time`` (µs UTC of the log): hysteresis, closing of what is over, scoring."""
        turn = _Turn(mint, time, Changes())
        for kept in list(self.kept.values()):
            if kept.lower and time - kept.lower >= DOWN_HOLD and kept.asked:
                self._down(kept, turn)
            self._lapse(kept, turn)
            self._score(kept, turn)
            if kept.row.state is WarningState.SCORED and not kept.row.active:
                del self.kept[kept.row.id]
        return turn.changes

    def alarm(
        self, event: Event, transition: AlarmTransition, kind: str, path: str, point_kind: str, *, known: bool = False
    ) -> Changes:
        """Take an alarm's transition: a rung one decides claims, or was missed.

        Args:
            event, transition: as published by the alarms.
            kind: kind of the alarm.
            path, point_kind: its point.
            known: what follows from it was kept before a restart; only remember that it stands.
        """
        occurrence = Occurrence(
            event.id, event.time, path, transition.alarm, kind, transition.priority, point_kind=point_kind
        )
        if transition.arrow == "clear" or transition.state.value == "normal":
            self.targets.pop(transition.alarm, None)
        if transition.arrow not in ("raise", "re-alarm", "announce") or not transition.rung:
            return Changes()
        self.targets[transition.alarm] = occurrence
        return Changes() if known else self.occurred(occurrence)

    def occurred(self, occurrence: Occurrence) -> Changes:
        """Take an event that may be the target of warnings: decide claims, or note the miss."""
        mint = Mint(self.node, f"warn/{occurrence.event}", 0)
        turn = _Turn(mint, occurrence.time, Changes(), (occurrence.event,))
        for kept in self.kept.values():
            if self._judge(kept, occurrence):
                self._touch(kept, turn)
        missed = scoring.misses(occurrence, self.running.values(), self.kept.values(), self.missed_at)
        if missed is not None:
            turn.changes.missed.append(missed)
            data = WarningMissed(missed.path, missed.target, missed.priority, missed.models)
            self._tell(turn, EventType.WARNING_MISSED, missed.path, data, (occurrence.event,))
        return turn.changes

    def act(self, request: ActOnWarning, user: str, time: int, mint: Mint) -> Changes:
        """Do what a person asks.

        Raises:
            NotFoundError: there is no such open warning.
            InvalidInputError, ConflictError: no such act, or not possible now.
        """
        if request.verb not in ACTS:
            raise InvalidInputError(f"{request.verb!r} is no act", where="verb", fix=f"one of {', '.join(ACTS)}")
        kept = self.kept.get(request.id)
        if kept is None:
            raise NotFoundError("no such open warning", where=request.id)
        if kept.row.shadow:
            raise ConflictError("a shadow model's warning: nobody was told", where=request.id, fix="see its model")
        turn = _Turn(mint, time, Changes())
        arrow = STATED.get(request.verb) or Arrow(request.verb)
        facts = Facts(
            active=kept.row.active,
            reason=bool(request.comment.strip()),
            answered=user in kept.row.answers,
        )
        fire(arrow, kept.row.state, Who.PERSON, facts)
        if arrow is Arrow.DISMISS:
            kept.dismissed = int(kept.asked or kept.row.grade)
        if request.verb == "averted":
            kept.averted = True
        changed: dict[str, object] = {"answers": tuple(dict.fromkeys((*kept.row.answers, user)))}
        if arrow is Arrow.CLOSE:
            changed |= {"closed": time, "next_step": 0}
        self._fire(kept, arrow, Who.PERSON, turn, facts, changed, user=user, comment=request.comment)
        self._score(kept, turn)
        return turn.changes

    def escalate(self, now: int) -> Changes:
        """Tell the next people where too few have answered by ``now`` (µs UTC of the clock on the wall)."""
        changes = Changes()
        for kept in self.kept.values():
            if kept.row.shadow or kept.row.state not in (WarningState.RAISED, WarningState.CONFIRMED):
                continue
            chain = escalation.chain_for(self.plant.warn.chains, kept.row.path, kept.row.grade)
            if chain is not None:
                self._escalate(kept, chain, now, changes)
        return changes

    def _escalate(self, kept: Kept, chain: EscalationChain, now: int, changes: Changes) -> None:
        if not kept.told:
            kept.told = now
        step = escalation.due(kept, chain, now)
        if step is None:
            if kept.row.next_step and escalation.enough(kept, chain):
                self._touch(kept, _Turn(Mint(self.node, "", 0), kept.row.changed, changes), next_step=0)
            return
        number = kept.row.step + 1
        later = chain.steps[number].after if number < len(chain.steps) else 0
        # Named by what it is about: another try of the same step is the same event and the same messages.
        mint = Mint(self.node, f"warn/{kept.row.id}/{int(kept.row.grade)}/{kept.told}", number)
        turn = _Turn(mint, now, changes)
        said: dict[str, object] = {
            "step": number,
            "need": step.need,
            "next_step": kept.told + later if later else 0,
        }
        named = ", ".join(step.to)
        identity = self._fire(kept, Arrow.ESCALATE, Who.CLOCK, turn, Facts(enough=False), said, comment=named)
        changes.messages += escalation.messages(kept, step, number, identity, now, self.plant)

    # --- findings ---------------------------------------------------------------------------------------------------

    def _take(self, finding: Finding, running: Running, turn: _Turn) -> None:
        shadow = running.mode is ModelMode.SHADOW
        key = member_key(finding.model, finding.version, finding.path)
        kept = self._holder(key, shadow)
        if finding.grade is None:
            if kept is not None and kept.members[key].grade:
                kept.members[key].grade = 0
                self._settle(kept, turn)
            return
        risk = running.model.kind is ModelKind.RISK
        kept = kept or grouping.find(finding, shadow, self.kept.values(), risk=risk)
        if kept is None:
            self._raise(finding, running, turn)
            return
        member = kept.members.get(key)
        if member is None:
            self._join(kept, finding, running, turn)
        else:
            member.finding, member.grade = finding, int(finding.grade)
        if kept.row.state is WarningState.CLOSED and kept.asked < kept.row.grade:
            # Somebody closed it while it went on; worse than that is something new.
            if member is None:
                del kept.members[key]
            else:
                member.grade = 0
            self._raise(finding, running, turn)
            self._settle(kept, turn)
            return
        self._settle(kept, turn)

    def _holder(self, key: str, shadow: bool) -> Kept | None:
        """Return the warning that holds a claim: where its condition goes on, otherwise the newest."""
        found = [
            item
            for item in self.kept.values()
            if key in item.members and item.row.shadow == shadow and grouping.takes(item)
        ]
        return max(found, key=lambda item: (item.members[key].grade > 0, item.row.raised), default=None)

    def _member(self, finding: Finding, running: Running) -> Member:
        model = running.model
        member = Member(
            model=finding.model,
            version=finding.version,
            path=finding.path,
            joined=finding.time,
            grade=int(finding.grade or 0),
            finding=finding,
            horizon=model.horizon,
            least_lead=model.least_lead,
        )
        for occurrence in self.targets.values():
            if scoring.foresaw(member, model.target, occurrence):
                # It said so only when the target stood already.
                member.outcome, member.event = WarningOutcome.LATE, occurrence.event
                break
        return member

    def _join(self, kept: Kept, finding: Finding, running: Running, turn: _Turn) -> None:
        member = self._member(finding, running)
        kept.members[member.key] = member
        line = WarningStep(turn.time, "join", WarningGrade(member.grade), member.model, finding.zh or finding.en)
        turn.changes.steps.append((kept.row.id, line))

    def _raise(self, finding: Finding, running: Running, turn: _Turn) -> None:
        member = self._member(finding, running)
        identity = turn.mint.next(turn.time)
        grade = WarningGrade(member.grade)
        row = WarningRow(
            id=identity,
            path=finding.path,
            grade=grade,
            state=fire(Arrow.RAISE, None, Who.MODEL, Facts(active=True)),
            model=finding.model,
            version=finding.version,
            raised=turn.time,
            changed=turn.time,
            shadow=running.mode is ModelMode.SHADOW,
            worst=grade,
        )
        kept = Kept(row, members={member.key: member}, exercise=self.exercise)
        self.kept[identity] = kept
        self._describe(kept)
        self._record(kept, Arrow.RAISE, None, turn, identity)

    def _settle(self, kept: Kept, turn: _Turn) -> None:
        """Bring the warning's own grade and condition up to its members'."""
        self._describe(kept)
        asked, row = kept.asked, kept.row
        living = row.state not in (WarningState.CLOSED, WarningState.SCORED)
        if not asked:
            if row.active:
                kept.over, kept.lower = turn.time, 0
                self._switch(kept, Arrow.END, False, turn, living)
            return self._touch(kept, turn)
        if not row.active:
            kept.over = 0
            self._switch(kept, Arrow.RESUME, True, turn, living)
        if row.state is WarningState.DISMISSED:
            if asked < kept.dismissed:
                self._again(kept, asked, turn)
        elif living and asked < row.grade:
            self._regrade(kept, asked, turn)
        kept.lower = (kept.lower or turn.time) if asked > kept.row.grade else 0
        return self._touch(kept, turn)

    def _switch(self, kept: Kept, arrow: Arrow, active: bool, turn: _Turn, living: bool) -> None:
        if living:
            self._fire(kept, arrow, Who.MODEL, turn, Facts(active=kept.row.active), {"active": active})
        else:
            self._touch(kept, turn, active=active)

    def _again(self, kept: Kept, asked: int, turn: _Turn) -> None:
        grade = WarningGrade(asked)
        kept.dismissed, kept.told = 0, 0
        fresh: dict[str, object] = {
            "grade": grade,
            "worst": min(kept.row.worst, grade),
            "answers": (),
            "step": 0,
            "need": 0,
        }
        self._fire(kept, Arrow.RAISE, Who.MODEL, turn, Facts(active=True, graver=True), fresh)

    def _regrade(self, kept: Kept, asked: int, turn: _Turn) -> None:
        grade = WarningGrade(asked)
        changed: dict[str, object] = {"grade": grade, "worst": min(kept.row.worst, grade)}
        if grade < kept.row.grade:
            # It is another matter now: whoever answers for the graver grade is asked anew.
            changed |= {"answers": (), "step": 0, "need": 0, "next_step": 0}
            kept.told = 0
        self._fire(kept, Arrow.REGRADE, Who.MODEL, turn, Facts(active=True), changed)

    def _down(self, kept: Kept, turn: _Turn) -> None:
        kept.lower = 0
        if kept.row.state in (WarningState.RAISED, WarningState.CONFIRMED) and kept.asked > kept.row.grade:
            self._regrade(kept, kept.asked, turn)
        self._touch(kept, turn)

    # --- time -------------------------------------------------------------------------------------------------------

    def _lapse(self, kept: Kept, turn: _Turn) -> None:
        row, since = kept.row, kept.over
        if row.active or not since or row.state in (WarningState.CLOSED, WarningState.SCORED):
            return
        if row.state is WarningState.DISMISSED:
            ripe = turn.time - since >= DOWN_HOLD
            comment = ""
        else:
            idle = IDLE_RAISED if row.state is WarningState.RAISED else IDLE_CONFIRMED
            ripe = turn.time > max(kept.deadline, since + idle)
            comment = "条件已消失,无人处理 / over, and nobody closed it"
        if ripe:
            changed: dict[str, object] = {"closed": turn.time, "next_step": 0}
            self._fire(kept, Arrow.CLOSE, Who.CLOCK, turn, Facts(lapsed=True), changed, comment=comment)

    def _score(self, kept: Kept, turn: _Turn) -> None:
        if kept.row.state is not WarningState.CLOSED or not scoring.decide(kept, turn.time):
            return
        best = scoring.worth(kept)
        caused = _Turn(turn.mint, turn.time, turn.changes, (best.event,) if best.event else ())
        changed: dict[str, object] = {"outcome": best.outcome, "event": best.event}
        self._fire(kept, Arrow.SCORE, Who.CLOCK, caused, Facts(decided=True), changed)

    def _judge(self, kept: Kept, occurrence: Occurrence) -> bool:
        judged = False
        for member in kept.members.values():
            running = self.running.get((member.model, member.version))
            if member.outcome is not None or running is None:
                continue
            if scoring.foresaw(member, running.model.target, occurrence):
                member.outcome = scoring.judge(member, occurrence)
                if member.outcome is not None:
                    member.event, member.lead = occurrence.event, max(0, occurrence.time - member.joined)
                    judged = True
        return judged

    # --- what goes out ----------------------------------------------------------------------------------------------

    def _describe(self, kept: Kept) -> None:
        """Write what the gravest member says, and all members' evidence, into the row."""
        speaker = kept.gravest()
        said, action = speaker.finding, self._action(speaker)
        members = kept.members.values()
        kept.samples = tuple(dict.fromkeys(s for m in members for s in m.finding.samples))[-MOST_SAMPLES:]
        kept.points = tuple(
            dict.fromkeys(item.name for m in members for item in m.finding.contributions if "/" in item.name)
        )
        kept.row = msgspec.structs.replace(
            kept.row,
            score=said.score,
            p_value=said.p_value,
            horizon=max((member.horizon for member in members), default=0),
            lead=said.lead,
            expected=said.time + said.lead if said.lead else 0,
            target=said.target,
            zh=said.zh,
            en=said.en,
            action_zh=action[0] or kept.row.action_zh,
            action_en=action[1] or kept.row.action_en,
            models=tuple(dict.fromkeys(member.model for member in members)),
            findings=len(kept.members),
            contributions=_leading(members, speaker),
        )

    def _action(self, member: Member) -> tuple[str, str]:
        """Return what a member's model recommends; where it says nothing, what its leading feature does."""
        running = self.running.get((member.model, member.version))
        if running is not None and running.model.action_zh:
            return running.model.action_zh, running.model.action_en
        names = (item.name for item in member.finding.contributions)
        return next((self.actions[name] for name in names if name in self.actions), ("", ""))

    def _touch(self, kept: Kept, turn: _Turn, **changed: object) -> None:
        if changed:
            kept.row = msgspec.structs.replace(kept.row, **changed)
        turn.changes.kept[kept.row.id] = kept

    def _fire(
        self,
        kept: Kept,
        arrow: Arrow,
        who: Who,
        turn: _Turn,
        facts: Facts,
        changed: dict[str, object] | None = None,
        *,
        user: str = "",
        comment: str = "",
    ) -> str:
        """Fire an arrow: change the row, write a line of its history, make the event; return the event's id."""
        before = kept.row.state
        state = fire(arrow, before, who, facts)
        kept.row = msgspec.structs.replace(
            kept.row,
            state=state,
            changed=turn.time,
            who=user or kept.row.who,
            comment=comment if user else kept.row.comment,
            **(changed or {}),
        )
        identity = turn.mint.next(turn.time)
        self._record(kept, arrow, before, turn, identity, user, comment)
        return identity

    def _record(
        self,
        kept: Kept,
        arrow: Arrow,
        before: WarningState | None,
        turn: _Turn,
        identity: str,
        user: str = "",
        comment: str = "",
    ) -> None:
        row = kept.row
        turn.changes.kept[row.id] = kept
        told = "" if row.shadow else identity
        turn.changes.steps.append((row.id, WarningStep(turn.time, arrow.value, row.grade, user, comment, told)))
        if row.shadow:
            return
        data = WarningTransition(
            warning=row.id,
            arrow=arrow.value,
            state=row.state,
            before=before or WarningState.RAISED,
            grade=int(row.grade),
            path=row.path,
            model=row.model,
            version=row.version,
            score=row.score,
            p_value=row.p_value,
            horizon=row.horizon,
            lead=row.lead,
            outcome=row.outcome,
            who=user,
            comment=comment,
            step=row.step,
            exercise=kept.exercise,
        )
        evidence = kept.samples if arrow in (Arrow.RAISE, Arrow.REGRADE, Arrow.RESUME) else ()
        earlier = () if before is None else (row.id,)
        self._tell(turn, EventType.WARNING, row.path, data, (*earlier, *turn.causes, *evidence), identity)

    def _tell(
        self, turn: _Turn, kind: EventType, path: str, data: object, causes: tuple[str, ...], identity: str = ""
    ) -> None:
        identity = identity or turn.mint.next(turn.time)
        payload = msgspec.to_builtins(data)
        turn.changes.events.append(
            Event(identity, kind.value, self.node, turn.time, path, causes[:MAX_CAUSES], payload)
        )


def _leading(members: Iterable[Member], speaker: Member) -> tuple[Contribution, ...]:
    """Return the speaker's contributions; where it names none, those of the first member that does."""
    order: Callable[[Member], bool] = lambda member: member is not speaker  # noqa: E731 - typed for mypy
    return next((m.finding.contributions for m in sorted(members, key=order) if m.finding.contributions), ())
