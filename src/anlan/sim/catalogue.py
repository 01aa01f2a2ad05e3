"""The equipment of the park: what stands where, with its design values. Everything else follows from this list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from anlan.sim.geometry import Ring

# Substance table keys used as tank parameters: see data/substances.yaml.


@dataclass(frozen=True, slots=True)
class Place:
    """An enterprise (``plot`` empty) or an area with its plot on the map, local metres."""

    path: str
    name: str
    name_en: str
    kind: str = ""
    plot: Ring = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of equipment: a unit of the hierarchy.

    Attributes:
        area: path of its area. kind: key of data/equipment.yaml. x, y: centre, local metres. size: m.
        parameters: design values its physics and limits name.
        substance: key of data/substances.yaml. twin, source: ids of the stand-by pump and of the tank it draws from.
        connector: which connector reads it.
    """

    area: str
    id: str
    kind: str
    name: str
    name_en: str
    x: float
    y: float
    connector: str
    size: float = 8.0
    parameters: dict[str, float] = field(default_factory=dict)
    substance: str = ""
    twin: str = ""
    source: str = ""
    tag: str = ""

    @property
    def path(self) -> str:
        """Full path of the unit."""
        return f"{self.area}/{self.id}"


@dataclass(frozen=True, slots=True)
class Watch:
    """A gas detector: which gas, hung on which unit, standing where."""

    unit: str
    gas: str
    number: int
    x: float
    y: float
    device: str


ENTERPRISES = (
    Place("haian", "海安液化气储运有限公司", "Haian Liquefied Gas Storage", "storage"),
    Place("donglan", "东澜化学有限公司", "Donglan Chemical", "chemical"),
    Place("gangneng", "港能公用工程有限公司", "Gangneng Utilities", "utilities"),
)


def _box(x0: float, y0: float, x1: float, y1: float, cut: float = 0.0) -> Ring:
    """Return a plot outline; ``cut`` chamfers its north-east corner."""
    return [(x0, y0), (x1, y0), (x1, y1 - cut), (x1 - cut, y1), (x0, y1), (x0, y0)]


AREAS = (
    Place("haian/ammonia-farm", "液氨罐区", "Ammonia tank farm", "tank-farm", _box(20, 690, 350, 980)),
    Place("haian/lpg-farm", "LPG 球罐区", "LPG sphere farm", "tank-farm", _box(376, 690, 700, 980)),
    Place("haian/pump-station", "泵与压缩机区", "Pump and compressor station", "machinery", _box(726, 690, 930, 980)),
    Place("haian/loading", "装卸区", "Loading area", "loading", _box(956, 690, 1230, 980)),
    Place("haian/control", "海安中控楼", "Haian control building", "control", _box(1256, 720, 1520, 980, 60)),
    Place("donglan/electrolysis", "氯碱电解区", "Electrolysis", "process", _box(20, 350, 270, 664)),
    Place("donglan/chlorine", "液氯区", "Liquid chlorine", "tank-farm", _box(296, 350, 480, 664)),
    Place("donglan/eo", "环氧乙烷装置", "Ethylene oxide unit", "process", _box(506, 350, 790, 664)),
    Place("donglan/ethoxylation", "乙氧基化装置", "Ethoxylation unit", "process", _box(816, 350, 1080, 664)),
    Place("donglan/tank-farm", "中间罐区", "Intermediate tank farm", "tank-farm", _box(1106, 350, 1340, 664)),
    Place("donglan/control", "东澜中控楼", "Donglan control building", "control", _box(1366, 350, 1560, 690, 50)),
    Place("gangneng/boiler", "动力锅炉", "Boiler house", "utilities", _box(20, 20, 290, 324)),
    Place("gangneng/cooling-water", "循环水场", "Cooling water", "utilities", _box(316, 20, 570, 324)),
    Place("gangneng/wastewater", "污水处理", "Waste water treatment", "utilities", _box(596, 20, 880, 324)),
    Place("gangneng/air-separation", "空分装置", "Air separation", "process", _box(906, 20, 1180, 324)),
    Place("gangneng/substation", "110 kV 变电站", "Substation", "utilities", _box(1206, 20, 1370, 324)),
    Place("gangneng/environment", "环境监测站", "Environment station", "utilities", _box(1396, 20, 1580, 310, 60)),
)

