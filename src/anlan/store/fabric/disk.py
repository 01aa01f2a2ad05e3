"""When the embedded server must be started again because its disk failed.

nats-server 2.15 never writes again to a stream after one write failed (no space, an I/O error), also when there is room
again; a new start reads what is on disk and goes on. Its log says when that has happened.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from anlan.settings import Settings

ROOM = 8 << 20
AGAIN_S = 10.0
_SIGN = b"JetStream failed to store a msg"


class DiskWatch:
    """Follows the server's log from its end; ``restart_due`` is to be asked about once a second.

    Args:
        settings: the node.
        path: the server's log.
        room: bytes that must be free for a new start to be of use.
    """

    def __init__(self, settings: Settings, path: Path, *, room: int = ROOM) -> None:
        self._directory = settings.directory("fabric")
        self._path = path
        self._room = room
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = b""
        self._restarted = -AGAIN_S
        self.failed = False

    def restart_due(self) -> bool:
        """Return whether writes have failed and there is room now; true once for each time."""
        self._read()
        if not self.failed or time.monotonic() - self._restarted < AGAIN_S:
            return False
        if shutil.disk_usage(self._directory).free < self._room:
            return False
        self.failed = False
        self._restarted = time.monotonic()
        return True

    def _read(self) -> None:
        if not self._path.exists():
            return
        size = self._path.stat().st_size
        if size < self._position:
            self._position, self._rest = 0, b""
        if size == self._position:
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            new = self._rest + file.read(size - self._position)
        self._position = size
        self.failed = self.failed or _SIGN in new
        self._rest = new[-len(_SIGN) :]
        if _SIGN in self._rest:
            self._rest = b""
