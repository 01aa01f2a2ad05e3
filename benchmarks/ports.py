"""Free loopback ports for what a benchmark starts."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