TANKS, LPG, UTILITY = "tank-plc", "edge-haian", "utility-plc"
DCS, ASU, ENVIRONMENT, GAS = "dcs-donglan", "asu-plc", "environment", "gas-detection"
EDGE = "edge-nodes"


def _grid(x: float, y: float, dx: float, dy: float, columns: int) -> Iterator[tuple[float, float]]:
    row = 0
    while True:
        for column in range(columns):
            yield x + column * dx, y - row * dy
        row += 1


def _tanks() -> Iterator[Item]:
    def tank(
        area: str, prefix: str, numbers: range, zh: str, en: str, place: Iterator[tuple[float, float]], **more: object
    ) -> Iterator[Item]:  # one signature
        connector = str(more.pop("connector"))
        kind = str(more.pop("kind", "pressurised-tank"))
        substance = str(more.pop("substance"))
        size = float(str(more.pop("size", 18)))
        base = {key: float(str(value)) for key, value in more.items()}
        for step, number in enumerate(numbers):
            x, y = next(place)
            parameters = base | {"fill": base.get("fill", 62.0) + (step * 37 % 11) * 1.3 - 5}
            name = f"{prefix}-{number}"
            yield Item(
                area, name.lower(), kind, f"{zh} {name}", f"{en} {name}", x, y, connector, size, parameters, substance
            )  # one record

    sphere = {"sphere": 1, "volume": 1500, "blanket": 0.02, "chill": 60000, "heat_loss": 900, "flutter": 0.3}
    yield from tank(
        "haian/ammonia-farm",
        "T",
        range(401, 407),
        "液氨球罐",
        "Ammonia sphere",
        _grid(85, 915, 90, 120, 3),
        connector=TANKS,
        substance="ammonia",
        storage=18,
        design=1.4,
        relief=1.3,
        throughput=3,
        **sphere,
    )  # one record
    yield from tank(
        "haian/lpg-farm",
        "V",
        range(501, 507),
        "LPG 球罐",
        "LPG sphere",
        _grid(440, 915, 92, 120, 3),
        connector=TANKS,
        substance="lpg",
        storage=20,
        design=1.55,
        relief=1.45,
        throughput=3,
        **sphere,
    )  # one record
    drum = sphere | {"sphere": 0, "volume": 75, "chill": 8000, "heat_loss": 220}
    yield from tank(
        "donglan/chlorine",
        "V",
        range(111, 115),
        "液氯储槽",
        "Chlorine drum",
        _grid(345, 600, 85, 80, 2),
        connector=DCS,
        substance="chlorine",
        storage=8,
        design=0.95,
        relief=0.9,
        throughput=0.6,
        size=10,
        **drum,
    )  # one record
    bullet = sphere | {"volume": 400, "blanket": 0.25, "chill": 25000, "heat_loss": 400, "flutter": 0.5}
    yield from tank(
        "donglan/eo",
        "V",
        range(211, 213),
        "环氧乙烷球罐",
        "Ethylene oxide sphere",
        _grid(560, 615, 80, 60, 2),
        connector=DCS,
        substance="ethylene-oxide",
        storage=4,
        design=0.6,
        relief=0.55,
        throughput=1.2,
        size=14,
        **bullet,
    )  # one record
    cold = sphere | {"volume": 1000, "chill": 80000, "heat_loss": 300}
    yield from tank(
        "donglan/eo",
        "V",
        range(221, 223),
        "乙烯球罐",
        "Ethylene sphere",
        _grid(720, 615, 45, 60, 2),
        connector=DCS,
        substance="ethylene",
        storage=-30,
        design=2.9,
        relief=2.75,
        throughput=2,
        size=16,
        **cold,
    )  # one record
    flask = sphere | {"sphere": 0, "volume": 200, "chill": 20000, "heat_loss": 60, "blanket": 0.3}
    yield from tank(
        "gangneng/air-separation",
        "V",
        range(711, 713),
        "液氧贮槽",
        "Liquid oxygen tank",
        _grid(1100, 270, 40, 40, 2),
        connector=ASU,
        substance="oxygen",
        storage=-182.5,
        design=0.8,
        relief=0.7,
        throughput=0.5,
        size=12,
        **flask,
    )  # one record
    flat = {
        "kind": "atmospheric-tank",
        "sphere": 0,
        "design": 0.1,
        "relief": 0.09,
        "blanket": 0.001,
        "chill": 0,
        "heat_loss": 80,
        "flutter": 0.05,
    }  # one record
    for prefix, numbers, zh, en, substance, storage, volume in (
        ("T", range(311, 315), "烧碱罐", "Caustic tank", "caustic", 45, 2000),
        ("T", range(321, 323), "盐酸罐", "Acid tank", "hydrochloric-acid", 25, 500),
        ("T", range(331, 335), "乙二醇罐", "Glycol tank", "glycol", 40, 1500),
        ("T", range(341, 343), "盐水罐", "Brine tank", "brine", 60, 2500),
    ):
        place = _grid(1140, 625 - (numbers.start - 311) * 8, 52, 62, 4)
        yield from tank(
            "donglan/tank-farm",
            prefix,
            numbers,
            zh,
            en,
            place,
            connector=DCS,
            substance=substance,
            storage=storage,
            volume=volume,
            throughput=4,
            **flat,
        )  # one record
    yield from tank(
        "gangneng/wastewater",
        "T",
        range(801, 807),
        "污水池",
        "Effluent basin",
        _grid(640, 285, 70, 70, 3),
        connector=UTILITY,
        substance="water",
        storage=24,
        volume=3000,
        throughput=20,
        fill=55,
        size=30,
        **flat,
    )  # one record
    yield from tank(
        "gangneng/boiler",
        "T",
        range(901, 903),
        "除盐水箱",
        "Demineralised water tank",
        _grid(60, 60, 60, 60, 2),
        connector=UTILITY,
        substance="water",
        storage=30,
        volume=800,
        throughput=25,
        **flat,
    )  # one record


