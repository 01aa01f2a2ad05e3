"""Fitted models as data: one file of a JSON header and plain arrays, hashed and signable. Nothing in it is executed.

Layout: the magic line; the header's length as 8 bytes, little endian; the header (JSON); the arrays one after the
other, C order, little endian, each starting at a multiple of 8 from the end of the header; the SHA-256 of everything
so far; then, if signed, a JSON trailer with the signature of that hash.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from numpy.typing import NDArray

from anlan.core.errors import DecodeError

MAGIC = b"ANLAN MODEL 1\n"
_DTYPES = ("float64", "float32", "int64", "int32", "int16", "int8", "uint8", "bool")
_DIGEST = 32

Arrays = dict[str, NDArray[Any]]


class ModelInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who a model is and where it holds.

    Attributes:
        kind: what reads it, such as ``detection.ensemble`` or ``prognosis.rul``.
        id: name within a node, such as ``seal-leak``; empty for one made on the command line.
        version: counts up per id.
        created: µs UTC; 0 when the maker gave none.
        owner: person or team who answers for it.
        training_hash: SHA-256 (hex) of the training table's names and values.
        training_rows, training_start, training_end: how much and which time (µs UTC) it learnt from.
        inputs: names of the variables in order; for a live model the full paths of points.
        validity: lowest and highest value of each input it was trained on, by name.
        settings: what the maker chose, and all numbers that are not arrays.
        notes: visible downgrades stated at fitting, such as a constant column left out.
    """

    kind: str
    id: str = ""
    version: int = 1
    created: int = 0
    owner: str = ""
    training_hash: str = ""
    training_rows: int = 0
    training_start: int = 0
    training_end: int = 0
    inputs: tuple[str, ...] = ()
    validity: dict[str, tuple[float, float]] = {}
    settings: dict[str, Any] = {}
    notes: tuple[str, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    name: str
    dtype: str
    shape: tuple[int, ...]


class _Header(msgspec.Struct, frozen=True):
    info: ModelInfo
    arrays: tuple[_Entry, ...]


class _Trailer(msgspec.Struct, frozen=True):
    algorithm: str
    key: str
    signature: str


class ModelFile(msgspec.Struct, frozen=True):
    """A model read back: its header, its arrays, its hash and who signed it (hex of the public key, or empty)."""

    info: ModelInfo
    arrays: Arrays
    digest: str
    signed_by: str = ""


def training_hash(names: tuple[str, ...], values: NDArray[np.float64]) -> str:
    """Return the SHA-256 (hex) of a training table.

    Args:
        names: variables, one a column.
        values: shape (rows, variables).
    """
    digest = hashlib.sha256(msgspec.json.encode(names))
    digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()


def encode_model(info: ModelInfo, arrays: Arrays, key: Ed25519PrivateKey | None = None) -> bytes:
    """Return the file of a model, signed where a key is given.

    Args:
        info: the header.
        arrays: plain number arrays by name.
        key: signs the hash of all that stands before it.

    Raises:
        ValueError: an array is not of a plain number type.
    """
    entries, parts = [], []
    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise ValueError(f"array {name} is of type {array.dtype}: one of {', '.join(_DTYPES)} can be kept")
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        entries.append(_Entry(name, array.dtype.name, array.shape))
        raw = little.tobytes()
        parts.append(raw + b"\0" * (-len(raw) % 8))
    header = msgspec.json.encode(_Header(info, tuple(entries)))
    body = b"".join((MAGIC, len(header).to_bytes(8, "little"), header, *parts))
    digest = hashlib.sha256(body).digest()
    return body + digest + (_sign(digest, key) if key is not None else b"")


def _sign(digest: bytes, key: Ed25519PrivateKey) -> bytes:
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return msgspec.json.encode(_Trailer("Ed25519", public.hex(), key.sign(digest).hex()))


def decode_model(data: bytes, kind: str = "", where: str = "model file") -> ModelFile:
    """Return the model of a file, every byte of it checked.

    Args:
        data: the whole file.
        kind: kind wanted, or a prefix of it ending in a dot; any when empty.
        where: file name for errors.

    Raises:
        DecodeError: not a model, of another kind, cut short, altered, or its signature does not hold.
    """
    if not data.startswith(MAGIC):
        raise DecodeError("this is no model file", where=where, fix="a file written by `anlan detect fit` or `rul fit`")
    header, start = _read_header(data, where)
    arrays, end = _read_arrays(data, start, header.arrays, where)
    if len(data) < end + _DIGEST:
        raise DecodeError("the model file is cut short", where=where, fix="copy it again")
    digest = hashlib.sha256(data[:end]).digest()
    if data[end : end + _DIGEST] != digest:
        raise DecodeError("the model file was altered: its hash does not match", where=where, fix="use the original")
    signed_by = _check_signature(data[end + _DIGEST :], digest, where)
    if kind and not (header.info.kind == kind or (kind.endswith(".") and header.info.kind.startswith(kind))):
        raise DecodeError(f"a model of kind {header.info.kind}", where=where, fix=f"a model of kind {kind}")
    return ModelFile(header.info, arrays, digest.hex(), signed_by)


def _read_header(data: bytes, where: str) -> tuple[_Header, int]:
    start = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    try:
        return msgspec.json.decode(data[start : start + length], type=_Header), start + length
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError) as error:
        raise DecodeError(
            f"the model file's header cannot be read: {error}", where=where, fix="copy it again"
        ) from None


def _read_arrays(data: bytes, start: int, entries: tuple[_Entry, ...], where: str) -> tuple[Arrays, int]:
    arrays: Arrays = {}
    at = start
    for entry in entries:
        if entry.dtype not in _DTYPES or any(side < 0 for side in entry.shape):
            raise DecodeError(f"array {entry.name} is of an unknown type", where=where, fix="copy the file again")
        dtype = np.dtype(entry.dtype).newbyteorder("<")
        count = 1
        for side in entry.shape:
            count *= side
        if at + count * dtype.itemsize > len(data):
            raise DecodeError("the model file is cut short", where=where, fix="copy it again")
        array = np.frombuffer(data, dtype=dtype, count=count, offset=at).reshape(entry.shape)
        arrays[entry.name] = array.astype(np.dtype(entry.dtype), copy=True)
        at += count * dtype.itemsize
        at += -(at - start) % 8
    return arrays, at


def _check_signature(trailer: bytes, digest: bytes, where: str) -> str:
    if not trailer:
        return ""
    try:
        signed = msgspec.json.decode(trailer, type=_Trailer)
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed.key))
        public.verify(bytes.fromhex(signed.signature), digest)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, InvalidSignature) as error:
        raise DecodeError("the model file's signature does not hold", where=where, fix="use the original") from error
    if signed.algorithm != "Ed25519":
        raise DecodeError(f"signature algorithm {signed.algorithm} is unknown", where=where, fix="Ed25519")
    return signed.key
