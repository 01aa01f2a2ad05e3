"""The risk of a whole park: individual risk on a grid, the F-N curve, what an edit changes, and why a place is at risk.

Individual risk at a place is Σ frequency × weather and direction × probability of death there; societal risk counts for
each (scenario, outcome, weather, direction) the people who die (CPR 18E "Purple Book" chapters 6 and 7; AQ/T 3046-2013
chapter 11). Footprints of all scenarios of one place are added on rings around it before they are turned and mapped:
risk is linear in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.science.consequence import risk_kernels as kernels
from anlan.science.consequence.conventions import Remarks
from anlan.science.consequence.risk_compile import Compiled, compile_place
from anlan.science.consequence.risk_model import (
    Area,
    Floats,
    FnCurve,
    Lattice,
    Population,
    RiskResult,
    Rose,
    Scenario,
    Share,
)

_BLOCK_SIDE = 4
_Place = tuple[float, float]


@dataclass(slots=True, eq=False)
class _Site:
    """What is kept of one place."""

    compiled: Compiled
    rings: Floats
    deaths: Floats | None


class ParkRisk:
    """A park whose risk is computed once and after each edit only where the edit counts.

    Args:
        scenarios: with their footprints; ids differ.
        rose: weathers and directions by period. ``rose.split(3)`` closes gaps between narrow plumes.
        area: the grid of individual risk.
        population: by the periods of the rose; without it there is no societal risk.
        lattice: how finely footprints are laid out.

    Raises:
        InvalidInputError: input that cannot be; names scenario and field.
    """

    def __init__(
        self, scenarios: Iterable[Scenario], rose: Rose, area: Area, population: Population | None = None,
        lattice: Lattice | None = None,
    ) -> None:  # fmt: skip
        self.rose, self.area = rose, area
        self._lattice = lattice or Lattice()
        self._angles = self._lattice.angles_for(rose.directions)
        around = 2.0 * np.pi * np.arange(self._angles) / self._angles
        self._turns = np.array([np.cos(around), np.sin(around)])
        self._towards = rose.towards()
        self._whole = np.ascontiguousarray(self._towards.sum(axis=0))
        self._people = None if population is None else _People(population, len(rose.periods))
        self._scenarios: dict[str, Scenario] = {}
        for scenario in scenarios:
            if scenario.id in self._scenarios:
                raise InvalidInputError("two scenarios have one id", where=f"scenario {scenario.id}", fix="ids differ")
            self._scenarios[scenario.id] = scenario
        self._sites: dict[_Place, _Site] = {}
        self._blocks: dict[int, Floats] = {}
        self._stale: set[_Place] = {(one.x, one.y) for one in self._scenarios.values()}
        self._changed: set[str] = set(self._scenarios)

    def result(self) -> RiskResult:
        """Return the risk as the scenarios stand now; only what changed since the last call is computed."""
        self._refresh()
        individual = np.zeros((self.area.rows, self.area.columns))
        for block in sorted(self._blocks):
            individual += self._blocks[block]
        societal, loss = self._societal()
        return RiskResult(self.area, individual, societal, loss, tuple(self._remarks().items))

    def edit(self, scenario: Scenario) -> RiskResult:
        """Put in a scenario, in the stead of the one with its id if there is one, and return the risk."""
        old = self._scenarios.get(scenario.id)
        if old is not None:
            self._stale.add((old.x, old.y))
        self._scenarios[scenario.id] = scenario
        self._stale.add((scenario.x, scenario.y))
        self._changed.add(scenario.id)
        try:
            return self.result()
        except InvalidInputError:
            self._undo(scenario.id, old)
            raise

    def remove(self, scenario_id: str) -> RiskResult:
        """Take a scenario out and return the risk.

        Raises:
            NotFoundError: there is none of this id.
        """
        old = self._scenarios.pop(scenario_id, None)
        if old is None:
            raise NotFoundError("no such scenario", where=f"scenario {scenario_id}", fix="an id of the park")
        self._stale.add((old.x, old.y))
        return self.result()

    def why(self, x: float, y: float) -> tuple[Share, ...]:
        """Return what each scenario adds to the individual risk, 1/a, at (x, y), m: largest first, without zeros."""
        self._refresh()
        found: dict[str, float] = {}
        for site in self._sites.values():
            one = site.compiled
            values = kernels.at_point(
                one.zones, one.betas, one.values, one.outer, one.weight, one.turning, self._whole, x - one.x, y - one.y,
                one.reach, self._lattice.rings, self._turns,
            )  # fmt: skip
            by_owner = np.bincount(one.owner, weights=values, minlength=len(one.ids))
            found.update((name, float(value)) for name, value in zip(one.ids, by_owner, strict=True) if value > 0.0)
        return _shares(found)

    def individual_at(self, x: float, y: float) -> float:
        """Return the individual risk, 1/a, at (x, y), m: not read from the grid but computed there."""
        return sum(one.value for one in self.why(x, y))

    def _undo(self, scenario_id: str, old: Scenario | None) -> None:
        bad = self._scenarios.pop(scenario_id)
        self._stale.add((bad.x, bad.y))
        if old is not None:
            self._scenarios[scenario_id] = old
            self._stale.add((old.x, old.y))

    def _refresh(self) -> None:
        if not self._stale:
            return
        by_place: dict[_Place, list[Scenario]] = {place: [] for place in self._stale}
        for scenario in self._scenarios.values():
            place = (scenario.x, scenario.y)
            if place in by_place:
                by_place[place].append(scenario)
        compiled = {place: compile_place(found, self.rose) for place, found in by_place.items() if found}
        buffers = self._buffers()
        for place in by_place:
            before = self._sites.pop(place, None)
            if place in compiled:
                self._sites[place] = self._site(compiled[place], before, buffers)
        for block in {self._block(place) for place in by_place}:
            self._map_block(block)
        self._stale.clear()
        self._changed.clear()

    def _buffers(self) -> tuple[Floats, Floats]:
        shape = (len(self.rose.weathers), self._lattice.rings, self._angles)
        return np.zeros(shape), np.zeros(shape)

    def _site(self, one: Compiled, before: _Site | None, buffers: tuple[Floats, Floats]) -> _Site:
        weathers, rings, directions = len(self.rose.weathers), self._lattice.rings, self.rose.directions
        events = len(one.owner)
        kernel, direct = buffers
        kernel[:] = 0.0
        direct[:] = 0.0
        half = np.full((weathers, rings), -1, dtype=np.int64)
        deaths = np.zeros((events if self._people else 0, weathers, directions * len(self.rose.periods)))
        counted = np.zeros(events, dtype=np.bool_)
        people = np.zeros((rings, 1, 2, 2 * directions * len(self.rose.periods)))
        if self._people is not None:
            counted = self._reuse(one, before, deaths)
            if counted.any():
                people = self._people.on_rings(one, rings, self._angles, directions)
        kernels.sweep(
            one.zones, one.betas, one.values, one.outer, one.inner, one.weight, one.turning, one.alike, counted,
            one.reach, self._turns, people, kernel, half, direct, deaths,
        )  # fmt: skip
        out = np.empty((rings, self._angles))
        kernels.turn(kernel, half, direct, self._whole, out)
        return _Site(one, out, deaths if self._people else None)

    def _reuse(self, one: Compiled, before: _Site | None, deaths: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Copy the deaths of scenarios that did not change and return which events are to be counted anew."""
        counted = np.ones(len(one.owner), dtype=np.bool_)
        if before is None or before.deaths is None or before.compiled.reach != one.reach:
            return counted
        places = {name: index for index, name in enumerate(before.compiled.ids)}
        for index, name in enumerate(one.ids):
            if name in self._changed or name not in places:
                continue
            events = np.flatnonzero(one.owner == index)
            deaths[events] = before.deaths[before.compiled.owner == places[name]]
            counted[events] = False
        return counted

    def _block(self, place: _Place) -> int:
        area = self.area
        column = np.clip((place[0] - area.west) / (area.step * area.columns) * _BLOCK_SIDE, 0, _BLOCK_SIDE - 1)
        row = np.clip((place[1] - area.south) / (area.step * area.rows) * _BLOCK_SIDE, 0, _BLOCK_SIDE - 1)
        return int(row) * _BLOCK_SIDE + int(column)

    def _map_block(self, block: int) -> None:
        """Add up the places of one tile of the park, in one order always: an edit equals a new start exactly."""
        area = self.area
        total = np.zeros((area.rows, area.columns))
        for place in sorted(place for place in self._sites if self._block(place) == block):
            site = self._sites[place]
            kernels.to_map(site.rings, site.compiled.reach, place[0], place[1], area.west, area.south, area.step, total)
        self._blocks[block] = total

    def _societal(self) -> tuple[FnCurve | None, tuple[Share, ...]]:
        if self._people is None:
            return None, ()
        all_deaths, all_frequencies = [np.zeros(0)], [np.zeros(0)]
        loss: dict[str, float] = {}
        for place in sorted(self._sites):
            site = self._sites[place]
            one, deaths = site.compiled, site.deaths
            if deaths is None:
                continue
            # (events, weathers, directions, periods), then as deaths are
            frequency = (one.share[:, :, :, None] * self._towards.transpose(1, 2, 0)[None]).reshape(deaths.shape)
            lost = np.einsum("ewd,ewd->e", deaths, frequency)
            loss.update(zip(one.ids, np.bincount(one.owner, lost, len(one.ids)).tolist(), strict=True))
            many = deaths >= 1.0
            all_deaths.append(deaths[many])
            all_frequencies.append(frequency[many])
        curve = fn_curve(np.concatenate(all_deaths), np.concatenate(all_frequencies), sum(loss.values()))
        return curve, _shares({name: value for name, value in loss.items() if value > 0.0})

    def _remarks(self) -> Remarks:
        remarks, area = Remarks(), self.area
        east, north = float(area.east[-1]), float(area.north[-1])
        for x, y in self._sites:
            if not (area.west <= x <= east and area.south <= y <= north):
                remarks.add("release-outside-grid", "A release lies outside the grid; it counts where it reaches in.",
                            "有泄漏点位于网格之外，仅计算其影响到网格内的部分。")  # fmt: skip
        return remarks


