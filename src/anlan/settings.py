"""Settings of one node: where its data rest and where its parts listen. Environment variables ``ANLAN_*`` override."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from anlan.core.errors import InvalidInputError

# What somebody at the command line must know of a running node to reach it.
_WHERE = (
    "node", "fabric", "fabric_port", "historian", "records", "web_host", "web_port", "tls_certificate", "tls_key",
    "language",
)  # fmt: skip
ROLES = ("gateway", "alarms", "historian", "works", "warn", "web", "runtime", "watchdog")


@dataclass(frozen=True, slots=True)
class Settings:
    """One node's settings.

    Attributes:
        data: directory of everything this node keeps.
        site: site file or folder.
        node: id of this node, part of every event id.
        fabric: URL of the NATS server or cluster; empty starts the embedded one on ``fabric_port``.
        fabric_port: loopback port of the embedded server.
        historian: URL of a ClickHouse server; empty embeds chDB under ``data``.
        records: SQLAlchemy URL; empty is SQLite under ``data``.
        web_host, web_port: where the console listens; beyond loopback needs ``tls_certificate`` and ``tls_key``.
        language: default language of the console.
        log_bytes: the log refuses new batches beyond this.
        log_age_s: the log forgets batches older than this.
        duplicate_window_s: how long the fabric remembers message ids; a later repeat is dropped by the readers.
        extra: settings of single rooms; ``edge`` is 1 for a gateway alone that sends to another node's fabric.
    """

    data: Path = Path("data")
    site: Path = Path("site.yaml")
    node: str = "local"
    fabric: str = ""
    fabric_port: int = 4250
    historian: str = ""
    records: str = ""
    web_host: str = "127.0.0.1"
    web_port: int = 8060
    tls_certificate: str = ""
    tls_key: str = ""
    language: str = "zh"
    log_bytes: int = 16 << 30
    log_age_s: int = 7 * 86_400
    duplicate_window_s: float = 120.0
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def fabric_url(self) -> str:
        """URL the processes of this node connect to."""
        return self.fabric or f"nats://127.0.0.1:{self.fabric_port}"

    @property
    def edge(self) -> bool:
        """Whether this node is a gateway alone, on an edge machine, that sends to another node's fabric."""
        return self.extra.get("edge") == "1"

    def process_name(self, part: str) -> str:
        """Return the name under which a part of this node reports its health."""
        return f"{part}-{self.node}" if self.edge else part

    @property
    def records_url(self) -> str:
        """SQLAlchemy URL of the records."""
        return self.records or f"sqlite:///{(self.data / 'records.sqlite').absolute()}"

    def directory(self, name: str) -> Path:
        """Return (and make) the sub-directory ``name`` of the data directory."""
        path = self.data / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def fabric_password(self, role: str) -> str:
        """Return the password of a role on the fabric.

        ``ANLAN_FABRIC_PASSWORD_ROLE`` names the one of an existing server; the embedded server's are made at first use
        and readable by the owner only.
        """
        given = os.environ.get(f"ANLAN_FABRIC_PASSWORD_{role.upper()}")
        if given:
            return given
        path = self.directory("secrets") / "fabric.json"
        return _load_passwords(path)[role]

    def environment(self) -> dict[str, str]:
        """Return the variables from which ``from_environment`` rebuilds these settings in a child process."""
        values = {f"ANLAN_{item.name.upper()}": str(getattr(self, item.name)) for item in fields(self)}
        values["ANLAN_EXTRA"] = json.dumps(self.extra)
        return values


def remember(settings: Settings) -> None:
    """Write where this node's parts are found to ``node.json`` of its data, readable by the owner only."""
    known = {name: getattr(settings, name) for name in _WHERE}
    path = settings.data / "node.json"
    settings.data.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(known, file)
    draft.replace(path)


def of_node(data: Path | None = None) -> Settings:
    """Return the settings of the node whose data are in ``data``, as that node last started; ``ANLAN_*`` override.

    Args:
        data: its data directory; ``None`` is that of ``ANLAN_DATA`` or the default.
    """
    data = data or from_environment().data
    try:
        found = json.loads((data / "node.json").read_text())
    except (OSError, ValueError):
        found = {}
    known = {name: found[name] for name in _WHERE if isinstance(found, dict) and name in found}
    return replace(from_environment(Settings(**known)), data=data)


def _load_passwords(path: Path) -> dict[str, str]:
    if not path.exists():
        document = json.dumps({role: secrets.token_urlsafe(24) for role in ROLES})
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "w") as file:
                file.write(document)
    passwords: dict[str, str] = json.loads(path.read_text())
    return passwords


def from_environment(base: Settings | None = None) -> Settings:
    """Return ``base`` (or the defaults) with every ``ANLAN_*`` variable applied.

    Raises:
        InvalidInputError: a variable's text does not fit its type.
    """
    settings = base or Settings()
    changes: dict[str, object] = {}
    for item in fields(Settings):
        name = f"ANLAN_{item.name.upper()}"
        text = os.environ.get(name)
        if text is None:
            continue
        current = getattr(settings, item.name)
        try:
            if isinstance(current, dict):
                changes[item.name] = json.loads(text)
            else:
                changes[item.name] = type(current)(text) if not isinstance(current, Path) else Path(text)
        except ValueError as error:
            raise InvalidInputError(
                f"{text!r} does not fit", where=name, fix=f"a {type(current).__name__} is expected"
            ) from error
    return replace(settings, **changes)  # type: ignore[arg-type]  # fields and types come from the dataclass itself
