"""Typed reading of a connector's options, with errors that name the connector and the option."""

from __future__ import annotations

import ipaddress
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from anlan.core.errors import InvalidInputError
from anlan.core.time import duration_us
from anlan.plant.model import ConnectorSpec


class Options:
    """The options of one connector; every reader raises ``InvalidInputError`` naming what does not fit."""

    def __init__(self, spec: ConnectorSpec) -> None:
        self._id = spec.id
        self._values = spec.options

    def wrong(self, name: str, message: str, fix: str) -> InvalidInputError:
        """Return the error for option ``name``."""
        return InvalidInputError(message, where=f"connectors/{self._id}/{name}", fix=fix)

    def raw(self, name: str, default: Any = None) -> Any:
        """Return the option as it stands in the site file."""
        value = self._values.get(name)
        return default if value is None else value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; without a default the option is required."""
        value = self.raw(name, default)
        if value is None:
            raise self.wrong(name, f"option {name!r} is missing", "give it as text")
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise self.wrong(name, f"{value!r} is no text", "give it as text")
        return str(value)

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        """Return one of ``allowed``."""
        value = self.text(name, default)
        if value not in allowed:
            raise self.wrong(name, f"{value!r} is not known", f"one of {', '.join(allowed)}")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number in [low, high]."""
        value = self.raw(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(name, f"{value!r} does not fit", f"a whole number from {low} to {high}")
        return value

    def boolean(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self.raw(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, f"{value!r} is neither true nor false", "true or false")
        return value

    def seconds(self, name: str, default: str) -> float:
        """Return a duration in seconds."""
        value = self.raw(name, default)
        try:
            return duration_us(value) / 1e6
        except InvalidInputError as error:
            raise self.wrong(name, error.message, error.fix) from error

    def zone(self, default: str) -> ZoneInfo:
        """Return the zone that the option ``timezone`` names."""
        name = self.text("timezone", default)
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise self.wrong("timezone", f"{name!r} is no time zone", "a name like Asia/Shanghai") from error

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a mapping, empty when the option is missing."""
        value = self.raw(name, {})
        if not isinstance(value, dict):
            raise self.wrong(name, f"{value!r} is no mapping", "key: value pairs")
        return value

    def items(self, name: str) -> list[Any]:
        """Return a list, empty when the option is missing; a single text counts as a list of one."""
        value = self.raw(name, [])
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list | tuple):
            raise self.wrong(name, f"{value!r} is no list", "a list")
        return list(value)


def is_loopback(host: str) -> bool:
    """Return whether a listener on ``host`` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Return whether ``host`` means every interface."""
    if not host:
        return True
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def peer_allowed(address: str, peers: tuple[str, ...]) -> bool:
    """Return whether ``address`` is one of ``peers`` (addresses or CIDR networks); no peers allow everybody."""
    if not peers:
        return True
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
        return any(ip in ipaddress.ip_network(peer, strict=False) for peer in peers)
    except ValueError:
        return False
