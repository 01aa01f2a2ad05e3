"""Kinds of points and their units."""

from __future__ import annotations

import pytest

from anlan.core.errors import InvalidInputError
from anlan.core.units import kind_of, kinds, unit_for


def test_every_kind_accepts_its_usual_unit_and_has_names_in_both_languages() -> None:
    assert len(kinds()) > 20
    for kind in kinds().values():
        assert kind.allows(kind.unit)
        assert kind.zh
        assert kind.en


def test_unit_defaults_to_the_usual_one() -> None:
    assert unit_for("pressure") == "MPa"
    assert unit_for("pressure", "bar") == "bar"


def test_names_the_units_that_would_be_right() -> None:
    with pytest.raises(InvalidInputError, match="MPa, kPa"):
        unit_for("pressure", "°C")
    with pytest.raises(InvalidInputError, match="combustible-gas"):
        kind_of("pressre")
