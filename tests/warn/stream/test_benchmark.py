"""The benchmark runs: a slice of it, for its figures and not for their size."""

from __future__ import annotations

from benchmarks.warn import engine_cost, grid_rate, many_points

from anlan.warn.stream.engine import NO_FEATURES


def test_slice_of_the_benchmark_gives_its_figures() -> None:
    plant = many_points(200)
    assert grid_rate(plant, 2, 3)["samples_per_s"] > 0
    cost = engine_cost(plant, NO_FEATURES, (), 2)
    assert cost["points"] == 200
    assert set(cost["ms_per_step"]) == {"grid", "features", "detectors", "trends"}
    assert cost["snapshot_mb"] > 0
