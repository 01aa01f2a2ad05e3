"""Control valves with stiction and PI controllers, as vectors."""

from __future__ import annotations

import numpy as np

from anlan.sim.units.world import Array


class Valves:
    """Positions that follow commands: slew-limited, and stuck while the difference stays inside the stiction band.

    Attributes:
        position, command: per cent open.
        band: stiction, per cent; a large band is a valve that sticks.
        stroke: full stroke, s.
    """

    def __init__(self, count: int, start: float | Array = 50.0, stroke: float = 15.0) -> None:
        self.position = np.full(count, 0.0) + start
        self.command = self.position.copy()
        self.band = np.full(count, 0.2)
        self.stroke = stroke
        self._moving = np.zeros(count, dtype=bool)

    def move(self, command: Array, dt: float) -> Array:
        """Drive the valves towards ``command`` (%) for ``dt`` s and return their positions."""
        self.command = np.clip(command, 0.0, 100.0)
        gap = self.command - self.position
        self._moving = np.abs(gap) > np.where(self._moving, 0.05, self.band)
        self._moving &= self.band < 50.0
        reach = 100.0 / self.stroke * dt
        self.position = self.position + np.where(self._moving, np.clip(gap, -reach, reach), 0.0)
        return self.position


class Loops:
    """PI controllers in velocity-free form with clamped integral (anti-windup).

    Attributes:
        setpoint: in units of the measured value.
        output: per cent.
        gain: per cent per unit; negative where more output lowers the value.
        reset: integral time, s.
    """

    def __init__(self, setpoint: Array, gain: Array | float, reset: Array | float, start: Array | float = 50.0) -> None:
        self.setpoint = setpoint.astype(np.float64).copy()
        self.gain = np.full(len(setpoint), 0.0) + gain
        self.reset = np.full(len(setpoint), 0.0) + reset
        self.output = np.full(len(setpoint), 0.0) + start
        self._integral = self.output.copy()

    def drive(self, value: Array, dt: float) -> Array:
        """Return the outputs (%) for the measured ``value`` after another ``dt`` s."""
        error = self.setpoint - value
        proportional = self.gain * error
        self._integral = np.clip(self._integral + proportional * dt / self.reset, 0.0, 100.0)
        self.output = np.clip(self._integral + proportional, 0.0, 100.0)
        return self.output
