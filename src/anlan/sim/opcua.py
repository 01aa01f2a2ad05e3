"""The process control system of 东澜 as an OPC UA server: hierarchical, with units, spans, states and some history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from asyncua import Server, ua

from anlan.sim import catalogue
from anlan.sim.journal import Journal
from anlan.sim.park import Park
from anlan.sim.schedule import Rows, Schedule
from anlan.sim.signals import PointSpec

NAMESPACE = "urn:anlan:sim:donglan-dcs"
HISTORY_SAMPLES = 3600
# UN/CEFACT common codes (Recommendation 20), from which OPC UA Part 8 makes the unit id.
_CODES = {
    "°C": "CEL", "%": "P1", "MPa": "MPA", "kPa": "KPA", "m³/h": "MQH", "A": "AMP", "V": "VLT", "kW": "KWT",
    "rpm": "RPM", "mm/s": "C16", "t/h": "E18", "t": "TNE", "µm": "4H", "mm": "MMT", "kA": "B22",
}  # fmt: skip


class OpcUaFeed:
    """The server and what it exposes.

    Args:
        park: where the values come from. port: loopback port. journal: takes every change as ``offered``.
    """

    def __init__(self, park: Park, port: int, journal: Journal, *, start: int = 0) -> None:
        self.park = park
        self.port = port
        self.journal = journal
        self.connector = catalogue.DCS
        self.points = [point for point in park.points if point.connector == self.connector]
        self.schedule = Schedule(self.points, phases=5, start=start)
        self._start = start
        self.server = Server()
        self._nodes: dict[int, ua.NodeId] = {}
        self._state = np.array([bool(point.states) for point in park.points])
        self._shown = np.full(len(park.points), np.nan)
        self._shown_quality = np.zeros(len(park.points), dtype=np.uint8)

    @property
    def endpoint(self) -> str:
        """URL a client connects to."""
        return f"opc.tcp://127.0.0.1:{self.port}/donglan/"

    async def start(self) -> None:
        """Build the address space and listen."""
        server = self.server
        await server.init()
        server.set_endpoint(self.endpoint)
        server.set_server_name("Donglan DCS")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await server.set_application_uri(f"{NAMESPACE}:server")
        index = await server.register_namespace(NAMESPACE)
        assert index == 2
        results = await server.iserver.isession.add_nodes(list(self._address_space()))
        for result in results:
            result.StatusCode.check()
        self._nodes = {point.index: ua.NodeId(_name(point), 2) for point in self.points}
        await self._show(np.array([point.index for point in self.points]), self._start)
        for point in self.points:
            if point.safety and not point.states:
                node = server.get_node(self._nodes[point.index])
                await server.iserver.enable_history_data_change(node, timedelta(hours=2), HISTORY_SAMPLES)
        await server.start()

    async def close(self) -> None:
        """Stop listening."""
        await self.server.stop()

    async def sample(self, now: int) -> None:
        """Expose what is due and has changed at ``now`` (ms UTC)."""
        for rows in self.schedule.due(now):
            quality = self.park.quality[rows]
            # While a sensor is failed its value is null, and null after null is no change.
            changed = (self.park.values[rows] != self._shown[rows]) & (quality == 0)
            changed |= quality != self._shown_quality[rows]
            await self._show(rows[changed], now)

    async def _show(self, rows: Rows, now: int) -> None:
        values, quality = self.park.values[rows], self.park.quality[rows]
        stamp = datetime.fromtimestamp(now / 1000, UTC)
        write = self.server.iserver.aspace.write_attribute_value
        good, bad = ua.StatusCode(ua.StatusCodes.Good), ua.StatusCode(ua.StatusCodes.BadSensorFailure)
        for row, value, code in zip(rows.tolist(), values.tolist(), quality.tolist(), strict=True):
            variant = (
                ua.Variant(int(value), ua.VariantType.Int32)
                if self._state[row]
                else ua.Variant(value, ua.VariantType.Double)
            )
            data = ua.DataValue(variant, StatusCode=bad if code else good, SourceTimestamp=stamp, ServerTimestamp=stamp)
            await write(self._nodes[row], ua.AttributeIds.Value, data)
        self._shown[rows] = values
        self._shown_quality[rows] = quality
        shown = np.where(quality > 0, np.nan, values)
        self.journal.record(self.connector, "offered", rows, now * 1000, shown, quality)

    def _address_space(self) -> Iterator[ua.AddNodesItem]:
        root = ua.NodeId("DONGLAN", 2)
        yield _folder(root, ua.NodeId(ua.ObjectIds.ObjectsFolder), "DONGLAN", "东澜化学")
        seen = {root}
        for point in self.points:
            area, unit, _ = _name(point).split(".")
            area_id, unit_id = ua.NodeId(area, 2), ua.NodeId(f"{area}.{unit}", 2)
            if area_id not in seen:
                yield _folder(area_id, root, area, area)
            if unit_id not in seen:
                yield _folder(unit_id, area_id, unit, point.equipment)
            seen |= {area_id, unit_id}
            yield from _variable(point, ua.NodeId(_name(point), 2), unit_id)


def _name(point: PointSpec) -> str:
    return point.tag.partition(";s=")[2]


def _item(node: ua.NodeId, parent: ua.NodeId, name: str, reference: int, kind: int, attributes: Any) -> ua.AddNodesItem:
    item = ua.AddNodesItem()
    item.RequestedNewNodeId = node
    item.ParentNodeId = parent
    item.ReferenceTypeId = ua.NodeId(reference)
    item.BrowseName = ua.QualifiedName(name, 2 if reference != ua.ObjectIds.HasProperty else 0)
    item.TypeDefinition = ua.NodeId(kind)
    item.NodeAttributes = attributes
    return item


def _folder(node: ua.NodeId, parent: ua.NodeId, name: str, shown: str) -> ua.AddNodesItem:
    attributes = ua.ObjectAttributes()
    attributes.DisplayName = ua.LocalizedText(shown, "zh-CN")
    attributes.Description = ua.LocalizedText(name)
    attributes.EventNotifier = 0
    item = _item(node, parent, name, ua.ObjectIds.Organizes, ua.ObjectIds.FolderType, attributes)
    item.NodeClass = ua.NodeClass.Object
    return item


def _variable(point: PointSpec, node: ua.NodeId, parent: ua.NodeId) -> Iterator[ua.AddNodesItem]:
    attributes = ua.VariableAttributes()
    attributes.DisplayName = ua.LocalizedText(point.name, "zh-CN")
    attributes.Description = ua.LocalizedText(f"{point.equipment} {point.name_en}", "en")
    datatype = ua.ObjectIds.Int32 if point.states else ua.ObjectIds.Double
    attributes.DataType = ua.NodeId(datatype)
    attributes.Value = ua.Variant(0, ua.VariantType.Int32) if point.states else ua.Variant(0.0, ua.VariantType.Double)
    attributes.ValueRank = ua.ValueRank.Scalar
    attributes.AccessLevel = attributes.UserAccessLevel = ua.AccessLevel.CurrentRead.mask
    attributes.MinimumSamplingInterval = point.period * 1000
    kind = ua.ObjectIds.MultiStateDiscreteType if point.states else ua.ObjectIds.AnalogItemType
    item = _item(node, parent, point.id, ua.ObjectIds.HasComponent, kind, attributes)
    item.NodeClass = ua.NodeClass.Variable
    yield item
    if point.states:
        names = [ua.LocalizedText(point.states[key], "zh-CN") for key in sorted(point.states)]
        yield _property(
            node, "EnumStrings", ua.Variant(names, ua.VariantType.LocalizedText), ua.ObjectIds.LocalizedText
        )
        return
    span = ua.Variant(ua.Range(point.low, point.high), ua.VariantType.ExtensionObject)
    yield _property(node, "EURange", span, ua.ObjectIds.Range)
    unit = ua.EUInformation()
    unit.NamespaceUri = "http://www.opcfoundation.org/UA/units/un/cefact"
    unit.UnitId = int.from_bytes(_CODES[point.unit].encode(), "big") if point.unit in _CODES else -1
    unit.DisplayName = ua.LocalizedText(point.unit)
    unit.Description = ua.LocalizedText(point.unit)
    extension = ua.Variant(unit, ua.VariantType.ExtensionObject)
    yield _property(node, "EngineeringUnits", extension, ua.ObjectIds.EUInformation)


def _property(parent: ua.NodeId, name: str, value: ua.Variant, datatype: int) -> ua.AddNodesItem:
    attributes = ua.VariableAttributes()
    attributes.DisplayName = ua.LocalizedText(name)
    attributes.DataType = ua.NodeId(datatype)
    attributes.Value = value
    attributes.ValueRank = ua.ValueRank.OneDimension if value.is_array else ua.ValueRank.Scalar
    attributes.AccessLevel = attributes.UserAccessLevel = ua.AccessLevel.CurrentRead.mask
    node = ua.NodeId(f"{parent.Identifier}.{name}", 2)
    item = _item(node, parent, name, ua.ObjectIds.HasProperty, ua.ObjectIds.PropertyType, attributes)
    item.NodeClass = ua.NodeClass.Variable
    return item
