"""A small plant of two enterprises for the web floor's tests."""

from __future__ import annotations

from anlan.core.time import DAY, now_us
from anlan.plant.model import (
    AlarmDefinition,
    Calibration,
    ConnectorSpec,
    OperatorPosition,
    Place,
    Plant,
    Point,
    SiteInfo,
    Stock,
    Unit,
    Zone,
)

HAIAN = "haian/tank-farm-a/t-401"
LINGANG = "lingang/compressors/k-1"
_SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 80], [0, 80], [0, 0]]]}


def make_plant() -> Plant:
    """Return the plant: five points of one enterprise, three of the other."""
    now = now_us()
    points = (
        Point(1, f"{HAIAN}/pressure", "pressure", "MPa", "压力", "Pressure", tag="PT401", safety=True, connector="dcs"),
        Point(2, f"{HAIAN}/level", "level", "%", "液位", "Level", connector="dcs"),
        Point(
            3,
            f"{HAIAN}/gas-1",
            "toxic-gas",
            "ppm",
            "氨",
            "Ammonia",
            safety=True,
            calibration=Calibration(expires=now - DAY, certificate="C-1"),
        ),
        Point(4, f"{HAIAN}/wind-speed", "wind-speed", "m/s", "风速", "Wind speed"),
        Point(5, f"{HAIAN}/wind-direction", "wind-direction", "°", "风向", "Wind direction"),
        Point(6, f"{LINGANG}/speed", "speed", "rpm", "转速", "Speed", connector="plc"),
        Point(7, f"{LINGANG}/vibration", "vibration", "mm/s", calibration=Calibration(expires=now + 5 * DAY)),
        Point(8, f"{LINGANG}/pump", "state", "", states={0: "stopped", 1: "running"}),
    )
    return Plant(
        site=SiteInfo("donggang", "东港化工园区", tier="park", name_en="Donggang", crs="local"),
        places=(
            Place("haian", "海安化工", "Haian", "enterprise"),
            Place("haian/tank-farm-a", "罐区A", "Tank farm A", "area"),
            Place("lingang", "临港石化", "Lingang", "enterprise"),
            Place("lingang/compressors", "压缩机房", "Compressors", "area"),
        ),
        units=(
            Unit(HAIAN, "液氨罐", "Ammonia tank", "pressurised-tank", "ammonia", 120, "t", "z1"),
            Unit(LINGANG, "压缩机", "Compressor", "compressor", zone="z2"),
        ),
        points=points,
        zones=(
            Zone("z1", HAIAN, "罐区", geometry=_SQUARE),
            Zone("z2", LINGANG, "压缩机房", geometry=_SQUARE),
        ),
        stock=(Stock(HAIAN, "ammonia", 120, "t", "7664-41-7"),),
        connectors=(
            ConnectorSpec("dcs", "opcua", {"endpoint": "opc.tcp://127.0.0.1:1"}, {points[0].path: "ns=2;s=PT401"}),
            ConnectorSpec("plc", "modbus", {"host": "127.0.0.1"}, {points[5].path: "40001"}),
        ),
        alarms=(
            AlarmDefinition(f"{HAIAN}/pressure.HH", 1, "HH", 1, 1.9, safety=True, operator_position="desk-1"),
            AlarmDefinition(f"{HAIAN}/pressure.H", 1, "H", 2, 1.7, covered_by=(f"{HAIAN}/pressure.HH",)),
            AlarmDefinition(f"{LINGANG}/speed.H", 6, "H", 3, 9000.0, operator_position="desk-2"),
        ),
        positions=(
            OperatorPosition("desk-1", "一号台", "Desk 1", ("haian",)),
            OperatorPosition("desk-2", "二号台", "Desk 2", ("lingang",)),
        ),
    )
