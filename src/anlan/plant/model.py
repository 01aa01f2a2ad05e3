"""The compiled plant: what every process reads of the site, typed and numbered.

Site files (YAML, ``plant/site_file.py``) are checked and compiled to one ``Plant``, stored on the fabric under its
revision (a content hash). Times are µs, limits are in the point's declared unit.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


class Calibration(msgspec.Struct, frozen=True, omit_defaults=True):
    """``value = raw × gain + offset``, usable inside [low, high] until ``expires`` (µs UTC, 0 = never)."""

    gain: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    expires: int = 0
    certificate: str = ""


class Point(msgspec.Struct, frozen=True, omit_defaults=True):
    """One measured or computed quantity.

    ``path`` is ``enterprise/area/unit/point``; ``position`` is longitude, latitude (site crs) or local metres;
    ``states`` names the numbers of a discrete point; ``stale_after`` in µs (0 = never stale).
    """

    number: int
    path: str
    kind: str
    unit: str
    name: str = ""
    name_en: str = ""
    tag: str = ""
    equipment: str = ""
    safety: bool = False
    states: dict[int, str] = {}
    low: float | None = None
    high: float | None = None
    position: tuple[float, float] | None = None
    calibration: Calibration | None = None
    stale_after: int = 0
    retention: str = "standard"
    connector: str = ""


class Unit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A unit of an area: ``path`` is ``enterprise/area/unit``."""

    path: str
    name: str = ""
    name_en: str = ""
    kind: str = ""
    substance: str = ""
    inventory: float | None = None
    inventory_unit: str = ""
    zone: str = ""
    position: tuple[float, float] | None = None


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """An enterprise or an area of one."""

    path: str
    name: str = ""
    name_en: str = ""
    kind: str = ""


class Zone(msgspec.Struct, frozen=True, omit_defaults=True):
    """An outline on the map as GeoJSON geometry, belonging to ``path`` of the hierarchy."""

    id: str
    path: str
    name: str = ""
    name_en: str = ""
    geometry: dict[str, Any] = {}
    kind: str = ""


class Equipment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of equipment: ``path`` is ``enterprise/area/unit/equipment``, ``part_of`` the path of another one."""

    path: str
    name: str = ""
    name_en: str = ""
    kind: str = ""
    part_of: str = ""


class Substance(msgspec.Struct, frozen=True, omit_defaults=True):
    """A substance that units and stock name by ``id``; ``categories`` are hazard symbols of GB 18218 table 2."""

    id: str
    name: str = ""
    name_en: str = ""
    cas: str = ""
    un: str = ""
    categories: tuple[str, ...] = ()


class Stock(msgspec.Struct, frozen=True, omit_defaults=True):
    """A substance kept at a unit (design quantity, not the live one)."""

    path: str
    substance: str
    quantity: float
    unit: str
    cas: str = ""


class ConnectorSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One connector: its kind's own ``options`` and the map from point path to the device's tag.

    A tag is a text (``ns=2;s=PT401``, ``40001``) or a mapping with the kind's own keys. ``gateway`` is the node at the
    edge whose gateway runs it, empty for the site's own.
    """

    id: str
    kind: str
    options: dict[str, Any] = {}
    map: dict[str, Any] = {}
    name: str = ""
    gateway: str = ""


class AlarmDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alarm of a point.

    ``kind`` is one of HH, H, L, LL, rate, deviation, state, stale, bad-quality, vote, expression; ``id`` is
    ``PATH.KIND`` or ``PATH.KIND.NAME``. Times in µs.

    Attributes:
        limit: limit of HH/H/L/LL, rate (units per second, by magnitude), deviation (units).
        deadband: how far back inside the limit the value must come to clear.
        other: point number the deviation is measured from.
        states: numbers of a discrete point that are abnormal.
        inputs, needed: point numbers and m of an m-of-n vote; each input votes when it is beyond ``limit``
            (``direction`` +1 above, -1 below).
        expression: condition over points, ``core.expression`` syntax.
        enable: enabling condition in the same syntax; while false the alarm is suppressed by design.
        group: alarms of one group are shown together and may be suppressed together.
        covered_by: ids of more urgent limits of the point; while one is active this one is not counted again.
    """

    id: str
    point: int
    kind: str
    priority: int
    limit: float | None = None
    deadband: float = 0.0
    on_delay: int = 0
    off_delay: int = 0
    other: int = 0
    states: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    needed: int = 0
    direction: int = 1
    expression: str = ""
    enable: str = ""
    group: str = ""
    latched: bool = False
    covered_by: tuple[str, ...] = ()
    cause: str = ""
    consequence: str = ""
    action: str = ""
    time_to_act: int = 0
    operator_position: str = ""
    safety: bool = False
    enabled: bool = True
    source: str = ""


class Installation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A major hazard installation 重大危险源 unit of GB 18218: units inside one boundary, graded together.

    ``path`` is the area (or enterprise) it lies in; ``exposed`` the persons normally within 500 m outside the fence,
    from which GB 18218 takes α.
    """

    id: str
    path: str
    name: str = ""
    name_en: str = ""
    units: tuple[str, ...] = ()
    exposed: int = 0


