"""Random secrets, their digests, and the key that encrypts one-time-code seeds at rest."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from anlan.core.errors import InvalidInputError
from anlan.settings import Settings


def random_secret(size: int = 32) -> str:
    """Return ``size`` random bytes as URL-safe text."""
    return secrets.token_urlsafe(size)


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret of full entropy, as it is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(left: str, right: str) -> bool:
    """Return whether two digests are equal, in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())


def key_file(settings: Settings, name: str) -> bytes:
    """Return the 32-byte key ``data/secrets/NAME``, made at first use, readable by the owner only."""
    path = settings.directory("secrets") / name
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()


class Vault:
    """Encrypts small secrets with AES-256-GCM; ``about`` binds a ciphertext to what it belongs to."""

    def __init__(self, settings: Settings) -> None:
        self._cipher = AESGCM(key_file(settings, "web.key"))

    def seal(self, secret: str, about: str) -> bytes:
        """Return the encrypted form."""
        nonce = secrets.token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), about.encode())

    def open(self, sealed: bytes, about: str) -> str:
        """Return the secret.

        Raises:
            InvalidInputError: the key file is not the one it was sealed with.
        """
        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], about.encode()).decode()
        except InvalidTag as error:
            raise InvalidInputError(
                "a secret cannot be opened with this node's key",
                where="data/secrets/web.key",
                fix="restore the key with the records, or reset the second factor",
            ) from error


def named_secret(settings: Settings, name: str) -> str:
    """Return a secret that settings name: ``ANLAN_SECRET_NAME`` or the file ``data/secrets/NAME``.

    Raises:
        InvalidInputError: there is no such secret.
    """
    variable = "ANLAN_SECRET_" + name.upper().replace("-", "_").replace(".", "_")
    text = os.environ.get(variable)
    if text:
        return text
    path = settings.directory("secrets") / Path(name).name
    if path.is_file():
        return path.read_text().strip()
    raise InvalidInputError(f"there is no secret {name!r}", where=variable, fix=f"set it, or write {path.name} there")