class _People:
    """The population as arrays, empty places left out, sorted from south to north."""

    def __init__(self, population: Population, periods: int) -> None:
        if population.outdoors.shape[0] != periods:
            raise InvalidInputError(f"people for {population.outdoors.shape[0]} periods", where="population",
                                    fix=f"as many as the rose has: {periods}")  # fmt: skip
        amount = np.concatenate([population.outdoors, population.indoors]).T
        keep = np.flatnonzero(amount.sum(axis=1) > 0.0)
        order = keep[np.argsort(population.y[keep], kind="stable")]
        self._x = np.ascontiguousarray(population.x[order], np.float64)
        self._y = np.ascontiguousarray(population.y[order], np.float64)
        self._amount = np.ascontiguousarray(amount[order], np.float64)

    def on_rings(self, place: Compiled, rings: int, angles: int, directions: int) -> Floats:
        """Return the people around a place as ``risk_kernels.sweep`` takes them."""
        x, y, reach = place.x, place.y, place.reach
        low, high = np.searchsorted(self._y, (y - reach, y + reach))
        kinds = self._amount.shape[1]
        chunks = np.zeros((kernels.CHUNKS, rings, angles, kinds))
        kernels.to_rings(self._x[low:high], self._y[low:high], self._amount[low:high], x, y, reach, chunks)
        table = np.empty((rings, angles // directions, 2 + len(place.protections), directions * kinds))
        kernels.fold(chunks, place.protections, directions, table)
        return table


def fn_curve(deaths: Floats, frequencies: Floats, loss: float) -> FnCurve:
    """Return the F-N curve of events with ``deaths`` (expected, not rounded) at ``frequencies``, 1/a.

    F(N) = Σ f over events with N or more deaths (CPR 18E section 7.3); events of less than one death count in ``loss``.
    """
    keep = (deaths >= 1.0) & (frequencies > 0.0)
    order = np.argsort(-deaths[keep])
    steps, at_or_above = -(-deaths[keep])[order], np.cumsum(frequencies[keep][order])
    last = np.append(np.diff(steps) != 0.0, True) if steps.size else np.zeros(0, np.bool_)
    return FnCurve(steps[last][::-1].copy(), at_or_above[last][::-1].copy(), loss)


def _shares(values: dict[str, float]) -> tuple[Share, ...]:
    whole = sum(values.values())
    ranked = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(name, value, value / whole) for name, value in ranked)