PUMP_PLACES = (
    # area, letter number range, zh, en, source tank ids, flow m³/h, head MPa, current A, substance, connector, x, y
    ("haian/pump-station", range(401, 404), "液氨泵", "Ammonia pump", ("t-401", "t-403", "t-405"), 60, 0.9, 88, "ammonia", EDGE, 760, 945),
    ("haian/pump-station", range(501, 504), "LPG 泵", "LPG pump", ("v-501", "v-503", "v-505"), 80, 0.8, 96, "lpg", EDGE, 760, 845),
    ("donglan/electrolysis", range(101, 105), "盐水泵", "Brine pump", ("t-341", "t-342", "", ""), 220, 0.5, 120, "brine", DCS, 50, 400),
    ("donglan/chlorine", range(111, 113), "液氯泵", "Chlorine pump", ("v-111", "v-113"), 12, 0.9, 40, "chlorine", DCS, 330, 420),
    ("donglan/eo", range(201, 206), "工艺泵", "Process pump", ("", "", "", "v-211", "v-212"), 150, 0.7, 110, "ethylene-oxide", DCS, 540, 420),
    ("donglan/ethoxylation", range(301, 305), "循环泵", "Circulation pump", ("", "", "", ""), 180, 0.6, 105, "glycol", DCS, 850, 400),
    ("donglan/tank-farm", range(311, 314), "外送泵", "Transfer pump", ("t-311", "t-331", "t-333"), 90, 0.6, 70, "caustic", DCS, 1135, 380),
    ("gangneng/boiler", range(901, 904), "给水泵", "Feed water pump", ("t-901", "t-902", ""), 120, 5.0, 260, "water", UTILITY, 60, 150),
    ("gangneng/cooling-water", range(601, 605), "循环水泵", "Cooling water pump", ("", "", "", ""), 2800, 0.46, 52, "water", UTILITY, 350, 60),
    ("gangneng/wastewater", range(801, 804), "提升泵", "Lift pump", ("t-801", "t-803", "t-805"), 180, 0.25, 45, "water", UTILITY, 630, 60),
)  # fmt: skip


