"""One-time codes (RFC 6238, 30 s, 6 digits, one step of tolerance) that work once, and recovery codes."""

from __future__ import annotations

import secrets
from typing import Any

import pyotp
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from anlan.core.errors import ConflictError, InvalidInputError
from anlan.core.time import SECOND
from anlan.web.audit import Auditor
from anlan.web.auth.model import Enrolment
from anlan.web.auth.secrets import Vault, digest, same
from anlan.web.tables import RecoveryRow, UserRow

STEP_S = 30
TOLERANCE = 1
RECOVERY_CODES = 10
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


def begin(session: Session, vault: Vault, user_id: str, issuer: str) -> Enrolment:
    """Make a seed for a person; it is asked for at sign-in only once ``confirm`` has seen a code of it.

    Raises:
        ConflictError: the person already has a second factor.
    """
    row = session.get_one(UserRow, user_id)
    if row.totp_on:
        raise ConflictError("a second factor is already set up", where=row.login, fix="remove it first")
    seed = pyotp.random_base32()
    row.totp_seed = vault.seal(seed, row.id)
    return Enrolment(seed, pyotp.TOTP(seed).provisioning_uri(name=row.login, issuer_name=issuer))


def confirm(session: Session, vault: Vault, auditor: Auditor, user_id: str, code: str, now: int) -> tuple[str, ...]:
    """Switch the second factor on if ``code`` is right, and return fresh recovery codes.

    Raises:
        ConflictError: nothing was begun, or it is on already.
        InvalidInputError: the code is wrong.
    """
    row = session.get_one(UserRow, user_id)
    if row.totp_seed is None or row.totp_on:
        raise ConflictError("no second factor is being set up", where=row.login, fix="begin it first")
    if not _right_code(session, vault, row, code, now):
        raise InvalidInputError("the code is wrong", where="code", fix="check the clock of the authenticator")
    row.totp_on = True
    row.version += 1
    auditor.note(session, "user.second-factor-on", f"users/{row.login}")
    return _new_recovery_codes(session, row.id)


def _new_recovery_codes(session: Session, user_id: str) -> tuple[str, ...]:
    session.execute(delete(RecoveryRow).where(RecoveryRow.user_id == user_id))
    codes = tuple("".join(secrets.choice(_ALPHABET) for _ in range(12)) for _ in range(RECOVERY_CODES))
    session.add_all(RecoveryRow(user_id=user_id, code_hash=digest(code), used=0) for code in codes)
    return tuple(f"{code[:4]}-{code[4:8]}-{code[8:]}" for code in codes)


def check(session: Session, vault: Vault, row: UserRow, code: str, now: int) -> bool:
    """Return whether ``code`` is this moment's one-time code, not used before, or an unused recovery code."""
    return _right_code(session, vault, row, code, now) or _right_recovery(session, row.id, code, now)


def _right_code(session: Session, vault: Vault, row: UserRow, code: str, now: int) -> bool:
    text = code.strip().replace(" ", "")
    if row.totp_seed is None or len(text) != 6 or not text.isascii() or not text.isdigit():
        return False
    totp = pyotp.TOTP(vault.open(row.totp_seed, row.id))
    current = now // (STEP_S * SECOND)
    for step in range(current - TOLERANCE, current + TOLERANCE + 1):
        if same(totp.generate_otp(step), text):
            # The update itself decides, so the same code in two requests at once works in one of them only.
            used: Any = session.execute(
                update(UserRow)
                .where(UserRow.id == row.id, UserRow.totp_step < step)
                .values(totp_step=step)
                .execution_options(synchronize_session=False)
            )
            return bool(used.rowcount)
    return False


def _right_recovery(session: Session, user_id: str, code: str, now: int) -> bool:
    text = code.strip().replace("-", "").upper()
    used: Any = session.execute(
        update(RecoveryRow)
        .where(RecoveryRow.user_id == user_id, RecoveryRow.code_hash == digest(text), RecoveryRow.used == 0)
        .values(used=now)
        .execution_options(synchronize_session=False)
    )
    return bool(used.rowcount)
