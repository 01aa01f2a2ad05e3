"""HTTP push over real sockets: formats, tokens, TLS, and clients that send too much, too slowly or nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.time import from_iso
from anlan.perceive.connectors.http import HttpConnector
from anlan.plant.model import ConnectorSpec
from tests.perceive.connectors.harness import MemoryContext, is_closed, running

NOW = from_iso("2026-11-24T00:00:00+00:00")
TAGS = {"a": "a", "b": "b", "level": "tank.level", "north": "tank,site=north.level"}
AUTH = {"Authorization": "Bearer open-sesame"}


def pushed(*, hold: bool = False, **options: Any) -> MemoryContext:
    chosen = {"port": 0, "tokens": ["push"]} | options
    return MemoryContext(ConnectorSpec("push", "http", chosen, TAGS), secrets={"push": "open-sesame"}, hold=hold)


@asynccontextmanager
async def serving(context: MemoryContext) -> AsyncIterator[httpx.AsyncClient]:
    connector = HttpConnector(context.spec, context)
    async with running(connector):
        await context.until(lambda: connector.port > 0)
        url = f"http://127.0.0.1:{connector.port}"
        async with httpx.AsyncClient(base_url=url, headers=AUTH, trust_env=False) as client:
            yield client


async def raw(client: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", client.base_url.port)


@pytest.mark.parametrize(
    ("content", "type_", "path"),
    [
        (
            b'[{"name":"a","time":1795478400,"value":1.5},{"name":"b","time":1795478400,"value":2}]',
            "application/json",
            "",
        ),
        (b'{"time":[1795478400],"values":{"a":[1.5],"b":[2]}}', "application/json; charset=utf-8", ""),
        (b"time,a,b\n2026-11-24T00:00:00,1.5,2\n", "text/csv", ""),
    ],
)
async def test_takes_json_and_csv_and_answers_204(content: bytes, type_: str, path: str) -> None:
    context = pushed()
    async with serving(context) as client:
        answer = await client.post(path or "/push", content=content, headers={"Content-Type": type_})
    assert (answer.status_code, answer.content) == (204, b"")
    assert context.last() == {"a": (1.5, 0), "b": (2.0, 0)}
    assert set(context.all.time.tolist()) == {NOW}
    assert context.states == ["up"]


async def test_takes_line_protocol_as_influx_clients_send_it() -> None:
    context = pushed()
    body = gzip.compress(b"tank,host=x level=1.5 1795478400\ntank,site=north level=2 1795478400\n")
    headers = {"Content-Encoding": "gzip", "Authorization": "Token open-sesame"}
    async with serving(context) as client:
        answer = await client.post("/api/v2/write?precision=s&bucket=x", content=body, headers=headers)
    assert answer.status_code == 204
    assert context.last() == {"level": (1.5, 0), "north": (2.0, 0)}
    assert set(context.all.time.tolist()) == {NOW}


async def test_204_comes_only_after_the_log() -> None:
    context = pushed(hold=True)
    async with serving(context) as client:
        post = asyncio.ensure_future(client.post("/push", json={"name": "a", "value": 1}))
        await context.until(lambda: bool(context.batches))
        await asyncio.sleep(0.1)
        assert not post.done()
        context.acknowledge()
        assert (await post).status_code == 204


async def test_503_when_the_log_does_not_acknowledge() -> None:
    context = pushed(hold=True, ack_timeout="100 ms")
    async with serving(context) as client:
        answer = await client.post("/push", json={"name": "a", "value": 1})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_wrong_rows_are_named_and_kept_and_the_rest_is_taken() -> None:
    context = pushed()
    rows = [{"name": "a", "value": 1}, {"name": "a", "value": "x"}, {"name": "stranger", "value": 2}]
    async with serving(context) as client:
        answer = await client.post("/push", json=rows)
        nothing = await client.post("/push", json=rows[1:2])
        no_json = await client.post("/push", content=b"{")
    body = answer.json()
    assert (answer.status_code, body["accepted"], body["unmapped"]) == (200, 1, {"stranger": 1})
    assert body["rejected"][0]["where"] == "row 2, a"
    assert (nothing.status_code, no_json.status_code) == (422, 422)
    assert no_json.headers["content-type"] == "application/problem+json"
    assert [raw_ for raw_, _, _ in context.dead] == [b'{"name":"a","value":"x"}'] * 2 + [b"{"]
    assert context.unknown == {"stranger": 1}


async def test_a_mended_row_is_sent_again() -> None:
    context = pushed()
    connector = HttpConnector(context.spec, context)
    async with running(connector):
        await context.until(lambda: connector.port > 0)
        url = f"http://127.0.0.1:{connector.port}"
        async with httpx.AsyncClient(base_url=url, headers=AUTH, trust_env=False) as client:
            await client.post("/push?format=csv", content=b"time,a\n1795478400,x\n")
            await client.post("/write?precision=s", content=b"tank level=1,other=z 1795478400")
        (row, _, source), (line_, _, line_source) = context.dead
        with pytest.raises(DecodeError, match="no number"):
            await connector.run_again(row, source)
        assert await connector.run_again(row.replace(b"x", b"5"), source) == 1
        assert await connector.run_again(line_.replace(b"other=z", b"level=2"), line_source) == 1
    assert context.last() == {"a": (5.0, 0), "level": (2.0, 0)}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/push", {"Authorization": "Bearer wrong"}, 401),
        ("POST", "/push", {"Authorization": ""}, 401),
        ("POST", "/elsewhere", {}, 404),
        ("GET", "/push", {}, 405),
        ("POST", "/push", {"Content-Encoding": "br"}, 415),
        ("POST", "/push", {"Content-Encoding": "gzip"}, 400),
        ("POST", "/push?format=xml", {}, 422),
        ("POST", "/write?precision=weeks", {}, 422),
    ],
)
async def test_what_is_not_taken_is_refused(method: str, path: str, headers: dict[str, str], status: int) -> None:
    context = pushed()
    async with serving(context) as client:
        answer = await client.request(method, path, content=b"{}", headers=headers)
    assert answer.status_code == status
    assert answer.json()["title"]
    assert not context.batches


async def test_100_mb_is_refused_before_it_is_read() -> None:
    context = pushed()
    async with serving(context) as client:
        reader, writer = await raw(client)
        head = ["POST /push HTTP/1.1", "Host: x", "Authorization: Bearer open-sesame", f"Content-Length: {100 << 20}"]
        writer.write("\r\n".join([*head, "", ""]).encode())
        answer = await asyncio.wait_for(reader.read(4096), 5)
        assert answer.startswith(b"HTTP/1.1 413")
        writer.close()
        assert (await client.post("/push", json={"name": "a", "value": 1})).status_code == 204


async def test_an_endless_chunked_body_and_a_zip_bomb_are_refused() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 65536

    context = pushed(max_body=1 << 20)
    async with serving(context) as client:
        bomb = gzip.compress(b" " * (64 << 20))
        answer = await client.post("/push", content=bomb, headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 413
        with contextlib.suppress(httpx.TransportError):  # it may be reset while the client still sends
            assert (await client.post("/push", content=endless())).status_code == 413
        assert (await client.post("/push", json={"name": "a", "value": 1})).status_code == 204
    assert len(context.batches) == 1


async def test_a_slow_client_is_closed_and_others_are_served() -> None:
    context = pushed(request_timeout="200 ms")
    async with serving(context) as client:
        reader, writer = await raw(client)
        writer.write(b"POST /push HTTP/1.1\r\nHost: x\r\nAuth")
        assert (await client.post("/push", json={"name": "a", "value": 1})).status_code == 204
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer == b"" or b" 408 " in answer.partition(b"\r\n")[0]
        writer.close()


async def test_connections_are_bounded() -> None:
    context = pushed(max_connections=1)
    async with serving(context) as client:
        assert (await client.post("/push", json={"name": "a", "value": 1})).status_code == 204
        reader, writer = await raw(client)
        assert await is_closed(reader)
        writer.close()


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01", b"\0" * 100_000, b"GET\r\n\r\n", b"POST /push HTTP/1.1\r\n" + b"x" * 70_000],
)
async def test_garbage_is_answered_or_closed_and_others_are_served(garbage: bytes) -> None:
    context = pushed(request_timeout="500 ms")
    async with serving(context) as client:
        reader, writer = await raw(client)
        writer.write(garbage)
        answer = await asyncio.wait_for(reader.read(), 8)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        writer.close()
        assert (await client.post("/push", json={"name": "a", "value": 1})).status_code == 204


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def test_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = pushed(tls={"certificate": str(cert), "key": str(key)})
    async with serving(context) as plain:
        trust = ssl.create_default_context(cafile=str(cert))
        url = f"https://localhost:{plain.base_url.port}"
        async with httpx.AsyncClient(base_url=url, headers=AUTH, verify=trust, trust_env=False) as client:
            assert (await client.post("/push", json={"name": "a", "value": 1})).status_code == 204
        with pytest.raises(httpx.TransportError):
            await plain.post("/push", json={"name": "a", "value": 1})
    assert len(context.batches) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, "needs tls and tokens"),
        ({"tls": {"certificate": "absent.pem"}}, "cannot be loaded"),
        ({"tokens": ["absent"]}, "no secret"),
        ({"formats": ["xml"]}, "'xml' is not known"),
        ({"timezone": "Mars"}, "no time zone"),
        ({"request_timeout": "soon"}, "no"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    context = pushed(**options)
    with pytest.raises(InvalidInputError, match=message):
        HttpConnector(context.spec, context)
