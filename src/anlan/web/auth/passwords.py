"""Passwords: argon2id hashing and the rules a new one must keep."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from anlan.core.errors import InvalidInputError

# Second recommended option of RFC 9106 §4: t = 3, 64 MiB, here with one lane because two cores serve everything.
_hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
_NOBODY = _hasher.hash(secrets.token_urlsafe(16))

SHORTEST = 12
LONGEST = 256
LONG_ENOUGH = 20
_COMMON = ("password", "123456", "qwerty", "admin", "anlan", "letmein", "welcome", "111111", "abc123", "iloveyou")
# Letters and digits that no one mixes up when a one-time password is read from a screen.
_ALPHABET = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password."""
    return _hasher.hash(password)


def verify(stored: str, password: str) -> bool:
    """Return whether ``password`` is the one hashed in ``stored``; an empty hash takes as long and is never right."""
    try:
        return _hasher.verify(stored or _NOBODY, password) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False


def outdated(stored: str) -> bool:
    """Return whether the hash was made with other cost parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def random_password() -> str:
    """Return a one-time password of 95 bits that keeps the rules."""
    groups = ["".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4)]
    return "-".join([*groups, secrets.choice("ABCDEFGH") + secrets.choice("abcdefgh") + secrets.choice("23456789")])


def check_rules(password: str, login: str) -> None:
    """Raise unless a new password keeps the rules.

    Raises:
        InvalidInputError: too short or long, too uniform, well known, or it holds the login.
    """
    fix = f"at least {SHORTEST} characters with three of: capitals, small letters, digits, others; or {LONG_ENOUGH}"
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInputError(
            f"a password has {SHORTEST} to {LONGEST} characters, this has {len(password)}", where="new", fix=fix
        )
    lower = password.casefold()
    if login and login.casefold() in lower:
        raise InvalidInputError("the password holds the account's own name", where="new", fix=fix)
    classes = (str.isupper, str.islower, str.isdigit)
    kinds = sum(any(test(sign) for sign in password) for test in classes)
    kinds += any(not sign.isalnum() or (sign.isalpha() and not sign.isascii()) for sign in password)
    if kinds < 3 and len(password) < LONG_ENOUGH:
        raise InvalidInputError("the password uses too few kinds of characters", where="new", fix=fix)
    for word in _COMMON:
        lower = lower.replace(word, "")
    if len(set(password)) < 6 or len(lower) < SHORTEST // 2:
        raise InvalidInputError("the password is one of those that are tried first", where="new", fix=fix)
