"""Small towns that tests share."""

import numpy as np

from anlan.science.allocation.plume import Exposure, cumulated
from anlan.science.allocation.roads import Road, build, line_length


def grid(side=4, lanes=1.0, capacity=float("nan"), spacing=0.002):
    """Return a grid of streets at 30 km/h, nodes named ``row,column``."""
    roads = []
    for i in range(side):
        for j in range(side):
            for a, b in ((i + 1, j), (i, j + 1)):
                if a < side and b < side:
                    lon, lat = (121.6 + j * spacing, 121.6 + b * spacing), (29.9 + i * spacing, 29.9 + a * spacing)
                    length = line_length(lon, lat)
                    roads.append(Road(f"{i},{j}", f"{a},{b}", lon, lat, length, 30 / 3.6, 0, lanes, capacity=capacity))
    return build(roads)


def random_roads(draw_pairs, times):
    """Return one-way roads u → v whose travel times at 1 m/s are ``times``, s."""
    roads = []
    for (u, v), seconds in zip(draw_pairs, times, strict=True):
        roads.append(Road(str(u), str(v), (121.6, 121.6 + 1e-6), (29.9, 29.9), float(seconds), 1.0, 1))
    return build(roads)


def exposure_of(along, node, times):
    """Return an exposure with one point an arc."""
    along, node = np.asarray(along, dtype=np.float64), np.asarray(node, dtype=np.float64)
    times = np.asarray(times, dtype=np.float64)
    return Exposure(times, np.arange(len(along) + 1), along, node, cumulated(times, node), np.inf)
