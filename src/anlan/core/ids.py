"""Identifiers: ULIDs that repeat when the same thing is produced again after a crash."""

from __future__ import annotations

import hashlib
import secrets

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _encode(value: int) -> str:
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def ulid_of(time_us: int, node: str, stream: str, sequence: int, ordinal: int) -> str:
    """Return the ULID of what ``(stream, sequence, ordinal)`` of ``node`` produced at ``time_us`` (µs UTC).

    The same arguments always give the same id, so a repeat after a crash is recognised and dropped.
    """
    seed = f"{node}\0{stream}\0{sequence}\0{ordinal}".encode()
    random_bits = int.from_bytes(hashlib.blake2b(seed, digest_size=10).digest(), "big")
    milliseconds = max(0, time_us // 1_000) & ((1 << 48) - 1)
    return _encode((milliseconds << 80) | random_bits)


def new_ulid(time_us: int) -> str:
    """Return a fresh ULID for something that happens once, such as a person's request."""
    milliseconds = max(0, time_us // 1_000) & ((1 << 48) - 1)
    return _encode((milliseconds << 80) | secrets.randbits(80))
