"""Stand-in connectors: the plant floor reads manifests only, whichever connectors are installed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from anlan.plant import check_connectors


def option(name: str, type_: str, **more: object) -> SimpleNamespace:
    fields = {"description": name, "required": False, "choices": (), "secret": False, **more}
    return SimpleNamespace(name=name, type=type_, **fields)


@pytest.fixture
def stand_in_connectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Modbus-like and a broker-like connector, and one whose import fails."""
    modbus = SimpleNamespace(
        kind="modbus",
        options=(
            option("host", "text", required=True),
            option("port", "integer"),
            option("unit", "integer"),
            option("interval", "duration"),
            option("framing", "text", choices=("tcp", "rtu-over-tcp")),
        ),
        tag=(option("address", "integer", required=True),),
    )
    broker = SimpleNamespace(kind="broker", options=(option("password", "text", secret=True),), tag=())
    loaded = {"modbus": modbus, "broker": broker}
    monkeypatch.setattr(
        check_connectors, "manifests", lambda: (loaded, {"broken": "ModuleNotFoundError: No module named 'x'"})
    )
