"""The live risk of all places: evaluated every few seconds, each change of a colour told once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from anlan.core.errors import AnlanError
from anlan.core.events import Event, EventType
from anlan.core.health import Health
from anlan.core.severity import RiskColour
from anlan.plant.model import Plant
from anlan.warn.facts import Facts
from anlan.warn.model import ModelKind, RiskNode
from anlan.warn.risk.engine import RiskEngine, causes_of, changes
from anlan.warn.risk.library import models_of
from anlan.warn.stream.engine import WarnEngine
from anlan.warn.warnings.record import Kept, Mint


class RiskWatch:
    """Keeps the last evaluation.

    Args:
        node: id of the node.
        facts: what stands now.
        health: where a risk model that cannot be used is named.
        colours: marks of the colours that were told last, by ``mark_of``.
    """

    def __init__(self, node: str, facts: Facts, health: Health, colours: Mapping[str, int]) -> None:
        self._node = node
        self._facts = facts
        self._health = health
        self._colours = dict(colours)
        self._plant: Plant | None = None
        self._engine: RiskEngine | None = None
        self.nodes: tuple[RiskNode, ...] = ()

    def configure(self, plant: Plant) -> None:
        """Take another plant; a model file that is wrong leaves no risk rather than a wrong one, and health says so."""
        self._plant, self.nodes = plant, ()
        try:
            self._engine = RiskEngine(plant, models_of(plant.packs))
        except AnlanError as error:
            self._engine = None
            self._health.problems["risk"] = f"风险模型不能使用 / the risk models cannot be used: {error}"
        else:
            self._health.problems.pop("risk", None)

    def evaluate(self, stream: WarnEngine, kept: Iterable[Kept], time: int) -> tuple[RiskNode, ...]:
        """Return the risk of every place at ``time`` (µs UTC)."""
        if self._engine is None or self._plant is None:
            return ()
        of_risk = {model.id for model in stream.models if model.kind is ModelKind.RISK}
        facts = self._facts.now(time, self._plant, kept, stream.feature_values(), stream.grid.last, of_risk)
        self.nodes = self._engine.evaluate(facts, time)
        return self.nodes

    def changes(self, nodes: tuple[RiskNode, ...], time: int) -> tuple[list[Event], dict[str, int]]:
        """Return the events of the colours that changed since they were told last, and the marks to keep with them."""
        before = [
            msgspec.structs.replace(
                node, colour=RiskColour(self._colours.get(mark_of(node.path), node.inherent_colour))
            )
            for node in nodes
        ]
        by_path = {node.path: node for node in nodes}
        events, marks = [], {}
        mint = Mint(self._node, "warn/risk/change", time)
        for change in changes(before, nodes):
            node = by_path[change.path]
            events.append(
                Event(
                    mint.next(time),
                    EventType.RISK.value,
                    self._node,
                    time,
                    change.path or (self._plant.site.id if self._plant else ""),
                    causes_of(node),
                    msgspec.to_builtins(change),
                )
            )
            marks[mark_of(change.path)] = int(change.colour)
        self._colours |= marks
        return events, marks

    def explain(self, path: str) -> RiskNode | None:
        """Return the last evaluation of one place, term by term."""
        return next((node for node in self.nodes if node.path == path), None)


def mark_of(path: str) -> str:
    """Return the name of the mark that keeps a place's colour: marks are short."""
    return f"risk/{hashlib.blake2b(path.encode(), digest_size=15).hexdigest()}"
