"""Roads: shared graphs with checked distances, faults set aside with their reason, snapping."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.science.allocation.paths import NoRouteError, shortest
from anlan.science.allocation.road_file import read_roads
from anlan.science.allocation.roads import RoadsError, line_length, radii, snap, with_places


def feature(u, v, line=((121.6, 29.9), (121.601, 29.9)), **properties):
    return {
        "type": "Feature",
        "properties": {"u": u, "v": v, **properties},
        "geometry": {"type": "LineString", "coordinates": [list(point) for point in line]},
    }


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


@pytest.mark.parametrize("name", ["monaco", "krems"])
def test_shortest_ways_match_the_checked_distances(shared_data, name):
    folder = shared_data / "roads"
    graph = read_roads(json.loads(gzip.decompress((folder / f"{name}_edges.geojson.gz").read_bytes())))
    pairs = json.loads((folder / f"{name}_shortest_paths.json").read_text())
    found = []
    for pair in pairs:
        try:
            length, arcs = shortest(graph, graph.node(pair["origin"]), graph.node(pair["destination"]))
            assert length == pytest.approx(graph.length[list(arcs)].sum())
        except NoRouteError:
            length = None
        found.append(length)
    assert found == [
        None if pair["shortest_m"] is None else pytest.approx(pair["shortest_m"], abs=1.0) for pair in pairs
    ]


def test_each_faulty_edge_is_set_aside_with_its_reason():
    good = feature("a", "b")
    faults = {
        "negative-length": feature("a", "c", length_m=-5),
        "length": feature("a", "c", length_m="far"),
        "length-below-line": feature("a", "c", length_m=3),
        "edge-without-node": feature("a", None),
        "coordinates": feature("a", "c", ((29.9, 121.6), (29.9, 121.7))),
        "no-line": {"type": "Feature", "properties": {"u": "a", "v": "c"}, "geometry": None},
        "speed": feature("a", "c", maxspeed=-3),
        "direction": feature("a", "c", direction=7),
    }
    graph = read_roads(collection(good, *faults.values()))
    assert [remark.code for remark in graph.remarks] == list(faults)
    assert [remark.where for remark in graph.remarks] == [f"features[{number}]" for number in range(1, 9)]
    assert all(remark.fix and remark.zh for remark in graph.remarks)
    assert graph.nodes == ("a", "b")


def test_no_usable_road_is_an_error_that_names_the_first_fault():
    with pytest.raises(RoadsError, match="-5 m"):
        read_roads(collection(feature("a", "b", length_m=-5)))
    with pytest.raises(RoadsError, match="FeatureCollection"):
        read_roads([])


def test_disconnected_roads_are_remarked_and_have_no_way():
    far = ((121.7, 29.9), (121.701, 29.9))
    graph = read_roads(collection(feature("a", "b"), feature("c", "d", far)))
    assert [remark.code for remark in graph.remarks] == ["disconnected"]
    with pytest.raises(NoRouteError, match="no open road"):
        shortest(graph, graph.node("a"), graph.node("c"))


def test_one_way_and_closed_roads_are_not_driven_but_walked_both_ways():
    data = collection(feature("a", "b", direction=1))
    driven, walked = read_roads(data), read_roads(data, "walk")
    assert len(driven.head) == 1
    assert len(walked.head) == 2
    assert walked.speed.max() == pytest.approx(1.2)
    with pytest.raises(NoRouteError):
        shortest(driven.with_closed([0]), 0, 1)
    placed, spots = with_places(driven.with_closed([0]), [(121.6005, 29.9)])
    assert placed.closed.all()
    with pytest.raises(NoRouteError):
        shortest(placed, 0, spots[0].node)


def test_lines_without_node_ids_are_joined_where_they_meet():
    graph = read_roads(collection(feature(None, None), feature(None, None, ((121.601, 29.9), (121.602, 29.9)))))
    assert len(graph.nodes) == 3
    assert shortest(graph, 0, 2)[0] == pytest.approx(line_length((121.6, 121.602), (29.9, 29.9)))


def test_lengths_are_those_of_the_ellipsoid():
    # Degree lengths of WGS84 at 30°: 96 486.28 m and 110 852.46 m (NIMA TR8350.2 series).
    east, north = radii(30.0)
    assert east == pytest.approx(96486.28, abs=0.1)
    assert north == pytest.approx(110852.4, abs=0.2)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5))
def test_places_split_a_road_without_changing_its_length(shares):
    graph = read_roads(collection(feature("a", "b", length_m=120.0)))
    places = [(121.6 + 0.001 * share, 29.9002) for share in shares]
    placed, spots = with_places(graph, places)
    assert placed.nodes[:2] == graph.nodes
    assert shortest(placed, 0, 1)[0] == pytest.approx(120.0)
    for share, spot in zip(shares, spots, strict=True):
        assert shortest(placed, 0, spot.node)[0] == pytest.approx(120.0 * share, abs=1.5)
        assert spot.away == pytest.approx(22.2, abs=0.2)


def test_snap_takes_the_nearest_usable_road_and_refuses_what_is_no_place():
    graph = read_roads(collection(feature("a", "b"), feature("a", "c", ((121.6, 29.9), (121.6, 29.901)))))
    assert snap(graph, 121.6005, 29.90001)[0] == 0
    assert snap(graph, 121.6005, 29.90001, np.array([False, True]))[0] == 1
    with pytest.raises(RoadsError, match="no road can be used"):
        snap(graph, 121.6005, 29.9, np.array([False, False]))
    with pytest.raises(RoadsError, match="no place"):
        snap(graph, 29.9, 121.6)
