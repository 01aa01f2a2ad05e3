"""A made-up plant for the console's tests: three enterprises, zones, about 300 points, alarm definitions."""

from __future__ import annotations

import math

from anlan.core.time import DAY, MINUTE, SECOND, now_us
from anlan.plant.model import (
    AlarmDefinition,
    Calibration,
    ConnectorSpec,
    OperatorPosition,
    Place,
    Plant,
    Point,
    SiteInfo,
    Unit,
    Zone,
)

ORIGIN = (121.62, 29.95)
NORTH_M = 111_195.0

UNITS = (
    ("haian/cracking/eth", "乙烯裂解装置", "Ethylene cracker", "unit", "", 0, 2),
    ("haian/cracking/eo", "环氧乙烷装置", "EO unit", "unit", "ethylene-oxide", 1, 2),
    ("haian/chlor/cl", "氯碱装置", "Chlor-alkali", "unit", "chlorine", 2, 2),
    ("haian/utilities/util", "公用工程", "Utilities", "unit", "", 3, 2),
    ("donghua/tanks/nh3", "液氨罐区", "Ammonia tank farm", "tank-farm", "ammonia", 0, 1),
    ("donghua/tanks/sty", "苯乙烯罐区", "Styrene tank farm", "tank-farm", "styrene", 1, 1),
    ("donghua/tanks/lpg", "LPG 球罐区", "LPG spheres", "tank-farm", "lpg", 2, 1),
    ("donghua/tanks/wwt", "污水处理场", "Wastewater", "unit", "", 3, 1),
    ("port/loading/truck", "装卸车台", "Truck loading", "unit", "", 0, 0),
    ("port/loading/haz", "危化品仓库", "HazMat warehouse", "warehouse", "", 1, 0),
    ("port/loading/jetty", "液体码头", "Liquid jetty", "unit", "", 2, 0),
    ("port/service/met", "气象与消防站", "Met and fire station", "unit", "", 3, 0),
)
PLACES = (
    ("haian", "海安石化", "Haian Petrochem"),
    ("donghua", "东华仓储", "Donghua Storage"),
    ("port", "港务公司", "Port company"),
    ("haian/cracking", "裂解区", "Cracking area"),
    ("haian/chlor", "氯碱区", "Chlor-alkali area"),
    ("haian/utilities", "公用区", "Utilities area"),
    ("donghua/tanks", "罐区", "Tank area"),
    ("port/loading", "装卸区", "Loading area"),
    ("port/service", "服务区", "Service area"),
)
# kind, id stem, name, English, unit, base, amplitude, H, HH, L
KINDS = (
    ("pressure", "PT", "压力", "Pressure", "MPa", 1.62, 0.03, 1.9, 2.1, None),
    ("temperature", "TT", "温度", "Temperature", "°C", 83.8, 1.2, 105.0, 120.0, None),
    ("level", "LT", "液位", "Level", "%", 62.0, 3.0, 85.0, 90.0, 10.0),
    ("toxic-gas", "AT", "有毒气体浓度", "Toxic gas", "ppm", 2.0, 0.8, 25.0, 50.0, None),
    ("combustible-gas", "GT", "可燃气体浓度", "Combustible gas", "%LEL", 3.0, 1.0, 25.0, 50.0, None),
    ("flow", "FT", "流量", "Flow", "m³/h", 128.0, 6.0, 180.0, 200.0, 40.0),
)


def _box(column: int, row: int, pad: float = 0.0) -> list[list[float]]:
    east = NORTH_M * math.cos(math.radians(ORIGIN[1]))
    x0, y0 = -430 + column * 225 + pad, -250 + row * 160 + pad
    x1, y1 = x0 + 185 - 2 * pad, y0 + 112 - 2 * pad
    corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))
    return [[ORIGIN[0] + x / east, ORIGIN[1] + y / NORTH_M] for x, y in corners]


def _zones() -> tuple[Zone, ...]:
    east = NORTH_M * math.cos(math.radians(ORIGIN[1]))

    def place(x: float, y: float) -> list[float]:
        return [ORIGIN[0] + x / east, ORIGIN[1] + y / NORTH_M]

    river = [place(-460, 232), place(-200, 250), place(140, 236), place(480, 252), place(480, 216), place(-460, 204)]
    fence = [place(-455, -268), place(468, -268), place(468, 190), place(-455, 190)]
    zones = [
        Zone("river", "", "东江", "River", {"type": "Polygon", "coordinates": [[*river, river[0]]]}, "water"),
        Zone("fence", "", "厂界", "Fence", {"type": "Polygon", "coordinates": [[*fence, fence[0]]]}, "boundary"),
    ]
    zones += [
        Zone(f"road-{y}", "", "", "", {"type": "LineString", "coordinates": [place(-455, y), place(468, y)]}, "road")
        for y in (-114, 46)
    ]
    zones += [
        Zone(path.rpartition("/")[2], path, zh, en, {"type": "Polygon", "coordinates": [_box(column, row)]}, kind)
        for path, zh, en, kind, _, column, row in UNITS
    ]
    return tuple(zones)


