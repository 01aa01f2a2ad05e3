"""The models in force on the fabric, for whoever runs them elsewhere: each checked against its node's key.

``config.models.current`` holds the list with definitions, hashes and signatures; ``config.models.file.DIGEST`` a file.
"""

from __future__ import annotations

import msgspec
import nats.js.errors

from anlan.core.errors import DecodeError
from anlan.store.fabric.client import Fabric
from anlan.warn.model import ModelMode, WarningModel
from anlan.warn.models.key import signed
from anlan.warn.models.registry import Version, digest_of

CURRENT = "models.current"


class Shipped(msgspec.Struct, frozen=True):
    """One version: its definition as it was signed, and whether a file belongs to it."""

    definition: bytes
    mode: ModelMode
    digest: str
    signature: str
    file: bool


class Manifest(msgspec.Struct, frozen=True):
    """The versions that run on a node, and the public key (hex) that signed them."""

    node: str
    time: int
    key: str
    models: tuple[Shipped, ...]


async def publish(fabric: Fabric, node: str, key: str, versions: tuple[Version, ...], now: int) -> None:
    """Put the versions in force onto the fabric; files first, so that whoever reads the list finds them."""
    for version in versions:
        if version.file:
            await fabric.put_config(f"models.file.{version.digest}", version.file)
    shipped = tuple(Shipped(v.definition, v.mode, v.digest, v.signature, bool(v.file)) for v in versions)
    await fabric.put_config(CURRENT, msgspec.json.encode(Manifest(node, now, key, shipped)))


async def fetch(fabric: Fabric, key: str = "") -> tuple[Manifest, dict[tuple[str, int], tuple[WarningModel, bytes]]]:
    """Return what is in force with each definition and file, every one checked.

    Args:
        fabric: connection that may read the configuration.
        key: public key (hex) that must have signed; the manifest's own when empty.

    Raises:
        NotFoundError: no models were ever put on the fabric, or a file is missing.
        DecodeError: one was altered or signed by another key.
    """
    try:
        manifest = msgspec.json.decode(await fabric.get_config(CURRENT), type=Manifest)
    except (msgspec.MsgspecError, nats.js.errors.Error) as error:
        raise DecodeError(f"the list of models cannot be read: {error}", where=CURRENT) from error
    found = {}
    for item in manifest.models:
        file = await fabric.get_config(f"models.file.{item.digest}") if item.file else b""
        digest = digest_of(item.definition, file)
        if digest != item.digest:
            raise DecodeError("a model was altered: its hash does not match", where=item.digest)
        if not signed(key or manifest.key, item.signature, bytes.fromhex(digest)):
            raise DecodeError("a model's signature does not hold", where=item.digest)
        model = msgspec.json.decode(item.definition, type=WarningModel)
        found[model.id, model.version] = (model, file)
    return manifest, found
