"""The one door to people, sessions and tokens for routes, sockets, pages and commands.

Methods are synchronous SQL; routes call them through ``asyncio.to_thread``. Who a cookie or token belongs to is kept
for two seconds, so that sockets can ask at every message; a change made in this process is seen at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from anlan.core.actor import Actor
from anlan.core.errors import UnavailableError
from anlan.core.time import now_us
from anlan.settings import Settings
from anlan.store.records.base import Records
from anlan.web.audit import Auditor
from anlan.web.auth import sessions, tokens
from anlan.web.auth.model import Identity
from anlan.web.auth.secrets import Vault, digest
from anlan.web.errors import ChangedMeanwhileError

R = TypeVar("R")

KEEP_S = 2.0
_MOST_KEPT = 4096


class Accounts:
    """People of this node; see the module. ``clock`` returns µs UTC."""

    def __init__(self, records: Records, settings: Settings, clock: Callable[[], int] = now_us) -> None:
        self.records = records
        self.settings = settings
        self.clock = clock
        self.vault = Vault(settings)
        self.life = sessions.lifetime(settings)
        self._kept: dict[str, tuple[Identity | None, float]] = {}
        self.on_audit: Callable[[], None] = lambda: None

    def auditor(self, actor: Actor, address: str) -> Auditor:
        """Return the auditor for what ``actor`` does from ``address``."""
        return Auditor(self.settings.node, actor.user, address)

    def change(self, work: Callable[[Session], R]) -> R:
        """Run ``work`` in one transaction, forget who is kept, and wake the audit publisher.

        Raises:
            ChangedMeanwhileError: somebody else changed the same row in between.
            UnavailableError: the records do not answer.
        """
        try:
            with self.records.session() as session:
                return work(session)
        except StaleDataError as error:
            raise ChangedMeanwhileError("it was changed by somebody else", fix="read it again") from error
        except OperationalError as error:
            raise UnavailableError("the records do not answer", where="records") from error
        finally:
            self._kept.clear()
            self.on_audit()

    def read(self, work: Callable[[Session], R]) -> R:
        """Run a query.

        Raises:
            UnavailableError: the records do not answer.
        """
        try:
            with self.records.session() as session:
                return work(session)
        except OperationalError as error:
            raise UnavailableError("the records do not answer", where="records") from error

    def kept(self, cookie: str = "", token: str = "") -> Identity | None:
        """Return who was found for this cookie or token in the last two seconds, without asking the records."""
        found = self._kept.get(digest(cookie or token))
        if found is None or found[1] < time.monotonic():
            return None
        identity = found[0]
        return identity if identity is not None and identity.until > self.clock() else None

    def identity(self, cookie: str = "", token: str = "") -> Identity | None:
        """Return who this cookie or token belongs to, or None."""
        known = self.kept(cookie, token)
        if known is not None:
            return known
        now = self.clock()
        if cookie:
            found = self.read(lambda session: sessions.resolve(session, cookie, self.life, now))
        else:
            found = self.read(lambda session: tokens.resolve(session, token, now))
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        if found is not None:
            self._kept[digest(cookie or token)] = (found, time.monotonic() + KEEP_S)
        return found

    def actor_of_session(self, cookie: str) -> Actor | None:
        """Return who a session cookie belongs to; None also while a new password must be chosen."""
        found = self.identity(cookie=cookie) if cookie else None
        return None if found is None or found.must_change else found.actor
