"""What an OPC UA server offers: its variables with value, unit and description, read by browsing from Objects."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncua import ua

from anlan.perceive.connector import DiscoveredTag
from anlan.perceive.connectors._opcua_session import Security, open_client
from anlan.perceive.discovery import make_tag

_DEPTH = 12
_AT_ONCE = 8
_SKIPPED = {ua.ObjectIds.Server, ua.ObjectIds.Aliases}


async def discover(security: Security, *, most: int = 10_000) -> list[DiscoveredTag]:
    """Return the numeric variables of a server, at most ``most``.

    Raises:
        OSError, ua.UaError, TimeoutError: the server cannot be reached or refuses.
    """
    client = await open_client(security, "discover")
    async with asyncio.timeout(security.timeout * 3):
        await client.connect()
    try:
        variables = await _browse(client, most)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def describe(path: str, node: Any) -> DiscoveredTag | None:
            async with slots:
                return await _describe(path, node)

        found = await asyncio.gather(*(describe(path, node) for path, node in variables))
        return [tag for tag in found if tag is not None]
    finally:
        await client.disconnect()


async def _browse(client: Any, most: int) -> list[tuple[str, Any]]:
    """Return path and node of every variable, breadth first; a node met twice counts once."""
    variables: list[tuple[str, Any]] = []
    seen: set[Any] = set()
    level: list[tuple[str, Any]] = [("", client.nodes.objects)]
    for _ in range(_DEPTH):
        following: list[tuple[str, Any]] = []
        for start in range(0, len(level), 50):
            part = level[start : start + 50]
            children = await asyncio.gather(*(node.get_children_descriptions() for _, node in part))
            for (path, _node), references in zip(part, children, strict=True):
                for reference in references:
                    identity = reference.NodeId
                    if identity in seen or (identity.NamespaceIndex == 0 and identity.Identifier in _SKIPPED):
                        continue
                    seen.add(identity)
                    name = f"{path}/{reference.BrowseName.Name}" if path else str(reference.BrowseName.Name)
                    node = client.get_node(identity)
                    if reference.NodeClass == ua.NodeClass.Variable:
                        variables.append((name, node))
                        if len(variables) >= most:
                            return variables
                    elif reference.NodeClass == ua.NodeClass.Object:
                        following.append((name, node))
        level = following
        if not level:
            break
    return variables


async def _describe(path: str, node: Any) -> DiscoveredTag | None:
    value, description, display = await _attributes(node)
    if isinstance(value, list | tuple) or not isinstance(value, bool | int | float):
        return None
    unit = ""
    for child in await node.get_properties():
        if (await child.read_browse_name()).Name == "EngineeringUnits":
            told = await child.read_value()
            unit = str(getattr(getattr(told, "DisplayName", None), "Text", "") or "")
    text = description or (display if display != path.rpartition("/")[2] else "")
    return make_tag(node.nodeid.to_string(), path, description=text, unit=unit, value=value)


async def _attributes(node: Any) -> tuple[Any, str, str]:
    wanted = [ua.AttributeIds.Value, ua.AttributeIds.Description, ua.AttributeIds.DisplayName]
    values = await node.read_attributes(wanted)
    plain = [value.Value.Value if value.Value is not None else None for value in values]
    return plain[0], str(getattr(plain[1], "Text", "") or ""), str(getattr(plain[2], "Text", "") or "")
