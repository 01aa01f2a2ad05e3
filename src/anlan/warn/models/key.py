"""The node's own key: signs the models this node runs, so that an altered one is known."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from anlan.core.errors import InvalidInputError

NAME = "node-key"


def node_key(secrets: Path) -> Ed25519PrivateKey:
    """Return the node's Ed25519 key in ``secrets``; it is made at the first start and readable by the owner only.

    Raises:
        InvalidInputError: the file is no key.
    """
    path = secrets / NAME
    if not path.exists():
        raw = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "w") as file:
                file.write(raw.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))
    except ValueError as error:
        raise InvalidInputError("this is no key", where=str(path), fix="restore it from a backup") from error


def public_of(key: Ed25519PrivateKey) -> str:
    """Return the public key as hex: who signed."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def signed(public: str, signature: str, message: bytes) -> bool:
    """Return whether ``public`` (hex) signed ``message``."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (ValueError, InvalidSignature):
        return False
    return True
