"""The plant as pages get it: metres, places, scope, a schematic where there are no outlines."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from anlan.web.live.plant_view import view
from tests.web.console.fake_plant import plant


def seen(key: tuple[str, ...], made: Any = None) -> dict[str, Any]:
    return json.loads(view(made or plant(), key))  # type: ignore[no-any-return]  # JSON


def test_outlines_become_metres_about_the_site() -> None:
    zone = next(zone for zone in seen(("",))["map"]["zones"] if zone["path"] == "donghua/tanks/nh3")
    x0, y0, x1, y1 = zone["box"]
    assert math.isclose(x1 - x0, 185, rel_tol=0.01)
    assert math.isclose(y1 - y0, 112, rel_tol=0.01)


def test_points_without_a_position_lie_inside_their_unit() -> None:
    document = seen(("",))
    boxes = {zone["path"]: zone["box"] for zone in document["map"]["zones"]}
    for point in document["points"]:
        x0, y0, x1, y1 = boxes[point["path"].rpartition("/")[0]]
        assert x0 <= point["xy"][0] <= x1
        assert y0 <= point["xy"][1] <= y1


def test_only_ones_own_places_are_told() -> None:
    document = seen(("donghua/tanks",))
    assert {point["path"].split("/")[0] for point in document["points"]} == {"donghua"}
    assert {zone["path"].split("/")[0] for zone in document["map"]["zones"] if zone["path"]} == {"donghua"}
    numbers = {point["number"] for point in document["points"]}
    assert all(alarm["point"] in numbers for alarm in document["alarms"])
    assert document["wind"] is None


def test_a_site_without_outlines_gets_a_schematic() -> None:
    bare = msgspec.structs.replace(plant(), zones=())
    document = seen(("",), bare)
    assert document["map"]["schematic"]
    assert {zone["path"] for zone in document["map"]["zones"]} == {unit.path for unit in bare.units}


def test_key_points_have_limits_and_are_of_different_kinds() -> None:
    document = seen(("",))
    kinds = [
        next(point["kind"] for point in document["points"] if point["number"] == number)
        for number in document["key"][:4]
    ]
    assert len(set(kinds)) == 4
