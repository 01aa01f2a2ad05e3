"""``anlan discover``: list what a device offers and write a site-file draft of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from anlan.core.errors import AnlanError, InvalidInputError, UnavailableError
from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from anlan.perceive.connector import DiscoveredTag

T = TypeVar("T")

OutOption = Annotated[Path | None, typer.Option("--out", help="Write a site-file draft here (not over a file).")]
IdOption = Annotated[str, typer.Option("--id", help="Id of the connector in the draft.")]
UserOption = Annotated[str, typer.Option("--user", help="User name.")]
SecretOption = Annotated[str, typer.Option("--password", help="Name of the secret that holds the password.")]

_SHOWN = 200


def register(app: typer.Typer) -> None:
    """Add ``discover opcua``, ``discover modbus`` and ``discover mqtt``."""
    group = typer.Typer(help="发现设备提供的数据并生成站点草稿 List what a device offers; write a site-file draft.")
    group.command("opcua")(discover_opcua)
    group.command("modbus")(discover_modbus)
    group.command("mqtt")(discover_mqtt)
    app.add_typer(group, name="discover")


def discover_opcua(
    url: Annotated[str, typer.Argument(help="opc.tcp://HOST:PORT")],
    out: OutOption = None,
    policy: Annotated[
        str, typer.Option(help="None, Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss.")
    ] = "None",
    mode: Annotated[str, typer.Option(help="Sign or SignAndEncrypt.")] = "SignAndEncrypt",
    certificate: Annotated[str, typer.Option(help="File of this client's certificate.")] = "",
    private_key: Annotated[str, typer.Option(help="File of its private key.")] = "",
    server_certificate: Annotated[
        list[str] | None, typer.Option(help="Trusted server certificate; repeatable.")
    ] = None,
    trust_any: Annotated[bool, typer.Option(help="Trust any server certificate.")] = False,
    user: UserOption = "",
    password: SecretOption = "",
    most: Annotated[int, typer.Option(help="Most variables.")] = 10_000,
    timeout: Annotated[float, typer.Option(help="Longest wait for an answer, seconds.")] = 4.0,
    connector_id: IdOption = "opcua",
    as_json: JsonOption = False,
) -> None:
    """Browse an OPC UA server. Example: anlan discover opcua opc.tcp://10.0.0.5:4840 --out draft.yaml."""
    with failing(as_json):
        from anlan.perceive import _discover_opcua
        from anlan.perceive.connectors._opcua_session import read_security
        from anlan.perceive.connectors._options import Options
        from anlan.plant.model import ConnectorSpec

        given: dict[str, Any] = {
            "endpoint": url, "security_policy": policy, "mode": mode, "certificate": certificate,
            "private_key": private_key, "server_certificate": server_certificate, "trust_any": trust_any, "user": user,
            "password": password or None, "timeout": timeout,
        }  # fmt: skip
        security = read_security(Options(ConnectorSpec(connector_id, "opcua", given)), _secret)
        tags = _run(_discover_opcua.discover(security, most=most), url)
        kept = ("endpoint", "certificate", "private_key", "server_certificate", "user", "password")
        options = {name: given[name] for name in kept if given[name]}
        if policy != "None":
            options |= {"security_policy": policy, "mode": mode}
        _finish("opcua", connector_id, options, tags, url, out, as_json)


def discover_modbus(
    target: Annotated[str, typer.Argument(help="HOST or HOST:PORT")],
    out: OutOption = None,
    units: Annotated[str, typer.Option(help="Unit ids, such as 1-10,17.")] = "1-8",
    tables: Annotated[str, typer.Option(help="Tables to read.")] = "input,holding,discrete,coil",
    first: Annotated[int, typer.Option(help="First address.", min=0, max=65535)] = 0,
    last: Annotated[int, typer.Option(help="Last address.", min=0, max=65535)] = 999,
    rtu: Annotated[bool, typer.Option("--rtu", help="RTU frames over TCP.")] = False,
    requests: Annotated[int, typer.Option(help="Most requests.", min=1)] = 2_000,
    timeout: Annotated[float, typer.Option(help="Longest wait for an answer, seconds.")] = 1.0,
    connector_id: IdOption = "modbus",
    as_json: JsonOption = False,
) -> None:
    """Scan a Modbus device, reads only. Example: anlan discover modbus 10.0.0.7 --units 1-3 --last 200."""
    with failing(as_json):
        from anlan.perceive import _discover_modbus

        host, _, port = target.rpartition(":") if ":" in target else (target, "", "502")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise InvalidInputError(f"{target!r} is no address", where="TARGET", fix="HOST or HOST:PORT")
        chosen = tuple(name.strip() for name in tables.split(","))
        if unknown := set(chosen) - {"input", "holding", "discrete", "coil"}:
            raise InvalidInputError(
                f"no table {sorted(unknown)[0]!r}", where="--tables", fix="input,holding,discrete,coil"
            )
        scan = _discover_modbus.Scan(
            host, int(port), rtu, parse_units(units), chosen, first, last, requests, timeout
        )  # fmt: skip
        found = _run(_discover_modbus.discover(scan), target)
        options = {"host": host, "port": int(port)} | ({"framing": "rtu-over-tcp"} if rtu else {})
        details = {
            "units": found.units,
            "ranges": [
                {"unit": unit, "table": table, "first": low, "last": high} for unit, table, low, high in found.ranges
            ],
            "requests": found.requests,
            "complete": found.complete,
        }
        _finish("modbus", connector_id, options, found.tags, target, out, as_json, details)


