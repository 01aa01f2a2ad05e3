"""From a compiled plant to the arrays of the kernel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.core.expression import Expression, Op, parse
from anlan.core.severity import AlarmPriority
from anlan.core.time import SECOND
from anlan.monitor.layout import KINDS, ROLE_CONDITION, ROLE_ENABLE, RULE, Kind, Tables
from anlan.monitor.machine import transitions
from anlan.plant.model import AlarmDefinition, OperatorPosition, Plant, Point

MOST_NUMBERS = 50_000_000
CONNECTOR_KIND = "connector"
_NOTHING: tuple[int, ...] = ()


def connector_alarm(connector: str) -> str:
    """Return the definition id of the alarm that rings when ``connector`` is lost."""
    return f"connectors/{connector}.lost"


@dataclass
class Compiled:
    """A plant's definitions as the kernel reads them, and what the engine needs to speak of them.

    Attributes:
        definitions: by the number they have in ``tables``; each connector has one of its own at the end.
        paths: by definition: path of what it is about.
        places: by definition: path that permissions are checked against.
        names: by definition: Chinese and English name.
        points: by point row.
        connector_points: point rows by connector id.
        positions: by definition: index of the operator position that answers for it, -1 for none.
    """

    plant: Plant
    revision: str
    tables: Tables
    definitions: tuple[AlarmDefinition, ...]
    index: dict[str, int]
    points: tuple[Point, ...]
    paths: tuple[str, ...]
    places: tuple[str, ...]
    names: tuple[tuple[str, str], ...]
    connector_points: dict[str, NDArray[np.int32]]
    position_ids: tuple[str, ...]
    positions: NDArray[np.int32]

    @property
    def most_out(self) -> int:
        """Most transitions one record of the log can make."""
        covers = int((self.tables.rules["over_end"] - self.tables.rules["over_first"]).sum())
        worst = int(self.tables.worst.max()) if len(self.tables.worst) else 0
        return max(8 * len(self.definitions) + 2 * covers, worst) + 4096


@dataclass
class _Pool:
    """Lists of integers, one after the other."""

    items: list[int] = field(default_factory=list)

    def add(self, items: Iterable[int]) -> tuple[int, int]:
        first = len(self.items)
        self.items += items
        return first, len(self.items)


@dataclass
class _Code:
    rows: dict[str, int]
    code: list[int] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)

    def add(self, expression: Expression) -> tuple[int, int]:
        first = len(self.code) // 2
        base = len(self.constants)
        for op, argument in zip(expression.code[::2], expression.code[1::2], strict=True):
            if op == Op.POINT:
                argument = self.rows.get(expression.names[argument], -1)
            elif op == Op.CONSTANT:
                argument += base
            self.code += (op, argument)
        self.constants += expression.constants
        return first, len(self.code) // 2


def compile_plant(plant: Plant, revision: str) -> Compiled:
    """Return the arrays of a plant's alarm definitions; disabled definitions are left out.

    Raises:
        InvalidInputError: a definition names an unknown kind or its expression cannot be read.
    """
    points = tuple(sorted(plant.points, key=lambda point: point.number))
    rows = {point.number: row for row, point in enumerate(points)}
    definitions = _ordered(plant)
    index = {definition.id: number for number, definition in enumerate(definitions)}
    builder = _Builder(points, rows, definitions, index)
    tables = builder.build()
    by_path = {point.path: row for row, point in enumerate(points)}
    connector_points = _connector_points(plant, points, by_path)
    paths, places = _places(plant, points, rows, definitions, connector_points)
    return Compiled(
        plant=plant,
        revision=revision,
        tables=tables,
        definitions=definitions,
        index=index,
        points=points,
        paths=paths,
        places=places,
        names=_names(plant, points, rows, definitions),
        connector_points=connector_points,
        position_ids=tuple(position.id for position in plant.positions),
        positions=_positions(plant.positions, definitions, places),
    )


def _ordered(plant: Plant) -> tuple[AlarmDefinition, ...]:
    """Enabled definitions, covering ones before those they cover, and one for each connector."""
    enabled = [definition for definition in plant.alarms if definition.enabled]
    by_id = {definition.id: definition for definition in enabled}
    depths: dict[str, int] = {}

    def depth(id_: str, above: frozenset[str]) -> int:
        if id_ not in depths:
            covering = [c for c in by_id[id_].covered_by if c in by_id and c not in above]
            depths[id_] = max((depth(c, above | {id_}) + 1 for c in covering), default=0)
        return depths[id_]

    enabled.sort(key=lambda definition: (depth(definition.id, frozenset()), definition.id))
    lost = tuple(
        AlarmDefinition(
            id=connector_alarm(spec.id),
            point=0,
            kind=CONNECTOR_KIND,
            priority=AlarmPriority.HIGH,
            cause="与设备的通信中断 / communication with the device is lost",
            consequence="该连接器的测点没有新数据 / its points have no new data",
            action="检查设备电源、网络与网关 / check the device's power, the network and the gateway",
        )
        for spec in plant.connectors
    )
    return (*enabled, *(definition for definition in lost if definition.id not in by_id))


@dataclass
class _Builder:
    points: tuple[Point, ...]
    rows: dict[int, int]
    definitions: tuple[AlarmDefinition, ...]
    index: dict[str, int]
    pool: _Pool = field(default_factory=_Pool)

    def build(self) -> Tables:
        code = _Code({point.path: row for row, point in enumerate(self.points)})
        rules = np.zeros(len(self.definitions), RULE)
        entries: list[dict[int, int]] = [{} for _ in self.points]
        covers = self._covers()
        for number, definition in enumerate(self.definitions):
            roles = self._rule(rules[number], definition, code)
            by = [self.index[c] for c in definition.covered_by if c in self.index and c != definition.id]
            rules[number]["by_first"], rules[number]["by_end"] = self.pool.add(by)
            rules[number]["over_first"], rules[number]["over_end"] = self.pool.add(covers[number])
            for row, role in roles:
                entries[row][number] = entries[row].get(number, 0) | role
        return self._tables(rules, entries, code)

    def _covers(self) -> list[list[int]]:
        covers: list[list[int]] = [[] for _ in self.definitions]
        for number, definition in enumerate(self.definitions):
            for other in definition.covered_by:
                if other in self.index and other != definition.id:
                    covers[self.index[other]].append(number)
        return covers

    def _rule(self, rule: np.void, definition: AlarmDefinition, code: _Code) -> list[tuple[int, int]]:
        if definition.kind not in KINDS:
            raise InvalidInputError(
                f"{definition.kind!r} is no kind of alarm", where=definition.id, fix=f"one of {', '.join(KINDS)}"
            )
        kind = KINDS[definition.kind]
        row = self.rows.get(definition.point, -1)
        rule["kind"], rule["point"], rule["other"] = kind, row, self.rows.get(definition.other, -1)
        rule["latched"], rule["direction"] = definition.latched, 1 if definition.direction >= 0 else -1
        rule["needed"], rule["deadband"] = definition.needed, abs(definition.deadband)
        rule["limit"] = np.nan if definition.limit is None else definition.limit
        rule["on_delay"], rule["off_delay"] = definition.on_delay, definition.off_delay
        inputs = [self.rows.get(number, -1) for number in definition.inputs]
        rule["input_first"], rule["input_end"] = self.pool.add(inputs)
        rule["state_first"], rule["state_end"] = self.pool.add(definition.states)
        if kind == Kind.STALE:
            after = definition.limit * SECOND if definition.limit else self.points[row].stale_after if row >= 0 else 0
            rule["stale_after"] = int(after)
        looked_at = {
            Kind.VOTE: inputs,
            Kind.DEVIATION: [row, self.rows.get(definition.other, -1)],
            Kind.CONNECTOR: [],
        }.get(kind, [row])
        if kind == Kind.EXPRESSION:
            expression = _parse(definition.expression, definition.id)
            rule["code_first"], rule["code_end"] = code.add(expression)
            looked_at = [code.rows.get(name, -1) for name in expression.names]
        rule["multi"] = kind in (Kind.DEVIATION, Kind.STALE, Kind.VOTE, Kind.EXPRESSION, Kind.CONNECTOR)
        roles = [(place, ROLE_CONDITION) for place in looked_at]
        if definition.enable:
            enable = _parse(definition.enable, definition.id)
            rule["enable_first"], rule["enable_end"] = code.add(enable)
            roles += [(code.rows.get(name, -1), ROLE_ENABLE) for name in enable.names]
        return [(place, role) for place, role in roles if place >= 0]

    def _tables(self, rules: NDArray[np.void], entries: list[dict[int, int]], code: _Code) -> Tables:
        first = np.zeros(len(self.points) + 1, np.int32)
        first[1:] = np.cumsum([len(found) for found in entries])
        pairs = [(d, found[d]) for found in entries for d in sorted(found)]
        weights = 10 + 4 * (rules["over_end"] - rules["over_first"])
        worst = [int(sum(weights[d] for d in found)) for found in entries]
        highest = max(self.rows, default=0)
        if highest > MOST_NUMBERS:
            raise InvalidInputError(f"point number {highest} is too high", fix=f"at most {MOST_NUMBERS}")
        row_of = np.full(highest + 1, -1, np.int32)
        for number, row in self.rows.items():
            row_of[number] = row
        stale = np.flatnonzero((rules["kind"] == Kind.STALE) & (rules["stale_after"] > 0) & (rules["point"] >= 0))
        return Tables(
            rules=rules,
            entry_first=first,
            entries=np.array(pairs, np.int32).reshape(-1, 2),
            pool=np.array(self.pool.items, np.int32),
            code=np.array(code.code, np.int32).reshape(-1, 2),
            constants=np.array(code.constants, np.float64),
            stale=stale.astype(np.int32),
            row_of=row_of,
            worst=np.array(worst, np.int32),
            machine=transitions(),
        )


def quiet_points(tables: Tables) -> NDArray[np.uint8]:
    """Return by point row whether all its definitions are of kinds that allow a quiet band."""
    rows = len(tables.entry_first) - 1
    owner = np.repeat(np.arange(rows), np.diff(tables.entry_first))
    rules = tables.rules[tables.entries[:, 0]]
    easy = np.isin(rules["kind"], (Kind.UP, Kind.DOWN, Kind.STALE, Kind.BAD))
    restless = (tables.entries[:, 1] != ROLE_CONDITION) | ~easy | (rules["point"] != owner)
    quiet = np.ones(rows, np.uint8)
    quiet[owner[restless]] = 0
    return quiet


def _parse(text: str, where: str) -> Expression:
    try:
        return parse(text)
    except InvalidInputError as error:
        raise InvalidInputError(error.message, where=f"{where}, {error.where}", fix=error.fix) from error


def _connector_points(plant: Plant, points: tuple[Point, ...], by_path: dict[str, int]) -> dict[str, NDArray[np.int32]]:
    found: dict[str, set[int]] = {spec.id: set() for spec in plant.connectors}
    for spec in plant.connectors:
        found[spec.id].update(by_path[path] for path in spec.map if path in by_path)
    for row, point in enumerate(points):
        if point.connector in found:
            found[point.connector].add(row)
    return {connector: np.array(sorted(rows), np.int32) for connector, rows in found.items()}


def _common(paths: list[str]) -> str:
    parts = [path.split("/") for path in paths]
    common: list[str] = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        common.append(column[0])
    return "/".join(common)


def _places(
    plant: Plant,
    points: tuple[Point, ...],
    rows: dict[int, int],
    definitions: tuple[AlarmDefinition, ...],
    connector_points: dict[str, NDArray[np.int32]],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    connector_of = {connector_alarm(spec.id): spec.id for spec in plant.connectors}
    paths: list[str] = []
    places: list[str] = []
    for definition in definitions:
        row = rows.get(definition.point)
        if definition.id in connector_of and definition.kind == CONNECTOR_KIND:
            connector = connector_of[definition.id]
            paths.append(f"connectors/{connector}")
            places.append(_common([points[r].path for r in connector_points[connector]]))
        elif row is not None:
            paths.append(points[row].path)
            places.append(points[row].path)
        else:
            path = definition.id.rpartition(".")[0]
            paths.append(path)
            places.append(path)
    return tuple(paths), tuple(places)


def _names(
    plant: Plant, points: tuple[Point, ...], rows: dict[int, int], definitions: tuple[AlarmDefinition, ...]
) -> tuple[tuple[str, str], ...]:
    connectors = {connector_alarm(spec.id): spec.name or spec.id for spec in plant.connectors}
    names: list[tuple[str, str]] = []
    for definition in definitions:
        row = rows.get(definition.point)
        if row is not None:
            names.append((points[row].name, points[row].name_en))
        elif definition.id in connectors:
            name = connectors[definition.id]
            names.append((f"{name} 通信中断", f"{name} lost"))
        else:
            names.append(("", ""))
    return tuple(names)


def _positions(
    positions: tuple[OperatorPosition, ...], definitions: tuple[AlarmDefinition, ...], places: tuple[str, ...]
) -> NDArray[np.int32]:
    """The position a definition names, or the first whose scope holds it."""
    index = {position.id: number for number, position in enumerate(positions)}
    found = np.full(len(definitions), -1, np.int32)
    for number, (definition, place) in enumerate(zip(definitions, places, strict=True)):
        if definition.operator_position in index:
            found[number] = index[definition.operator_position]
            continue
        for at, position in enumerate(positions):
            if any(not scope or place == scope or place.startswith(scope + "/") for scope in position.scope):
                found[number] = at
                break
    return found
