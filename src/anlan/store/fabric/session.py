"""A command's connection to a running node: found by its data directory, given up after seconds, never for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import nats
import nats.errors

from anlan.core.errors import UnavailableError
from anlan.settings import Settings, of_node
from anlan.store.fabric.client import Fabric

T = TypeVar("T")

CONNECT_S = 5.0
_ADVICE = "start the node with 'anlan serve', and name its --data"


def ask_node(
    ask: Callable[[Fabric], Awaitable[T]],
    data: Path | None = None,
    *,
    fabric: str = "",
    role: str = "runtime",
    name: str = "command",
) -> T:
    """Return what ``ask`` returns with a connection to the node whose data are in ``data``.

    Args:
        data: its data directory; ``None`` is that of ``ANLAN_DATA`` or the default.
        fabric: URL of its fabric when that is not the one it last started with.
        role: role to sign in with.
        name: name of the connection.

    Raises:
        UnavailableError: there is no node, it does not run, or it does not answer.
    """
    return asyncio.run(_session(node_at(data, fabric), ask, role, name))


def node_at(data: Path | None = None, fabric: str = "") -> Settings:
    """Return the settings of the node whose data are in ``data``; arguments as of ``ask_node``.

    Raises:
        UnavailableError: no node keeps its data there.
    """
    settings = of_node(data)
    if fabric:
        settings = replace(settings, fabric=fabric)
    if not settings.fabric and not (settings.data / "secrets" / "fabric.json").exists():
        raise UnavailableError("no node keeps its data here", where=str(settings.data), fix=_ADVICE)
    return settings


async def _session(settings: Settings, ask: Callable[[Fabric], Awaitable[T]], role: str, name: str) -> T:
    await _probe(settings, role)
    try:
        # The client itself would go on trying for ever.
        fabric = await asyncio.wait_for(Fabric.connect(settings, role, name=name), CONNECT_S)
    except TimeoutError as error:
        raise UnavailableError("the fabric does not answer", where=settings.fabric_url, fix=_ADVICE) from error
    async with fabric:
        try:
            return await ask(fabric)
        except (nats.errors.Error, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise UnavailableError(f"the node does not answer: {reason}", where=settings.fabric_url) from error


async def _probe(settings: Settings, role: str) -> None:
    """Sign in once without trying again, to tell at once why it fails."""

    async def quiet(_: Exception) -> None:
        return None

    try:
        connection = await nats.connect(
            settings.fabric_url,
            user=role,
            password=settings.fabric_password(role),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            connect_timeout=CONNECT_S,
            error_cb=quiet,
        )
        await connection.close()
    except (OSError, TimeoutError, nats.errors.Error) as error:
        if "authorization" in str(error).lower():
            fix = f"its password stands in ANLAN_FABRIC_PASSWORD_{role.upper()}"
            raise UnavailableError(f"the fabric refuses {role!r}", where=settings.fabric_url, fix=fix) from error
        raise UnavailableError("the fabric does not answer", where=settings.fabric_url, fix=_ADVICE) from error
