"""Passwords of the simulated devices, the same on both sides: derived from a token the starter may set, or the seed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from anlan.sim import catalogue
from anlan.sim.signals import layout

TOKEN = "ANLAN_SIM_TOKEN"  # noqa: S105  # the name of a variable
STATIONS = "sim-stations"


def device_password(seed: int, device: str) -> str:
    """Return the password of a device; without ``ANLAN_SIM_TOKEN`` it follows from the seed: for loopback only."""
    token = os.environ.get(TOKEN) or f"seed {seed}"
    return hashlib.blake2b(f"{token} {device}".encode(), digest_size=12).hexdigest()


def station_password(seed: int) -> str:
    """Return the 6-digit password of the HJ 212 stations."""
    return f"{int(device_password(seed, 'hj212'), 16) % 1_000_000:06d}"


def users() -> dict[str, list[str]]:
    """Return the MQTT users of each listener by connector."""
    points = layout().points
    panels = dict.fromkeys(point.device for point in points if point.connector == catalogue.GAS)
    nodes = dict.fromkeys(f"edge-{p.device.partition('/')[0]}" for p in points if p.connector == catalogue.EDGE)
    return {catalogue.GAS: list(panels), catalogue.EDGE: list(nodes)}


def secret_name(user: str) -> str:
    """Return the name under which the site file asks for a device's password."""
    return f"sim-{user}"


def secrets(seed: int = 1) -> dict[str, str]:
    """Return all secrets the rendered site names, by name."""
    found = {secret_name(user): device_password(seed, user) for names in users().values() for user in names}
    return found | {STATIONS: station_password(seed)}


def environment(seed: int = 1) -> dict[str, str]:
    """Return the secrets as the environment variables a gateway reads."""
    return {"ANLAN_SECRET_" + name.upper().replace("-", "_"): value for name, value in secrets(seed).items()}


def write_secrets(folder: Path, seed: int = 1) -> None:
    """Write each secret as a file of its name, readable by the owner only (``data/secrets`` of a node)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in secrets(seed).items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(value)
