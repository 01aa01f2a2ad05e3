"""The form of a site file as pydantic models: what keys there are, of what type; also the JSON Schema for editors.

What one key says about another (limits in order, points that exist) is in ``plant/checks.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from anlan.core.errors import InvalidInputError
from anlan.core.time import duration_us, from_iso

ALARM_KINDS = ("HH", "H", "L", "LL", "rate", "deviation", "state", "stale", "bad-quality", "vote", "expression")
LIMIT_KINDS = ("LL", "L", "H", "HH")
PRIORITIES = {"critical": 1, "high": 2, "medium": 3, "low": 4}
GRADES = {"red": 1, "orange": 2, "yellow": 3, "blue": 4}
RETENTIONS = ("short", "standard", "long", "keep")
CONNECTOR_KEYS = ("id", "kind", "name", "map")


def _duration(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise PydanticCustomError("duration", "not a duration")
    try:
        return duration_us(value)
    except (InvalidInputError, OverflowError) as error:
        raise PydanticCustomError("duration", "not a duration") from error


def _stale(value: Any) -> int:
    if value is False or (isinstance(value, str) and value.strip().lower() in {"off", "never", "no"}):
        return 0
    return _duration(value)


def _moment(value: Any) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("moment", "not a date")
    try:
        from_iso(value)
    except (InvalidInputError, OverflowError) as error:
        raise PydanticCustomError("moment", "not a date") from error
    return value


def _priority(value: Any) -> int:
    text = str(value).strip().lower()
    if text in PRIORITIES:
        return PRIORITIES[text]
    if text in {"1", "2", "3", "4"}:
        return int(text)
    raise PydanticCustomError("priority", "not a priority")


def _state(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise PydanticCustomError("state", "not a state")
    return str(value)


def _consequence(value: Any) -> Any:
    if isinstance(value, str):
        return {"grade": value} if value in get_args(Grade) else {"text": value}
    return value


_DURATION_SCHEMA = {"type": ["string", "number"], "examples": ["2 s", "500 ms", "5 min", "8 h"]}
Duration = Annotated[int, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
StaleAfter = Annotated[
    int, BeforeValidator(_stale), WithJsonSchema({"type": ["string", "number", "boolean"], "examples": ["60 s", "off"]})
]
Moment = Annotated[str, BeforeValidator(_moment), WithJsonSchema({"type": "string", "examples": ["2027-06-30"]})]
Priority = Annotated[
    int, BeforeValidator(_priority), WithJsonSchema({"enum": [*PRIORITIES, 1, 2, 3, 4], "type": ["string", "integer"]})
]
Id = Annotated[str, StringConstraints(pattern=r"^[^\W_][\w-]*$", max_length=80)]
Text = Annotated[str, StringConstraints(max_length=4000)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Lonlat = tuple[Number, Number]
StateName = Annotated[str, BeforeValidator(_state), WithJsonSchema({"type": ["string", "integer"]})]
Grade = Literal["minor", "serious", "major", "catastrophic"]
HazardCategory = Literal[
    "J1", "J2", "J3", "J4", "J5", "W1.1", "W1.2", "W1.3", "W2", "W3", "W4", "W5.1", "W5.2", "W5.3", "W5.4", "W6.1",
    "W6.2", "W7.1", "W7.2", "W8", "W9.1", "W9.2", "W10", "W11",
]  # fmt: skip
Limits = dict[Literal["LL", "L", "H", "HH"], Number]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Named(_Part):
    id: Id = Field(description="Short name, unique among its neighbours; letters, digits, - and _.")
    name: Text = Field(default="", description="名称 (Chinese name).")
    name_en: Text = Field(default="", description="English name.")


class Site(_Part):
    """The site itself."""

    id: Id
    name: Text = ""
    name_en: Text = ""
    tier: Literal["enterprise", "park", "county", "city", "province", "nation"] = "enterprise"
    location: Lonlat | None = Field(default=None, description="Longitude, latitude in crs.")
    crs: Literal["WGS84", "CGCS2000", "GCJ-02", "local"] = "WGS84"
    timezone: Text = "Asia/Shanghai"


class CalibrationPart(_Part):
    """value = raw × gain + offset, valid inside range until expires."""

    gain: Number = 1.0
    offset: Number = 0.0
    range: Lonlat | None = Field(default=None, description="[low, high] in the point's unit; outside is bad quality.")
    expires: Moment | None = None
    certificate: Text = ""


class ConsequencePart(_Part):
    """What happens when nobody acts: how bad, and in words."""

    grade: Grade | None = None
    text: Text = ""


class AlarmPart(_Part):
    """One alarm in the long form."""

    kind: Literal["HH", "H", "L", "LL", "rate", "deviation", "state", "stale", "bad-quality", "vote", "expression"]
    name: Id | None = Field(default=None, description="Tells apart several alarms of one kind on one point.")
    point: Text | None = Field(default=None, description="For alarms of a unit: the point it is shown at.")
    limit: Number | None = None
    per: Literal["s", "min", "h"] = Field(default="s", description="Time base of a rate limit.")
    deadband: Annotated[Number, Field(ge=0)] | None = None
    on_delay: Duration | None = None
    off_delay: Duration | None = None
    other: Text | None = Field(default=None, description="deviation: the point it is measured from.")
    states: list[StateName] | None = Field(default=None, description="state: abnormal states, by number or name.")
    inputs: list[Text] | None = Field(default=None, description="vote: the points that vote.")
    needed: Annotated[int, Field(ge=1)] | None = Field(default=None, description="vote: m of n.")
    direction: Literal["above", "below"] = "above"
    expression: Text | None = None
    enable: Text | None = Field(
        default=None, description="While this condition is false the alarm is suppressed by design."
    )
    enabled: bool = True
    group: Text | None = None
    latched: bool = False
    cause: Text = ""
    consequence: Annotated[
        ConsequencePart,
        BeforeValidator(_consequence),
        WithJsonSchema({"type": ["string", "object"], "examples": ["major", {"grade": "major", "text": "…"}]}),
    ] = ConsequencePart()
    action: Text = Field(default="", description="What the operator does.")
    time_to_act: Duration | None = None
    priority: Priority | None = Field(default=None, description="Otherwise from consequence × time_to_act.")
    operator_position: Text | None = None
    safety: bool | None = None
    source: Text = Field(default="", description="Where the limit comes from: standard and clause, HAZOP node, manual.")


class PointPart(_Named):
    """One measured or computed quantity."""

    kind: Text = "other"
    unit: Text | None = None
    tag: Text = Field(default="", description="Tag on the drawings, such as PT-401.")
    equipment: Text = ""
    safety: bool = False
    states: dict[int, Text] = {}
    range: Lonlat | None = Field(default=None, description="[low, high] of the instrument, in the point's unit.")
    position: Lonlat | None = None
    calibration: CalibrationPart | None = None
    stale: StaleAfter | None = Field(default=None, description="No sample for this long is stale; off = never.")
    retention: Literal["short", "standard", "long", "keep"] = "standard"
    limits: Limits = {}
    on_delay: Duration | None = None
    off_delay: Duration | None = None
    deadband: Annotated[Number, Field(ge=0)] | None = None
    alarms: list[AlarmPart] = []


class EquipmentPart(_Named):
    """A piece of equipment of a unit; part_of names another one."""

    kind: Text = ""
    part_of: Text = ""


class QuantityPart(_Part):
    """A quantity with its unit."""

    value: Annotated[Number, Field(ge=0)]
    unit: Text


class StockPart(_Part):
    """A substance kept at a unit (design quantity)."""

    substance: Text
    quantity: Annotated[Number, Field(ge=0)]
    unit: Text
    cas: Text = ""


class UnitPart(_Named):
    """A unit of an area."""

    kind: Text = ""
    substance: Text = ""
    inventory: QuantityPart | None = None
    stock: list[StockPart] = []
    zone: Text = ""
    position: Lonlat | None = None
    equipment: list[EquipmentPart] = []
    points: list[PointPart] = []
    alarms: list[AlarmPart] = Field(default=[], description="Alarms over several points: vote, expression.")


class AreaPart(_Named):
    """An area of an enterprise."""

    kind: Text = ""
    units: list[UnitPart] = []


class EnterprisePart(_Named):
    """An enterprise."""

    kind: Text = ""
    areas: list[AreaPart] = []


class SubstancePart(_Named):
    """A substance named by units and stock."""

    cas: Text = ""
    un: Text = ""
    categories: list[HazardCategory] = Field(
        default=[], description="Hazard symbols of GB 18218 table 2, for what its table 1 does not name."
    )


def _zone(value: Any) -> Any:
    return {"geojson": value} if isinstance(value, str) else value


class ZonePart(_Part):
    """An outline on the map: inline geometry, or a GeoJSON file (one feature, or a collection)."""

    id: Id | None = None
    path: Text = Field(default="", description="Where in the hierarchy it belongs.")
    name: Text = ""
    name_en: Text = ""
    kind: Text = ""
    geojson: Text | None = Field(default=None, description="A GeoJSON file beside the site file.")
    geometry: dict[str, Any] | None = None


class InstallationPart(_Named):
    """A major hazard installation of GB 18218: units inside one boundary, graded together."""

    path: Text = Field(description="The area or enterprise it lies in.")
    units: list[Text] = Field(description="Paths of its units.")
    exposed: Annotated[int, Field(ge=0)] = Field(default=0, description="Persons normally within 500 m of the fence.")


class BarrierPart(_Named):
    """A barrier: a physical or instrumented safeguard with a demand and a test."""

    path: Text = Field(description="The enterprise, area or unit it protects.")
    kind: Text = Field(description="esd-valve, overfill-protection, gas-detection, dike, … (registers vocabulary).")
    demand: Text = Field(default="", description="What it acts against 防什么.")
    demand_en: Text = ""
    points: list[Text] = Field(default=[], description="Points it depends on; bad or bypassed ones are lost to it.")
    needed: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="How many of its points must be there; all when left out."
    )
    condition: Text | None = Field(default=None, description="Must hold for it to act, such as water pressure.")
    test_interval: Duration = Field(default=0, description="Longest time between two tests, such as 180 d.")
    tested: Moment | None = Field(default=None, description="Last test before this register began.")
    source: Text = Field(default="", description="Where interval and demand come from: standard, clause, HAZOP node.")


class BindingPart(_Part):
    """Which points a risk feature takes in one unit, where their kinds alone do not tell."""

    feature: Text
    unit: Text
    inputs: dict[str, Text] = {}
    parameters: dict[str, Number] = {}


class ChannelPart(_Named):
    """A way to reach people; the message service's URL is a secret kept outside the site file."""

    secret: Id = Field(description="Name of the file under the data directory's secrets that holds the URL.")


