"""Risk of a park beside sums made cell by cell, and what must hold whatever the numbers."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.park_risk import plain_death, plain_risk

from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.science.consequence.risk import ParkRisk, fn_curve
from anlan.science.consequence.risk_model import (
    Area,
    Ellipse,
    Gridded,
    Lattice,
    Outcome,
    Population,
    Protection,
    Rose,
    Scenario,
)

AREA = Area(-400.0, -400.0, 10.0, 81, 81)
TOXIC = Protection(1.0, 1.0, 0.1)


def rose(directions=8, periods=2, seed=3):
    share = np.random.default_rng(seed).dirichlet(np.ones(periods * 2 * directions))
    return Rose(share.reshape(periods, 2, directions), ("D5", "F2"), ("day", "night")[:periods])


def cloud(reach=300.0, width=60.0):
    x, y = np.linspace(0, reach, 31), np.linspace(0, width, 13)
    death = np.clip(1.2 - x[:, None] / reach, 0, 1) * np.exp(-3 * (y[None, :] / width) ** 2)
    death[0], death[-1], death[:, -1] = 0.0, 0.0, 0.0
    return (Gridded(death=death.astype(np.float32), step_along=x[1], step_across=y[1], protection=TOXIC),)


def park():
    fire = (Ellipse(along=60, across=60, death=1.0), Ellipse(along=120, across=120, death=0.3))
    flash = ((Ellipse(along=100, across=40, centre=95),), (Ellipse(along=140, across=30, centre=135),))
    return [
        Scenario("toxic", -50.0, 20.0, 2e-5, (Outcome("toxic", (cloud(), cloud(350, 40))),)),
        Scenario("fire", 100.0, -80.0, 1e-4, (Outcome("fire", (fire,), 0.3), Outcome("flash", flash, 0.2))),
        Scenario("again", 100.0, -80.0, 3e-5, (Outcome("flash", flash, np.array([0.1, 0.4])),)),
    ]


def people(periods=2):
    rng = np.random.default_rng(8)
    x, y = rng.uniform(-380, 380, (2, 300))
    share, inside = ((0.6, 1.0), (0.9, 0.99)) if periods == 2 else ((1.0,), (0.9,))
    return Population.present(x, y, rng.uniform(0, 3, 300), share, inside)


@pytest.fixture(scope="module")
def computed():
    risk = ParkRisk(park(), rose(), AREA, people())
    return risk, risk.result()


def test_individual_risk_is_that_of_a_sum_cell_by_cell(computed):
    _, result = computed
    flat = [replace(one, outcomes=tuple(o for o in one.outcomes if np.ndim(o.probability) == 0)) for one in park()[:2]]
    ours = ParkRisk(flat, rose(), AREA).result().individual
    plain = sum(plain_risk(one, rose(), AREA) for one in flat)
    apart = np.abs(ours - plain)
    # Sharp edges of zones differ within a cell of the lattice; inside and in the sum they do not.
    assert np.quantile(apart, 0.9) < 0.02 * plain.max()
    assert ours.sum() == pytest.approx(plain.sum(), rel=0.01)
    assert result.individual.max() >= ours.max()


def test_a_smooth_footprint_agrees_everywhere():
    only = [park()[0]]
    ours = ParkRisk(only, rose(), AREA).result().individual
    plain = plain_risk(only[0], rose(), AREA)
    assert np.abs(ours - plain).max() < 0.02 * plain.max()


def test_deaths_are_those_counted_person_by_person():
    wind, crowd, one = rose(), people(), park()[0]
    curve = ParkRisk([one], wind, AREA, crowd).result().societal
    deaths, frequencies, towards = [], [], wind.towards()
    for d in range(wind.directions):
        angle = 2 * np.pi * d / wind.directions
        east, north = crowd.x - one.x, crowd.y - one.y
        x, y = east * np.cos(angle) + north * np.sin(angle), north * np.cos(angle) - east * np.sin(angle)
        for w in range(2):
            p = plain_death(one.outcomes[0].footprints[w], x, y)
            for period in range(2):
                deaths.append(float((p * (crowd.outdoors[period] + 0.1 * crowd.indoors[period])).sum()))
                frequencies.append(one.frequency * towards[period, w, d])
    plain = fn_curve(np.array(deaths), np.array(frequencies), float(np.dot(deaths, frequencies)))
    assert curve.loss == pytest.approx(plain.loss, rel=0.01)
    for n in (1.0, 2.0, 5.0):
        assert curve.exceedance(n) == pytest.approx(plain.exceedance(n), rel=0.15)


def test_sum_over_people_equals_sum_over_cells():
    """The same weights bring rings to the map and people to rings: expected deaths agree to rounding."""
    wind = rose(periods=1)
    rng = np.random.default_rng(2)
    east, north = np.meshgrid(AREA.east, AREA.north)
    heads = rng.uniform(0, 1, east.shape)
    crowd = Population(east.ravel(), north.ravel(), heads.reshape(1, -1), np.zeros((1, east.size)))
    result = ParkRisk(park(), wind, AREA, crowd).result()
    assert result.societal.loss == pytest.approx(float((heads * result.individual).sum()), rel=1e-9)


def test_the_whole_is_the_sum_of_its_parts(computed):
    _, result = computed
    parts = [ParkRisk([one], rose(), AREA, people()).result() for one in park()[:1]]
    rest = ParkRisk(park()[1:], rose(), AREA, people()).result()
    assert np.allclose(parts[0].individual + rest.individual, result.individual, rtol=1e-9, atol=1e-18)
    assert parts[0].societal.loss + rest.societal.loss == pytest.approx(result.societal.loss, rel=1e-9)
    assert parts[0].societal.exceedance(3.0) + rest.societal.exceedance(3.0) == pytest.approx(
        float(result.societal.exceedance(3.0)), rel=1e-9
    )


def test_turning_rose_and_park_turns_the_risk():
    wind, one = rose(periods=1), replace(park()[0], x=0.0, y=0.0)
    turned = Rose(np.roll(wind.probability, 2, axis=2), wind.weathers, wind.periods)
    before = ParkRisk([one], wind, AREA).result().individual
    after = ParkRisk([one], turned, AREA).result().individual
    # Winds from two of eight sectors farther clockwise: the map turns clockwise by a right angle.
    assert np.allclose(after, np.rot90(before, 1), rtol=1e-9, atol=1e-18)


def test_wind_from_the_west_carries_east():
    probability = np.zeros((1, 1, 8))
    probability[0, 0, 6] = 1.0
    one = Scenario("s", 0.0, 0.0, 1.0, (Outcome("toxic", (cloud(),)),))
    risk = ParkRisk([one], Rose(probability, ("D5",)), AREA)
    assert risk.individual_at(150.0, 0.0) > 0.5
    assert risk.individual_at(-150.0, 0.0) == 0.0
    assert risk.individual_at(0.0, 150.0) == 0.0


def test_more_frequent_deadlier_or_larger_is_never_less():
    base = Scenario("s", 0.0, 0.0, 1e-5, (Outcome("fire", ((Ellipse(along=80, across=80, death=0.5),),), 0.5),))
    zone = Ellipse(along=80, across=80, death=0.5)
    variants = [
        replace(base, frequency=2e-5),
        replace(base, outcomes=(replace(base.outcomes[0], probability=0.7),)),
        replace(base, outcomes=(replace(base.outcomes[0], footprints=((replace(zone, death=0.9),),)),)),
        replace(base, outcomes=(replace(base.outcomes[0], footprints=((replace(zone, along=97, across=97),),)),)),
    ]
    before = ParkRisk([base], rose(), AREA, people()).result()
    for variant in variants:
        after = ParkRisk([variant], rose(), AREA, people()).result()
        assert np.all(after.individual >= before.individual)
        assert after.individual.sum() > before.individual.sum()
        assert after.societal.loss > before.societal.loss


def test_a_circle_has_its_area():
    for radius in (35.0, 77.0, 150.0):
        one = Scenario("s", 3.0, -7.0, 1.0, (Outcome("fire", ((Ellipse(along=radius, across=radius),),)),))
        cells = ParkRisk([one], rose(), Area(-300.0, -300.0, 2.0, 301, 301)).result().individual.sum()
        assert cells * 4.0 == pytest.approx(np.pi * radius**2, rel=0.01)


def test_an_edit_equals_a_new_start_to_the_last_bit():
    scenarios = park()
    risk = ParkRisk(scenarios, rose(), AREA, people())
    risk.result()
    moved = replace(scenarios[0], x=60.0, outcomes=(Outcome("toxic", (cloud(390, 80),), 0.5),))
    harder = replace(scenarios[1], frequency=7e-4)
    risk.edit(moved)
    after = risk.edit(harder)
    anew = ParkRisk([scenarios[2], harder, moved], rose(), AREA, people()).result()
    assert np.array_equal(after.individual, anew.individual)
    assert np.array_equal(after.societal.deaths, anew.societal.deaths)
    assert np.array_equal(after.societal.frequency, anew.societal.frequency)
    assert after.loss == anew.loss
    fewer = risk.remove("again")
    without = ParkRisk([harder, moved], rose(), AREA, people()).result()
    assert np.array_equal(fewer.individual, without.individual)
    assert fewer.loss == without.loss


def test_a_bad_edit_is_refused_and_leaves_the_park_as_it_was():
    risk = ParkRisk(park(), rose(), AREA, people())
    before = risk.result()
    with pytest.raises(InvalidInputError, match="scenario fire, outcome flash"):
        risk.edit(replace(park()[1], outcomes=(Outcome("flash", ((Ellipse(along=-1, across=1),),)),)))
    after = risk.result()
    assert np.array_equal(before.individual, after.individual)
    assert before.loss == after.loss
    with pytest.raises(NotFoundError):
        risk.remove("nobody")


def test_why_adds_up_to_the_risk_of_the_map(computed):
    risk, result = computed
    for row, column in ((40, 45), (30, 52), (44, 30), (40, 40)):
        shares = risk.why(float(AREA.east[column]), float(AREA.north[row]))
        assert sum(one.value for one in shares) == pytest.approx(result.individual[row, column], rel=1e-9)
        assert sum(one.share for one in shares) == pytest.approx(1.0)
        assert [one.value for one in shares] == sorted((one.value for one in shares), reverse=True)
    assert risk.why(4000.0, 0.0) == ()


def test_a_probability_by_direction_that_is_the_same_everywhere_changes_nothing():
    wind, base = rose(), park()[0]
    outcome = base.outcomes[0]
    flat = replace(base, outcomes=(replace(outcome, probability=0.4),))
    spread = replace(base, outcomes=(replace(outcome, probability=np.full((2, wind.directions), 0.4)),))
    one, other = (ParkRisk([s], wind, AREA, people()).result() for s in (flat, spread))
    assert np.allclose(one.individual, other.individual, rtol=1e-9, atol=1e-20)
    assert one.societal.loss == pytest.approx(other.societal.loss, rel=1e-9)


def test_a_probability_by_direction_holds_for_the_wind_that_blows_there():
    only_from_west = np.zeros((2, 8))
    only_from_west[:, 6] = 1.0
    one = Scenario("s", 0.0, 0.0, 1.0, (Outcome("toxic", (cloud(),), only_from_west),))
    risk = ParkRisk([one], rose(), AREA)
    assert risk.individual_at(150.0, 0.0) > 0.0
    assert risk.individual_at(0.0, 150.0) == 0.0


def test_zones_inside_count_before_those_around_them():
    inner, outer = Ellipse(along=50, across=50, death=1.0), Ellipse(along=150, across=150, death=0.2)
    one = Scenario("s", 0.0, 0.0, 1.0, (Outcome("fire", ((inner, outer),)),))
    risk = ParkRisk([one], rose(), AREA)
    assert risk.individual_at(20.0, 0.0) == pytest.approx(1.0)
    assert risk.individual_at(100.0, 0.0) == pytest.approx(0.2)
    assert risk.individual_at(200.0, 0.0) == 0.0


def test_indoors_counts_by_its_own_zones_and_protection():
    """Ten indoors and two outdoors in the middle of a circle: 0.1 of those indoors die, or those of the zones given."""
    crowd = Population(np.array([5.0]), np.array([5.0]), np.array([[2.0], [2.0]]), np.array([[10.0], [10.0]]))
    zone = Ellipse(along=100, across=100, protection=TOXIC)
    outcome = Outcome("toxic", ((zone,),))
    by_factor = ParkRisk([Scenario("s", 0, 0, 1.0, (outcome,))], rose(), AREA, crowd).result().societal
    assert by_factor.loss == pytest.approx(3.0)
    own = replace(outcome, indoors=((Ellipse(along=100, across=100, death=0.6),),))
    by_zone = ParkRisk([Scenario("s", 0, 0, 1.0, (own,))], rose(), AREA, crowd).result().societal
    assert by_zone.loss == pytest.approx(8.0)
    assert by_zone.deaths.tolist() == pytest.approx([8.0])


def test_the_staircase_is_closed_and_its_area_the_loss():
    curve = fn_curve(np.array([3.0, 1.0, 3.0, 0.2, 10.0]), np.array([1e-4, 1e-3, 2e-4, 1.0, 1e-6]), 0.0)
    assert curve.deaths.tolist() == [1.0, 3.0, 10.0]
    assert curve.exceedance(3.0) == pytest.approx(3.01e-4)
    assert curve.exceedance(3.0001) == pytest.approx(1e-6)
    assert curve.exceedance(11.0) == 0.0
    area = curve.deaths[0] * curve.frequency[0] + np.sum(np.diff(curve.deaths) * curve.frequency[1:])
    assert area == pytest.approx(1.0 * 1e-3 + 3.0 * 3e-4 + 10.0 * 1e-6)


def test_splitting_sectors_keeps_the_whole_and_the_middle():
    wind = rose(periods=1)
    fine = wind.split(3)
    assert fine.directions == 24
    assert fine.probability.sum() == pytest.approx(1.0)
    middle = wind.probability[0, 0, 2] / 3
    assert fine.probability[0, 0, 5:8].tolist() == pytest.approx([middle] * 3)


def test_a_finer_lattice_comes_nearer_to_the_plain_sum():
    one = Scenario("s", 0.0, 0.0, 1.0, (Outcome("flash", ((Ellipse(along=140, across=25, centre=150),),)),))
    wind = rose(periods=1)
    plain = plain_risk(one, Rose(wind.probability.sum(axis=1, keepdims=True), ("D5",)), AREA)
    errors = [
        np.abs(ParkRisk([one], wind, AREA, lattice=lattice).result().individual - plain).sum()
        for lattice in (Lattice(40, 96), Lattice(320, 720))
    ]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"frequency": -1.0}, "frequency of -1"),
        ({"frequency": float("nan")}, "frequency of nan"),
        ({"x": float("inf")}, "inf"),
        ({"outcomes": (Outcome("a", ((),), 1.5),)}, "a probability that is none"),
        ({"outcomes": (Outcome("a", ((), (), ())),)}, "footprints for 3 weathers"),
        ({"outcomes": (Outcome("a", ((), ()), np.ones(3)),)}, "a probability of shape"),
        ({"outcomes": (Outcome("a", ((Ellipse(along=1e3, across=float("nan")),),)),)}, "an ellipse"),
    ],
)
def test_impossible_scenarios_are_named(change, named):
    with pytest.raises(InvalidInputError, match=named):
        ParkRisk([replace(park()[0], **change)], rose(), AREA).result()


def test_impossible_surroundings_are_named():
    with pytest.raises(InvalidInputError, match="sum to 2"):
        Rose(np.full((1, 1, 4), 0.5), ("D5",))
    with pytest.raises(InvalidInputError, match="10 directions"):
        Rose(np.full((1, 1, 10), 0.1), ("D5",))
    with pytest.raises(InvalidInputError, match="negative number of people"):
        Population(np.zeros(1), np.zeros(1), np.array([[-1.0]]), np.zeros((1, 1)))
    with pytest.raises(InvalidInputError, match="people for 1 periods"):
        ParkRisk(park(), rose(), AREA, people(periods=1))
    with pytest.raises(InvalidInputError, match="two scenarios have one id"):
        ParkRisk([park()[0], park()[0]], rose(), AREA)
