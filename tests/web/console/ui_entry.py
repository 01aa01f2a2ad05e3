"""Starts the web process with every page on the fabric that the environment names; makes people for the tests."""

from __future__ import annotations

import asyncio
import os

import msgspec
from sqlalchemy.orm import Session

from anlan.core import log
from anlan.core.actor import Grant, Role
from anlan.core.health import Health
from anlan.core.time import now_us
from anlan.monitor import page as monitor_page
from anlan.perceive import page as perceive_page
from anlan.settings import from_environment
from anlan.store.fabric.client import Fabric
from anlan.warn import api as warn_api
from anlan.warn import page as warn_page
from anlan.web import registry, service
from anlan.web.audit import Auditor
from anlan.web.auth import users
from anlan.web.auth.model import NewUser
from anlan.web.tables import UserRow

PASSWORD = "harbour-crane-41-lantern"
PEOPLE = {
    "admin": ("管理员", (Grant(Role.ADMINISTRATOR),)),
    "wang": ("王海", (Grant(Role.OPERATOR),)),
    "chen": ("陈工", (Grant(Role.ENGINEER),)),
    "zhou": ("周安", (Grant(Role.SAFETY_MANAGER),)),
    "audit": ("审计员", (Grant(Role.AUDITOR),)),
    "guest": ("监管员", (Grant(Role.REGULATOR),)),
    "tank": ("罐区李", (Grant(Role.OPERATOR, "donghua/tanks"),)),
}


def make_people() -> None:
    """Add the people with one known password."""
    from anlan.core.actor import SYSTEM

    settings = from_environment()
    records = service.open_records(settings)

    def add(session: Session) -> None:
        for login, (name, grants) in PEOPLE.items():
            users.add(session, SYSTEM, Auditor(settings.node, "test", "test"), NewUser(login, name, grants, PASSWORD))
        for row in session.query(UserRow):
            row.must_change = False

    with records.session() as session:
        add(session)
    records.engine.dispose()


async def main() -> None:
    monitor_page.register()
    perceive_page.register()
    warn_page.register()
    registry.register_router(warn_api.router)
    health = Health("web", started=now_us())
    async with await Fabric.connect(from_environment(), "web", name="web") as fabric:
        stop = asyncio.Event()

        async def beat() -> None:
            while True:
                report = health.report(os.getpid(), now_us())
                await fabric.client.publish(f"{log.HEALTH}.web", msgspec.json.encode(report))
                await asyncio.sleep(1)

        beating = asyncio.ensure_future(beat())
        await service.run(fabric, health, stop)
        beating.cancel()


if __name__ == "__main__":
    make_people()
    asyncio.run(main())
