"""The console under TLS: the secure cookie, HSTS, origins, and certificates that cannot be used."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from anlan.core.errors import InvalidInputError
from anlan.settings import Settings
from anlan.web import service
from anlan.web.security import SESSION_COOKIE
from tests.web.node import PASSWORD, WebNode


def certificate(folder: Path) -> tuple[str, str]:
    """Write a certificate for 127.0.0.1 with its key and return both paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(chain), str(private)


@pytest.fixture
def node(settings: Settings, tmp_path: Path) -> Iterator[WebNode]:
    chain, key = certificate(tmp_path)
    made = WebNode(replace(settings, tls_certificate=chain, tls_key=key))
    made.start()
    yield made
    made.stop()


def test_under_tls_the_cookie_is_secure_and_the_origin_must_be_too(node: WebNode) -> None:
    trust = ssl.create_default_context(cafile=node.settings.tls_certificate)
    sign_in = {"login": "operator", "password": PASSWORD}
    with httpx.Client(base_url=node.url, verify=trust) as client:
        plain = client.post("/api/v1/session", json=sign_in, headers={"Origin": node.url.replace("https", "http")})
        answer = client.post("/api/v1/session", json=sign_in, headers={"Origin": node.url})
    assert plain.status_code == 403
    assert answer.status_code == 201
    assert SimpleCookie(answer.headers["set-cookie"])[SESSION_COOKIE]["secure"]
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    service.check_listen(replace(node.settings, web_host="0.0.0.0"))


def test_a_certificate_that_cannot_be_used_is_named(settings: Settings, tmp_path: Path) -> None:
    chain, _ = certificate(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, key = certificate(other)
    with pytest.raises(InvalidInputError, match=r"chain\.pem"):
        service.check_listen(replace(settings, tls_certificate=chain, tls_key=key))
    with pytest.raises(InvalidInputError, match=r"absent\.pem"):
        service.check_listen(replace(settings, tls_certificate="absent.pem", tls_key=key))