def _pumps() -> Iterator[Item]:
    for area, numbers, zh, en, sources, flow, head, current, substance, connector, x, y in PUMP_PLACES:
        for step, (number, source) in enumerate(zip(numbers, sources, strict=True)):
            for side, letter in enumerate("AB"):
                name = f"P-{number}{letter}"
                parameters = {
                    "rated_flow": float(flow), "rated_head": head, "rated_current": float(current),
                    "rated_speed": 1480.0 if flow > 500 else 2960.0, "duty": float(letter == "A"),
                    "vibration": 1.4 + 0.15 * ((number * 7 + side * 3) % 5),
                }  # fmt: skip
                twin = f"{area}/p-{number}{'b' if letter == 'A' else 'a'}"
                yield Item(
                    area, name.lower(), "pump", f"{zh} {name}", f"{en} {name}", x + step * 42, y + side * 22, connector,
                    6, parameters, substance, twin, source,
                )  # fmt: skip


COMPRESSOR_PLACES = (
    # area, id, zh, en, flow Nm³/h, speed, suction, discharge MPa, current A, kV, connector, x, y
    ("haian/pump-station", "K-401A", "液氨制冷压缩机", "Ammonia refrigeration compressor", 4200, 2960, 0.2, 1.2, 180, 6, EDGE, 770, 740),
    ("haian/pump-station", "K-401B", "液氨制冷压缩机", "Ammonia refrigeration compressor", 4200, 2960, 0.2, 1.2, 180, 6, EDGE, 810, 740),
    ("haian/pump-station", "K-501", "LPG 压缩机", "LPG compressor", 1800, 1480, 0.6, 1.4, 90, 6, EDGE, 860, 740),
    ("donglan/chlorine", "K-101A", "氯气透平机", "Chlorine compressor", 9800, 9600, 0.02, 0.35, 120, 6, DCS, 345, 480),
    ("donglan/chlorine", "K-101B", "氯气透平机", "Chlorine compressor", 9800, 9600, 0.02, 0.35, 120, 6, DCS, 400, 480),
    ("donglan/electrolysis", "K-102", "氢气压缩机", "Hydrogen compressor", 5200, 980, 0.02, 0.6, 75, 6, DCS, 210, 420),
    ("donglan/eo", "K-201", "循环气压缩机", "Cycle gas compressor", 62000, 5200, 1.8, 2.2, 420, 10, DCS, 700, 480),
    ("gangneng/air-separation", "K-701", "空气压缩机", "Main air compressor", 68000, 7600, 0.0, 0.52, 480, 10, EDGE, 940, 230),
    ("gangneng/air-separation", "K-702", "氮气压缩机", "Nitrogen compressor", 24000, 12800, 0.01, 0.8, 210, 10, EDGE, 990, 230),
)  # fmt: skip


def _compressors() -> Iterator[Item]:
    for area, name, zh, en, flow, speed, suction, discharge, current, voltage, connector, x, y in COMPRESSOR_PLACES:
        parameters = {
            "rated_flow": float(flow), "rated_speed": float(speed), "suction": suction, "discharge": discharge,
            "rated_current": float(current), "voltage": float(voltage * 1000), "vibration": 22.0 + len(name),
        }  # fmt: skip
        yield Item(area, name.lower(), "compressor", f"{zh} {name}", f"{en} {name}", x, y, connector, 12, parameters)