class StepPart(_Part):
    """Whom to tell after so long without enough answers."""

    after: Duration = 0
    to: list[Text] = Field(description="Users, or role:ROLE for all who hold it there.")
    channels: list[Id] = []
    need: Annotated[int, Field(ge=1)] = Field(default=1, description="How many must answer.")


class ChainPart(_Part):
    """The escalation of warnings of one grade."""

    grade: Literal["red", "orange", "yellow", "blue"]
    scope: Text = ""
    steps: Annotated[list[StepPart], Field(min_length=1)]


class WarnPart(_Part):
    """Early warning: bindings of features, message channels, escalation."""

    features: list[BindingPart] = []
    channels: list[ChannelPart] = []
    chains: list[ChainPart] = []


class PositionPart(_Named):
    """An operator position: a seat in a control room and the places it answers for."""

    scope: list[Text] = []


class ShelvePart(_Part):
    """Longest shelving per priority."""

    critical: Duration = 1_800_000_000
    high: Duration = 7_200_000_000
    medium: Duration = 28_800_000_000
    low: Duration = 28_800_000_000


class PolicyPart(_Part):
    """Rules of the whole node."""

    max_age: Duration = Field(default=600_000_000, description="Older samples are journalled, not rung.")
    max_ahead: Duration = Field(default=60_000_000, description="Source times further ahead count as bad.")
    shelve_longest: ShelvePart = ShelvePart()
    counts_kept: Duration = Field(default=34_560_000_000_000, description="How long head counts by hand are kept.")