def _points() -> tuple[list[Point], list[AlarmDefinition]]:
    points: list[Point] = []
    alarms: list[AlarmDefinition] = []
    number = 0
    for index, (path, zh, *_rest) in enumerate(UNITS):
        for repeat in range(4):
            for kind, stem, name, english, unit, *_values, high, very_high, low in KINDS:
                number += 1
                tag = f"{stem}-{index + 1}{repeat:02d}{KINDS.index(next(k for k in KINDS if k[0] == kind)) + 1}"
                full = f"{path}/{stem.lower()}{repeat + 1}"
                safety = kind in ("toxic-gas", "combustible-gas")
                points.append(
                    Point(
                        number,
                        full,
                        kind,
                        unit,
                        f"{repeat + 1}号{name}",
                        f"{english} {repeat + 1}",
                        tag,
                        safety=safety,
                        low=0.0,
                        high=round(very_high * 1.3, 2),
                        stale_after=30 * SECOND,
                        connector=("dcs-1", "plc-2", "gds-3")[index % 3],
                        calibration=Calibration(
                            1.0, 0.02 * repeat, expires=now_us() + (repeat * 20 - 10) * DAY, certificate=f"CAL-{tag}"
                        )
                        if safety
                        else None,
                    )
                )
                limits = (("HH", very_high, 1 if safety else 2), ("H", high, 2 if safety else 3)) + (
                    (("L", low, 3),) if low else ()
                )
                for alarm, limit, priority in limits:
                    covered = (f"{full}.HH",) if alarm == "H" else ()
                    alarms.append(
                        AlarmDefinition(
                            f"{full}.{alarm}",
                            number,
                            alarm,
                            priority,
                            limit,
                            deadband=limit * 0.02,
                            on_delay=2 * SECOND,
                            off_delay=5 * SECOND,
                            covered_by=covered,
                            latched=safety and alarm == "HH",
                            cause=f"{zh}密封或法兰泄漏、阀门内漏；仪表漂移。",
                            consequence="人员中毒或形成可燃云团，可能升级为火灾爆炸。"
                            if safety
                            else "工艺偏离，可能联锁停车。",
                            action="核对相邻探测器与现场视频。\n通知班长，佩戴空气呼吸器检查。\n确认泄漏后切断来料并启动水幕。\n向园区值班室报告。",
                            time_to_act=5 * MINUTE if alarm == "HH" else 15 * MINUTE,
                            operator_position="tank-desk" if path.startswith("donghua") else "process-desk",
                            safety=safety,
                            source="GB/T 50493-2019 5.5.2",
                        )
                    )
    number += 1
    points.append(
        Point(
            number,
            "port/service/met/wind-speed",
            "wind-speed",
            "m/s",
            "风速",
            "Wind speed",
            "WS-001",
            connector="gds-3",
        )
    )
    number += 1
    points.append(
        Point(
            number,
            "port/service/met/wind-direction",
            "wind-direction",
            "°",
            "风向",
            "Wind direction",
            "WD-001",
            connector="gds-3",
        )
    )
    number += 1
    points.append(
        Point(
            number,
            "port/service/met/pump",
            "state",
            "",
            "消防泵",
            "Fire pump",
            "XS-001",
            states={0: "停止", 1: "运行", 2: "故障"},
            connector="gds-3",
        )
    )
    alarms.append(
        AlarmDefinition(
            "port/service/met/pump.state",
            number,
            "state",
            4,
            states=(2,),
            action="到泵房检查。",
            operator_position="process-desk",
        )
    )
    return points, alarms


def plant() -> Plant:
    """Return the plant, compiled by hand."""
    points, alarms = _points()
    by_connector: dict[str, dict[str, object]] = {"dcs-1": {}, "plc-2": {}, "gds-3": {}}
    for point in points:
        by_connector[point.connector][point.path] = f"ns=2;s={point.tag}"
    return Plant(
        site=SiteInfo("donggang", "东港化工园区", "park", "Donggang Chemical Park", "Asia/Shanghai", "WGS84", ORIGIN),
        places=tuple(Place(path, zh, en) for path, zh, en in PLACES),
        units=tuple(
            Unit(
                path,
                zh,
                en,
                kind,
                substance,
                120.0 if substance else None,
                "t" if substance else "",
                path.rpartition("/")[2],
            )
            for path, zh, en, kind, substance, *_ in UNITS
        ),
        points=tuple(points),
        zones=_zones(),
        connectors=(
            ConnectorSpec("dcs-1", "opcua", {}, by_connector["dcs-1"], "一号 DCS"),
            ConnectorSpec("plc-2", "modbus", {}, by_connector["plc-2"], "罐区 PLC"),
            ConnectorSpec("gds-3", "mqtt", {}, by_connector["gds-3"], "气体探测系统"),
        ),
        alarms=tuple(alarms),
        positions=(
            OperatorPosition("tank-desk", "罐区操作岗", "Tank desk", ("donghua",)),
            OperatorPosition("process-desk", "工艺操作岗", "Process desk", ("haian", "port")),
        ),
    )
