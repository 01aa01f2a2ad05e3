"""What rooms above the web floor add to it: API routers, console pages, live parts of the frame, widgets.

The web floor never imports those rooms; ``runtime`` (or a plug-in) registers them before the app is made::

    from anlan.web import registry
    from anlan.monitor import api, page
    registry.register_router(api.router)
    registry.register_page(page.ALARMS)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import APIRouter

from anlan.core.actor import Permission

if TYPE_CHECKING:
    from anlan.web.context import WebContext


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


class Feed(Protocol):
    """Something live that a room adds to the frame all pages share, as ``frame.x[name]``."""

    @property
    def name(self) -> str:
        """Name of its part of the frame."""
        ...

    async def run(self, context: WebContext, nudge: Callable[[], None]) -> None:
        """Follow what it shows until cancelled; ``nudge`` makes the next frame soon."""
        ...

    def part(self, key: tuple[str, ...], full: bool) -> dict[str, Any] | None:
        """Return what people who see the places of ``key`` get: everything, or what changed (None: nothing)."""
        ...

    def settle(self) -> None:
        """Forget the changes once they are in a frame."""
        ...


@dataclass(frozen=True, slots=True)
class Widget:
    """Something a room puts on a page of another: ``place`` is ``overview``; ``build`` gets the view."""

    place: str
    name: str
    build: Callable[..., Any]
    order: int = 100


_routers: list[APIRouter] = []
_pages: dict[str, PageSpec] = {}
_feeds: dict[str, Callable[[], Feed]] = {}
_widgets: dict[tuple[str, str], Widget] = {}


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


def register_feed(name: str, make: Callable[[], Feed]) -> None:
    """Add a live part to the shared frame; ``make`` is called once for each web app."""
    _feeds[name] = make


def register_widget(widget: Widget) -> None:
    """Show ``widget`` on the page it names; a later one of the same name takes its place."""
    _widgets[widget.place, widget.name] = widget


def feeds() -> Sequence[Feed]:
    """Return new feeds, one of each that is registered."""
    return tuple(make() for make in _feeds.values())


def widgets(place: str) -> Sequence[Widget]:
    """Return the widgets of a page, small order first."""
    return tuple(sorted((w for w in _widgets.values() if w.place == place), key=lambda w: (w.order, w.name)))
