"""The loopback ports of the park's devices, chosen by whoever starts it."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass, fields

from anlan.core.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the park serves (``opcua``, ``*_plc``) and where Anlan listens for its devices (``mqtt_*``, ``hj212``)."""

    opcua: int = 4841
    tank_plc: int = 5021
    utility_plc: int = 5022
    asu_plc: int = 5023
    mqtt_gas: int = 18831
    mqtt_edge: int = 18832
    hj212: int = 15212

    @staticmethod
    def free() -> Ports:
        """Return ports that are free at this moment, all different."""
        probes = [socket.socket() for _ in fields(Ports)]
        try:
            for probe in probes:
                probe.bind(("127.0.0.1", 0))
            return Ports(*(int(probe.getsockname()[1]) for probe in probes))
        finally:
            for probe in probes:
                probe.close()

    def to_json(self) -> str:
        """Return the ports as a JSON object, as ``--ports`` takes them."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Ports:
        """Return the ports of a JSON object; keys that are not there keep their default.

        Raises:
            InvalidInputError: not such an object.
        """
        names = {item.name for item in fields(Ports)}
        try:
            given = json.loads(text)
            if not isinstance(given, dict) or not set(given) <= names:
                raise ValueError(f"keys {sorted(set(given) - names)}")
            return Ports(**{name: int(port) for name, port in given.items()})
        except (ValueError, TypeError) as error:
            raise InvalidInputError(
                f"not the park's ports: {error}",
                where="--ports",
                fix=f"a JSON object with any of {', '.join(sorted(names))}",
            ) from error