def _thermal() -> Iterator[Item]:
    place = _grid(530, 560, 38, 30, 6)
    for number in range(201, 213):
        hot = 95.0 + (number * 13 % 7) * 12
        parameters = {
            "hot_inlet": hot,
            "hot_outlet": 42.0 + number % 5,
            "hot_flow": 60.0 + number % 4 * 20,
            "cold_flow": 260.0,
            "drop": 28.0,
        }  # one record
        x, y = next(place)
        yield Item(
            "donglan/eo",
            f"e-{number}",
            "exchanger",
            f"换热器 E-{number}",
            f"Exchanger E-{number}",
            x,
            y,
            DCS,
            6,
            parameters,
        )  # one record
    place = _grid(850, 620, 40, 30, 5)
    for number in range(301, 311):
        parameters = {
            "hot_inlet": 120.0 + number % 6 * 4,
            "hot_outlet": 48.0,
            "hot_flow": 45.0,
            "cold_flow": 220.0,
            "drop": 24.0,
        }  # one record
        x, y = next(place)
        yield Item(
            "donglan/ethoxylation",
            f"e-{number}",
            "exchanger",
            f"换热器 E-{number}",
            f"Exchanger E-{number}",
            x,
            y,
            DCS,
            6,
            parameters,
        )  # one record
    place = _grid(850, 540, 52, 48, 4)
    for number in range(301, 309):
        parameters = {"target": 128.0 + number % 4 * 6, "pressure": 0.42, "feed": 6.0, "coolant": 60.0, "current": 62.0}
        x, y = next(place)
        yield Item(
            "donglan/ethoxylation",
            f"r-{number}",
            "reactor",
            f"乙氧基化反应器 R-{number}",
            f"Ethoxylation reactor R-{number}",
            x,
            y,
            DCS,
            10,
            parameters,
            "ethylene-oxide",
        )  # one record
    for number, x in ((201, 560), (202, 610)):
        parameters = {"target": 232.0, "pressure": 1.9, "feed": 30.0, "coolant": 120.0, "current": 80.0}
        yield Item(
            "donglan/eo",
            f"r-{number}",
            "reactor",
            f"EO 反应器 R-{number}",
            f"EO reactor R-{number}",
            x,
            480,
            DCS,
            14,
            parameters,
            "ethylene",
        )  # one record
    for number, area, x, y in (
        (210, "eo", 660, 440),
        (220, "eo", 700, 440),
        (230, "eo", 740, 440),
        (310, "ethoxylation", 1040, 440),
    ):  # one record
        yield Item(f"donglan/{area}", f"c-{number}", "column", f"精馏塔 C-{number}", f"Column C-{number}", x, y, DCS, 7)
    for number, x in ((701, 1040), (702, 1075)):
        yield Item(
            "gangneng/air-separation",
            f"c-{number}",
            "column",
            f"精馏塔 C-{number}",
            f"Column C-{number}",
            x,
            150,
            ASU,
            8,
        )  # one record
    for number in range(1, 4):
        parameters = {"steam": 75.0, "pressure": 3.9, "superheat": 450.0}
        yield Item(
            "gangneng/boiler",
            f"b-{number}",
            "boiler",
            f"锅炉 {number}#",
            f"Boiler {number}",
            60 + number * 60,
            250,
            UTILITY,
            30,
            parameters,
        )  # one record


def _rest() -> Iterator[Item]:
    for number in range(1, 9):
        x, y = 50 + (number - 1) % 4 * 52, 600 - (number - 1) // 4 * 60
        yield Item(
            "donglan/electrolysis",
            f"el-{number}",
            "electrolyser",
            f"电解槽 {number}#",
            f"Electrolyser {number}",
            x,
            y,
            DCS,
            22,
            {"current": 13.5 + number % 3 * 0.3},
        )  # one record
    for number in range(1, 7):
        yield Item(
            "gangneng/cooling-water",
            f"ct-{number}",
            "cooling-tower",
            f"冷却塔 {number}#",
            f"Cooling tower {number}",
            350 + (number - 1) % 3 * 72,
            270 - (number - 1) // 3 * 80,
            UTILITY,
            36,
        )  # one record
    yield Item(
        "gangneng/cooling-water", "header", "water-header", "循环水总管", "Cooling water header", 530, 120, UTILITY
    )
    for number, zh in enumerate(("进水", "生化", "出水"), start=1):
        yield Item(
            "gangneng/wastewater",
            f"aq-{number}",
            "effluent",
            f"水质仪表 {zh}",
            f"Water analyser {number}",
            640 + number * 50,
            120,
            UTILITY,
            5,
        )  # one record
    for number in range(1, 15):
        x, y = 1230 + (number - 1) % 7 * 19, 240 - (number - 1) // 7 * 110
        parameters = {"voltage": 10.4 if number > 2 else 35.2, "rated": 400.0 + number % 5 * 120}
        yield Item(
            "gangneng/substation",
            f"f-{number:02d}",
            "feeder",
            f"馈线 F{number:02d}",
            f"Feeder F{number:02d}",
            x,
            y,
            ASU,
            9,
            parameters,
        )  # one record
    for number in range(1, 9):
        x, y = 1000 + (number - 1) % 4 * 55, 900 - (number - 1) // 4 * 120
        gas = "ammonia" if number <= 4 else "lpg"
        yield Item(
            "haian/loading",
            f"bay-{number}",
            "loading-bay",
            f"鹤位 {number}#",
            f"Loading bay {number}",
            x,
            y,
            TANKS,
            14,
            {},
            gas,
        )  # one record
    for number, (area, x, y) in enumerate((("haian/control", 1480, 780), ("gangneng/environment", 1430, 60)), start=1):
        yield Item(
            area, f"ws-{number}", "weather-station", f"气象站 {number}#", f"Weather station {number}", x, y, GAS, 4
        )
    for number, (x, y) in enumerate(((1480, 200), (1540, 200)), start=1):
        yield Item(
            "gangneng/environment",
            f"air-{number}",
            "air-station",
            f"空气站 {number}#",
            f"Air station {number}",
            x,
            y,
            ENVIRONMENT,
            6,
        )  # one record
    yield Item("gangneng/boiler", "stack-1", "stack", "烟囱 1#", "Stack 1", 255, 250, ENVIRONMENT, 8)
    yield Item("gangneng/wastewater", "outfall-1", "outfall", "总排口 1#", "Outfall 1", 860, 50, ENVIRONMENT, 6)
    for area in AREAS:
        x = sum(corner[0] for corner in area.plot[:-1]) / (len(area.plot) - 1)
        y = min(corner[1] for corner in area.plot) + 16
        yield Item(
            area.path,
            "fire-panel",
            "control-room",
            f"{area.name}消防与人员",
            f"{area.name_en}: fire panel and people",
            x,
            y,
            GAS,
            6,
        )  # one record


