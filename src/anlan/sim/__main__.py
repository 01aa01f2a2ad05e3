"""``python -m anlan.sim``: the park in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from anlan.core.errors import AnlanError
from anlan.sim.ports import Ports
from anlan.sim.service import DRAIN, run_park


async def serve(
    ports: Ports,
    seed: int,
    speed: float,
    journal: Path,
    *,
    seconds: float = 0,
    quiet: bool = False,
    drain: float = DRAIN,
) -> dict[str, Any]:
    """Run the park until SIGINT or SIGTERM, or for ``seconds``; return the totals.

    Unless ``quiet`` one JSON line says when every server listens.
    """
    stop, ready = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.ensure_future(run_park(ports, seed, speed, journal, stop, ready, drain=drain))
    waiting = asyncio.ensure_future(ready.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if seconds:
        loop.call_later(seconds, stop.set)
    if ready.is_set() and not quiet:
        sys.stdout.write(json.dumps({"ready": True, "ports": json.loads(ports.to_json())}) + "\n")
        sys.stdout.flush()
    waiting.cancel()
    return await running


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m anlan.sim", description="The virtual park 东港化工园区.")
    parser.add_argument("--ports", default="{}", help="JSON object of loopback ports")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0, help="plant seconds a wall second, at most 60")
    parser.add_argument("--journal", type=Path, default=Path("journal"))
    parser.add_argument("--drain", type=float, default=DRAIN, help="longest wait for acknowledgements at the end, s")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    try:
        ports = Ports.from_json(given.ports)
        totals = asyncio.run(serve(ports, given.seed, given.speed, given.journal, drain=given.drain))
        sys.stdout.write(json.dumps(totals) + "\n")
    except AnlanError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
