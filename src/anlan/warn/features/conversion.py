"""Units that formulas may mix: linear conversions within one dimension."""

from __future__ import annotations

_SI: dict[str, tuple[str, float, float]] = {
    "MPa": ("pressure", 1e6, 0.0), "kPa": ("pressure", 1e3, 0.0), "Pa": ("pressure", 1.0, 0.0),
    "bar": ("pressure", 1e5, 0.0), "mbar": ("pressure", 100.0, 0.0), "hPa": ("pressure", 100.0, 0.0),
    "psi": ("pressure", 6894.757, 0.0),
    "K": ("temperature", 1.0, 0.0), "°C": ("temperature", 1.0, 273.15), "°F": ("temperature", 5 / 9, 459.67 * 5 / 9),
    "kg/s": ("mass flow", 1.0, 0.0), "kg/h": ("mass flow", 1 / 3600, 0.0), "t/h": ("mass flow", 1 / 3.6, 0.0),
    "m³/h": ("volume flow", 1 / 3600, 0.0), "L/min": ("volume flow", 1 / 60_000, 0.0),
    "L/s": ("volume flow", 1e-3, 0.0),
    "Nm³/h": ("normal flow", 1.0, 0.0), "kscmh": ("normal flow", 1000.0, 0.0),
    "t": ("mass", 1000.0, 0.0), "kg": ("mass", 1.0, 0.0),
    "V": ("voltage", 1.0, 0.0), "kV": ("voltage", 1000.0, 0.0), "mV": ("voltage", 1e-3, 0.0),
    "A": ("current", 1.0, 0.0), "kA": ("current", 1000.0, 0.0), "mA": ("current", 1e-3, 0.0),
    "W": ("power", 1.0, 0.0), "kW": ("power", 1e3, 0.0), "MW": ("power", 1e6, 0.0),
    "m": ("length", 1.0, 0.0), "mm": ("length", 1e-3, 0.0), "µm": ("length", 1e-6, 0.0),
    "rpm": ("frequency", 1 / 60, 0.0), "Hz": ("frequency", 1.0, 0.0),
}  # fmt: skip


def conversion(found: str, wanted: str) -> tuple[float, float] | None:
    """Return gain and offset that turn a value in unit ``found`` into ``wanted``, None where they do not belong."""
    if not wanted or found == wanted:
        return 1.0, 0.0
    if found not in _SI or wanted not in _SI or _SI[found][0] != _SI[wanted][0]:
        return None
    _, gain, offset = _SI[found]
    _, wanted_gain, wanted_offset = _SI[wanted]
    return gain / wanted_gain, (offset - wanted_offset) / wanted_gain
