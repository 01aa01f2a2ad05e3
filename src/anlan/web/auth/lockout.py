"""Lockout: after some failures each further one doubles how long the same account and address must wait.

Three keys are counted: account and address together (soon), the address alone (somebody tries many accounts) and the
account alone (many addresses try one account; late and short, so that nobody can lock a person out for good).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from anlan.core.time import HOUR, MINUTE, SECOND
from anlan.web.auth.secrets import digest
from anlan.web.errors import TooManyRequestsError
from anlan.web.tables import FailureRow


@dataclass(frozen=True, slots=True)
class Rule:
    """From the failure after ``free`` on, wait ``first`` µs, doubled each time, at most ``longest``."""

    free: int
    first: int
    longest: int


PAIR = Rule(5, 30 * SECOND, HOUR)
ADDRESS = Rule(30, 60 * SECOND, HOUR)
ACCOUNT = Rule(20, 30 * SECOND, 5 * MINUTE)
FORGET = 24 * HOUR


def delay(rule: Rule, failures: int) -> int:
    """Return how long (µs) to wait after the ``failures``-th failure in a row."""
    beyond = failures - rule.free
    return 0 if beyond < 0 else min(rule.first << min(beyond, 30), rule.longest)


def _keys(login: str, address: str) -> tuple[tuple[str, Rule], ...]:
    account = digest(login.casefold())[:40]
    return (
        (f"pair:{account}:{address}"[:200], PAIR),
        (f"address:{address}"[:200], ADDRESS),
        (f"account:{account}", ACCOUNT),
    )


def require_unlocked(session: Session, login: str, address: str, now: int) -> None:
    """Raise while this account and address must wait.

    Raises:
        TooManyRequestsError: with the seconds left.
    """
    for key, _rule in _keys(login, address):
        row = session.get(FailureRow, key)
        if row is not None and row.locked_until > now:
            wait = max(1, -(-(row.locked_until - now) // SECOND))
            raise TooManyRequestsError("too many failed sign-ins", retry_after=int(wait))


def note_failure(session: Session, login: str, address: str, now: int) -> int:
    """Count a failed sign-in and return how long (µs) this account and address must now wait."""
    longest = 0
    for key, rule in _keys(login, address):
        row = session.get(FailureRow, key)
        if row is None:
            row = FailureRow(key=key, count=0, last=0, locked_until=0)
            session.add(row)
        row.count = 1 if now - row.last > FORGET else row.count + 1
        row.last = now
        wait = delay(rule, row.count)
        row.locked_until = now + wait
        longest = max(longest, wait)
    return longest


def note_success(session: Session, login: str, address: str) -> None:
    """Forget the failures of this account; those of the address stay, or one good account would free a guesser."""
    for key, _rule in _keys(login, address):
        if key.startswith("address:"):
            continue
        row = session.get(FailureRow, key)
        if row is not None:
            session.delete(row)


def forget(session: Session, login: str) -> int:
    """Forget the failures of an account from wherever, and return how many counts there were."""
    account = digest(login.casefold())[:40]
    rows = session.scalars(
        select(FailureRow).where(
            (FailureRow.key == f"account:{account}") | FailureRow.key.startswith(f"pair:{account}:")
        )
    ).all()
    for row in rows:
        session.delete(row)
    return len(rows)
