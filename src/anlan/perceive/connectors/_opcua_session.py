"""Opens a secured OPC UA session: policy, certificates, trusted server, user."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from asyncua import Client, ua
from asyncua.crypto import security_policies, uacrypto
from cryptography import x509

from anlan.core.errors import PermissionDeniedError
from anlan.perceive.connectors._options import Options

POLICIES = ("None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
MODES = ("Sign", "SignAndEncrypt")


class Secrets(Protocol):
    """What hands out secrets by name: a connector's context, or a command."""

    def secret(self, name: str) -> str:
        """Return the secret ``name``."""
        ...


@dataclass(frozen=True, slots=True)
class Security:
    """How a session is secured; ``trusted`` are the server certificates accepted, DER."""

    endpoint: str
    timeout: float
    policy: str = "None"
    mode: str = "SignAndEncrypt"
    certificate: str = ""
    private_key: str = ""
    trusted: tuple[bytes, ...] = ()
    trust_any: bool = False
    user: str = ""
    password: str = ""


def read_security(options: Options, context: Secrets) -> Security:
    """Return the security options, with every file they name read once.

    Raises:
        InvalidInputError: an option or a file does not fit.
    """
    policy = options.choice("security_policy", POLICIES, "None")
    files = [str(path) for path in options.items("server_certificate")]
    secured = Security(
        endpoint=options.text("endpoint"),
        timeout=options.seconds("timeout", "4 s"),
        policy=policy,
        mode=options.choice("mode", MODES, "SignAndEncrypt"),
        certificate=options.text("certificate", ""),
        private_key=options.text("private_key", ""),
        trusted=tuple(_load_certificate(options, path) for path in files),
        trust_any=options.boolean("trust_any", False),
        user=options.text("user", ""),
        password=context.secret(options.text("password")) if options.raw("password") else "",
    )
    if not secured.endpoint.startswith("opc.tcp://"):
        raise options.wrong("endpoint", f"{secured.endpoint!r} is no endpoint", "opc.tcp://HOST:PORT")
    if policy != "None":
        for name, path in (("certificate", secured.certificate), ("private_key", secured.private_key)):
            if not path or not Path(path).is_file():
                raise options.wrong(
                    name, f"{policy} needs a {name} file, {path or 'none'} is there", "a PEM or DER file"
                )
        _application_uri(_load_certificate(options, secured.certificate))
    return secured


def _load_certificate(options: Options, path: str) -> bytes:
    try:
        data = Path(path).read_bytes()
        certificate = (
            x509.load_pem_x509_certificate(data) if b"-----BEGIN" in data else x509.load_der_x509_certificate(data)
        )
    except (OSError, ValueError) as error:
        raise options.wrong(
            "server_certificate", f"{path} cannot be read: {error}", "a PEM or DER certificate"
        ) from error
    return uacrypto.der_from_x509(certificate)  # type: ignore[no-any-return]  # asyncua is not followed by the checker


def _application_uri(der: bytes) -> str:
    """Return the application URI in a certificate; a session must name the same one (OPC 10000-6, 6.2.2)."""
    try:
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ""
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return str(uris[0]) if uris else ""


def _judge(security: Security, der: bytes) -> None:
    """Raise unless the server's certificate is trusted."""
    if security.trust_any or der in security.trusted:
        return
    print_ = hashlib.sha256(der).hexdigest()
    raise PermissionDeniedError(
        f"the server's certificate (SHA-256 {print_[:16]}…) is not trusted",
        where=security.endpoint,
        fix="check it with the server's owner, save it and name the file in server_certificate",
    )


async def open_client(security: Security, name: str) -> Any:
    """Return a client, secured but not yet connected.

    Raises:
        PermissionDeniedError: the server's certificate is not trusted.
        ua.UaError: the server offers no such endpoint.
    """
    client = Client(security.endpoint, timeout=security.timeout)
    client.name = client.description = f"Anlan {name}"
    # A session of a dead client must not stay on the server for an hour: some servers allow only a few.
    client.session_timeout = 120_000
    if security.user:
        client.set_user(security.user)
        client.set_password(security.password)
    if security.policy == "None":
        return client
    async with asyncio.timeout(security.timeout):
        endpoints = await client.connect_and_get_server_endpoints()
    policy = getattr(security_policies, f"SecurityPolicy{security.policy}")
    mode = getattr(ua.MessageSecurityMode, security.mode)
    endpoint = Client.find_endpoint(endpoints, mode, policy.URI)
    der = endpoint.ServerCertificate
    length = int.from_bytes(der[2:4], "big") + 4  # the first certificate of a chain
    der = der[:length]
    _judge(security, der)
    own = await uacrypto.load_certificate(security.certificate)
    client.application_uri = _application_uri(uacrypto.der_from_x509(own)) or client.application_uri
    await client.set_security(
        policy,
        certificate=security.certificate,
        private_key=security.private_key,
        server_certificate=uacrypto.CertProperties(der, extension="der"),
        mode=mode,
    )
    return client