class Barrier(msgspec.Struct, frozen=True, omit_defaults=True):
    """A barrier 屏障: a physical or instrumented safeguard with a demand and a test. Its health is a register's.

    Attributes:
        path: enterprise, area or unit it protects.
        kind: ``registers/barrier_kinds.yaml``.
        demand: what it acts against.
        points: paths of the points it depends on; bad, stale or bypassed ones are lost to it.
        needed: how many of them must be there for it to act; with fewer it has failed, with some lost it is degraded.
        condition: must hold for it to act when called upon, ``core.expression`` syntax with full paths.
        test_interval: longest time between two tests, µs, 0 = no test is set.
        tested: last test before the register began, µs UTC, 0 = none known.
        source: where the test interval and the demand come from.
    """

    id: str
    path: str
    kind: str
    name: str = ""
    name_en: str = ""
    demand: str = ""
    demand_en: str = ""
    points: tuple[str, ...] = ()
    needed: int = 0
    condition: str = ""
    test_interval: int = 0
    tested: int = 0
    source: str = ""


class FeatureBinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a risk feature takes in one unit: input name to point path, and parameters of its own."""

    feature: str
    unit: str
    inputs: dict[str, str] = {}
    parameters: dict[str, float] = {}


class Channel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A way to reach people: ``secret`` names the file under ``secrets`` that holds the message service's URL."""

    id: str
    secret: str
    name: str = ""
    name_en: str = ""


class EscalationStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom to tell ``after`` µs without enough answers: users or ``role:ROLE``, over channels; ``need`` must answer."""

    after: int
    to: tuple[str, ...]
    channels: tuple[str, ...] = ()
    need: int = 1


class EscalationChain(msgspec.Struct, frozen=True, omit_defaults=True):
    """Steps for warnings of ``grade`` (1 red … 4 blue) below ``scope``; the longest fitting scope wins."""

    grade: int
    steps: tuple[EscalationStep, ...]
    scope: str = ""


class WarnPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a site says of early warning."""

    features: tuple[FeatureBinding, ...] = ()
    channels: tuple[Channel, ...] = ()
    chains: tuple[EscalationChain, ...] = ()


class OperatorPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A seat in a control room and the places it answers for; alarm performance is counted per position."""

    id: str
    name: str = ""
    name_en: str = ""
    scope: tuple[str, ...] = ()


class SiteInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The site itself. ``location`` is longitude, latitude in ``crs``."""

    id: str
    name: str
    tier: str = "enterprise"
    name_en: str = ""
    timezone: str = "Asia/Shanghai"
    crs: str = "WGS84"
    location: tuple[float, float] | None = None


class AlarmPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rules of the whole node; times in µs.

    Attributes:
        max_age: older samples are journalled, not rung.
        max_ahead: source times further ahead of the receipt time than this count as bad.
        shelve_longest: longest shelving per priority 1..4.
        counts_kept: how long head counts by hand are kept.
    """

    max_age: int = 600_000_000
    max_ahead: int = 60_000_000
    shelve_longest: tuple[int, int, int, int] = (1_800_000_000, 7_200_000_000, 28_800_000_000, 28_800_000_000)
    counts_kept: int = 34_560_000_000_000


class Plant(msgspec.Struct, frozen=True):
    """Everything of one site, compiled."""

    site: SiteInfo
    places: tuple[Place, ...] = ()
    units: tuple[Unit, ...] = ()
    points: tuple[Point, ...] = ()
    zones: tuple[Zone, ...] = ()
    stock: tuple[Stock, ...] = ()
    connectors: tuple[ConnectorSpec, ...] = ()
    alarms: tuple[AlarmDefinition, ...] = ()
    positions: tuple[OperatorPosition, ...] = ()
    policy: AlarmPolicy = AlarmPolicy()
    equipment: tuple[Equipment, ...] = ()
    substances: tuple[Substance, ...] = ()
    packs: tuple[str, ...] = ()
    installations: tuple[Installation, ...] = ()
    warn: WarnPlan = WarnPlan()
    barriers: tuple[Barrier, ...] = ()

    def point_by_path(self) -> dict[str, Point]:
        """Return the points by their full path."""
        return {point.path: point for point in self.points}

    def point_by_number(self) -> dict[int, Point]:
        """Return the points by their number."""
        return {point.number: point for point in self.points}


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Plant)


def encode_plant(plant: Plant) -> bytes:
    """Return the canonical JSON of a compiled plant."""
    # The deterministic encoder takes only text keys, and the states of a discrete point are numbered.
    return _encoder.encode(msgspec.to_builtins(plant, str_keys=True))


def decode_plant(message: bytes) -> Plant:
    """Return the compiled plant of a fabric message."""
    return _decoder.decode(message)


def revision_of(document: bytes) -> str:
    """Return the revision of a compiled plant's canonical JSON: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(document).hexdigest()[:16]
