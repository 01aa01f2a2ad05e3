"""What pages and routes are handed: the fabric, the records, who may sign in, and what the web process watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from anlan.core.health import Health
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.records.base import Records
from anlan.web.registry import PageSpec

if TYPE_CHECKING:
    from anlan.web.auth.accounts import Accounts
    from anlan.web.sse import AlarmFeed, ValueFeed
    from anlan.web.watch import LastValues, PartsWatch, PlantWatch

C = TypeVar("C")


@dataclass
class WebContext:
    """One per web process.

    Attributes:
        accounts: people, sessions, tokens; ``accounts.actor_of_session(cookie)`` for sockets and event handlers.
        plant: the compiled plant in force, kept up to date.
        values: last value of every point, kept up to date from ``live.values``.
        parts: last health report of every process of the node.
        value_feed, alarm_feed: what the streams of server-sent events read.
        pages: pages of the console in navigation order.
    """

    fabric: Fabric
    records: Records
    settings: Settings
    health: Health
    accounts: Accounts
    plant: PlantWatch
    values: LastValues
    parts: PartsWatch
    value_feed: ValueFeed
    alarm_feed: AlarmFeed
    pages: Sequence[PageSpec] = ()
    _clients: dict[Any, Any] = field(default_factory=dict)

    def client(self, kind: Callable[[Fabric], C]) -> C:
        """Return the one client of this kind, made with the fabric at first use: ``context.client(MonitorClient)``."""
        if kind not in self._clients:
            self._clients[kind] = kind(self.fabric)
        return cast("C", self._clients[kind])