def items() -> tuple[Item, ...]:
    """Return all equipment of the park."""
    return (*_tanks(), *_pumps(), *_compressors(), *_thermal(), *_rest())


_RING = ((7.0, 0.0), (0.0, 7.0), (-7.0, 0.0), (0.0, -7.0))
_GASES = {
    # kind: gases watched around the equipment of an area, number of detectors
    "haian/ammonia-farm": ("ammonia", 4), "haian/lpg-farm": ("lpg", 4), "donglan/chlorine": ("chlorine", 3),
    "gangneng/wastewater": ("hydrogen-sulphide", 1), "donglan/ethoxylation": ("ethylene-oxide", 2),
    "gangneng/air-separation": ("oxygen", 1), "haian/loading": ("", 2),
}  # fmt: skip
_DEVICE = {"haian": "gds-haian", "donglan": "gds-donglan", "gangneng": "gds-gangneng"}


def _watch(item: Item) -> tuple[str, int]:
    """Return the gas and number of detectors around a piece of equipment (none: "", 0)."""
    if item.kind in ("feeder", "weather-station", "control-room", "cooling-tower", "air-station", "exchanger"):
        return "", 0
    if item.kind == "effluent" or (item.area == "gangneng/wastewater" and item.kind != "atmospheric-tank"):
        return "", 0
    if item.area == "haian/pump-station":
        return ("ammonia" if "40" in item.id else "lpg"), 3
    if item.area == "donglan/eo":
        gas = "ethylene" if item.id.startswith(("v-22", "k-", "r-")) else "ethylene-oxide"
        return gas, 2
    if item.area == "donglan/electrolysis":
        return (
            ("hydrogen", 2)
            if item.kind == "compressor"
            else ("chlorine", 1)
            if item.kind == "electrolyser"
            else ("", 0)
        )
    gas, count = _GASES.get(item.area, ("", 0))
    return (gas or item.substance), count


def watches(equipment: tuple[Item, ...]) -> tuple[Watch, ...]:
    """Return all gas detectors: a ring around each piece of equipment that can leak."""
    found = []
    for item in equipment:
        gas, count = _watch(item)
        reach = 0.5 * item.size
        for number in range(1, count + 1):
            dx, dy = _RING[number - 1]
            x, y = item.x + dx + reach * (dx > 0) - reach * (dx < 0), item.y + dy + reach * (dy > 0) - reach * (dy < 0)
            found.append(Watch(item.path, gas, number, x, y, _device(item)))
    return tuple(found)


def _device(item: Item) -> str:
    if item.area == "haian/loading":
        return "gds-loading"
    return _DEVICE[item.area.partition("/")[0]]
