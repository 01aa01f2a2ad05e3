"""Coefficient sets beside an independent transcription of the same published fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anlan.science.consequence.conventions import Stability
from anlan.science.consequence.sigma import scheme
from tests.validation.consequence.originals import rows
from tests.validation.consequence.scores import LIMITS

NAMES = {
    "CCPS/Briggs plume rural": "briggs-rural",
    "CCPS/Briggs plume urban": "briggs-urban",
    "CCPS puff": "ccps-puff",
    "EPA ISC3 rural (PG)": "pasquill-gifford",
    "TNO Yellow Book plume": "yellow-book",
    "Turner 1970": "turner",
}


def test_every_known_value(shared_data: Path) -> None:
    worst, count = 0.0, 0
    for row in rows(shared_data / "dispersion" / "sigma_schemes.csv"):
        name = next((ours for theirs, ours in NAMES.items() if row["scheme"].startswith(theirs)), None)
        if name is None:
            print("not ours:", row["scheme"])
            continue
        kind = getattr(scheme(name), row["quantity"])
        said = float(kind(Stability(row["stability"]), np.array(float(row["x_m"]))))
        error = abs(said / float(row["expected_m"]) - 1.0)
        worst, count = max(worst, error), count + 1
        if error > LIMITS["sigma_schemes"]["largest"]:
            print(row, said)
    print(f"coefficient sets: {count} values, largest error {worst:.2%}")
    assert count > 40
    assert worst <= LIMITS["sigma_schemes"]["largest"]


@pytest.mark.parametrize(
    ("stability", "sigma_y", "sigma_z"), [("D", 68.127, 32.093), ("E", 50.939, 21.628), ("F", 33.884, 13.953)]
)
def test_isc3_at_one_kilometre(stability: str, sigma_y: float, sigma_z: float) -> None:
    isc3, at = scheme("pasquill-gifford"), np.array(1000.0)
    assert float(isc3.sigma_y(Stability(stability), at)) == pytest.approx(sigma_y, rel=2e-4)
    assert float(isc3.sigma_z(Stability(stability), at)) == pytest.approx(sigma_z, rel=2e-4)