class ConnectorPart(BaseModel):
    """A connector: its kind's own options, and the map from point path to the device's tag."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    id: Id
    kind: Text
    name: Text = ""
    gateway: Annotated[str, StringConstraints(pattern=r"^([^\W_][\w-]*)?$", max_length=80)] = Field(
        default="",
        description="Id of the node at the edge whose gateway runs it; the site's own gateway when left out.",
    )
    map: dict[str, Any] = {}

    def options(self) -> dict[str, Any]:
        """Return the keys that belong to the connector's kind."""
        return dict(self.model_extra or {})


class SiteFile(_Part):
    """Everything of one site."""

    site: Site
    use: list[Id] = Field(default=[], description="Industry packs.")
    policy: PolicyPart = PolicyPart()
    positions: list[PositionPart] = []
    substances: list[SubstancePart] = []
    enterprises: list[EnterprisePart] = []
    zones: list[Annotated[ZonePart, BeforeValidator(_zone)]] = []
    connectors: list[ConnectorPart] = []
    installations: list[InstallationPart] = []
    barriers: list[BarrierPart] = []
    warn: WarnPart = WarnPart()


def json_schema(connectors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a site file, for editors.

    Args:
        connectors: conditional schemas of the options of each connector kind (``check_connectors.json_schemas``).
    """
    from anlan.core.units import kinds

    schema = SiteFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Anlan site file"
    parts = schema["$defs"]
    parts["PointPart"]["properties"]["kind"] = {
        "enum": list(kinds()),
        "default": "other",
        "description": "What is measured.",
    }
    parts["ZoneEntry"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/ZonePart"}]}
    schema["properties"]["zones"]["items"] = {"$ref": "#/$defs/ZoneEntry"}
    if connectors:
        parts["ConnectorPart"]["allOf"] = connectors
    schema["required"] = []  # a site may be a folder: each file of it holds some of the keys
    return schema
