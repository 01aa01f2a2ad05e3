"""What rooms above the web floor add to it: API routers and console pages.

The web floor never imports those rooms; ``runtime`` (or a plug-in) registers them before the app is made::

    from anlan.web import registry
    from anlan.monitor import api, page
    registry.register_router(api.router)
    registry.register_page(page.ALARMS)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from anlan.core.actor import Permission


@dataclass(frozen=True, slots=True)
class PageSpec:
    """One page of the console.

    Attributes:
        path: route, such as ``/alarms`` or ``/points/{path:path}``.
        title, title_en: name in the navigation and the browser's tab.
        build: draws the page; gets the context and the route's parameters.
        icon: name of an icon of the wheel's icon font; empty keeps the page out of the navigation.
        permission: who sees it.
        order: place in the navigation, small first.
        group: heading it stands under in the navigation.
    """

    path: str
    title: str
    title_en: str
    build: Callable[..., Any]
    icon: str = ""
    permission: Permission = Permission.VIEW
    order: int = 100
    group: str = ""


_routers: list[APIRouter] = []
_pages: dict[str, PageSpec] = {}


def register_router(router: APIRouter) -> None:
    """Serve ``router`` under ``/api/v1``; registering it again changes nothing."""
    if router not in _routers:
        _routers.append(router)


def register_page(page: PageSpec) -> None:
    """Show ``page`` in the console; a later page with the same path takes its place."""
    _pages[page.path] = page


def routers() -> Sequence[APIRouter]:
    """Return the registered routers."""
    return tuple(_routers)


def pages() -> Sequence[PageSpec]:
    """Return the registered pages in navigation order."""
    return tuple(sorted(_pages.values(), key=lambda page: (page.order, page.path)))