def discover_mqtt(
    url: Annotated[str, typer.Argument(help="mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")],
    out: OutOption = None,
    seconds: Annotated[float, typer.Option(help="How long to listen.", min=0.1, max=3600)] = 15.0,
    topic: Annotated[str, typer.Option(help="What to subscribe to.")] = "#",
    user: UserOption = "",
    password: SecretOption = "",
    ca: Annotated[str, typer.Option(help="File of the authority of the broker's certificate.")] = "",
    connector_id: IdOption = "mqtt",
    as_json: JsonOption = False,
) -> None:
    """Listen on a broker. Example: anlan discover mqtt mqtt://10.0.0.9 --seconds 30 --out draft.yaml."""
    with failing(as_json):
        from anlan.perceive import _discover_mqtt

        hidden = _secret.secret(password) if password else ""
        listening = _discover_mqtt.discover(url, seconds=seconds, topic=topic, user=user, password=hidden, ca=ca)
        heard = _run(listening, url)
        options: dict[str, Any] = {"url": url, "topics": [topic]} | ({"user": user} if user else {})
        options |= {"password": password} if password else {}
        details = {"messages": heard.messages, "unreadable": heard.unreadable}
        _finish("mqtt-client", connector_id, options, list(heard.tags.values()), url, out, as_json, details)


def parse_units(text: str) -> tuple[int, ...]:
    """Return the unit ids of a text such as ``1-10,17``.

    Raises:
        InvalidInputError: it is no such list, or an id is beyond 255.
    """
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdigit() or (dash and not high.isdigit()) or int(high or low) > 255:
            raise InvalidInputError(f"{text!r} is no list of unit ids", where="--units", fix="like 1-10,17; 0 to 255")
        found += range(int(low), int(high or low) + 1)
    return tuple(dict.fromkeys(found))


class _Secret:
    """Reads secrets the way the gateway does, for a command that runs without one."""

    def secret(self, name: str) -> str:
        """Return the secret ``name``."""
        from anlan.perceive.context import read_secret
        from anlan.settings import from_environment

        return read_secret(from_environment(), name)


_secret = _Secret()


def _run(work: Coroutine[Any, Any, T], where: str) -> T:
    """Run a discovery; whatever the network throws becomes one error that says what to look at."""
    from asyncua import ua

    try:
        return asyncio.run(work)
    except AnlanError:
        raise
    except (OSError, TimeoutError, ua.UaError) as error:
        reason = str(error) or type(error).__name__
        raise UnavailableError(
            f"no answer: {reason}", where=where, fix="check address, port and credentials"
        ) from error


def _finish(
    kind: str,
    connector_id: str,
    options: dict[str, Any],
    tags: list[DiscoveredTag],
    source: str,
    out: Path | None,
    as_json: bool,
    details: dict[str, Any] | None = None,
) -> None:
    from anlan.perceive.discovery import draft

    if out is not None:
        text = draft({"id": connector_id, "kind": kind, **options}, tags, title=source)
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise InvalidInputError(f"cannot be written: {error.strerror}", where=str(out), fix="a new file") from error
    result = {
        "source": source,
        "kind": kind,
        "tags": tags,
        "count": len(tags),
        "draft": str(out or ""),
        **(details or {}),
    }
    emit(result, as_json, lambda: _print(tags, source, out, details or {}))


def _print(tags: list[DiscoveredTag], source: str, out: Path | None, details: dict[str, Any]) -> None:
    typer.echo(f"{source}: {len(tags)} 个数据点 tags")
    for tag in tags[:_SHOWN]:
        value = "" if tag.value is None else f"{tag.value:.6g}" if isinstance(tag.value, float) else str(tag.value)
        typer.echo(f"  {tag.name:<44} {tag.kind:<22} {tag.unit:<8} {value:>12}  {tag.confidence:>4.0%}  {tag.tag}")
    if len(tags) > _SHOWN:
        typer.echo(f"  … 另有 and {len(tags) - _SHOWN} more: --json")
    if details.get("complete") is False:
        typer.echo("  扫描因请求数上限而中止 The scan ended at its limit of requests: see --requests")
    if details.get("unreadable"):
        typer.echo(f"  {len(details['unreadable'])} 个主题无法解析 topics could not be read: --json")
    if out is not None:
        typer.echo(f"草稿 draft: {out}  (anlan check {out})")
