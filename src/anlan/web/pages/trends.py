"""Trends: many points, limits drawn, zoom to raw, alarm marks, export. The work is done in ``static/pages.js``."""

from __future__ import annotations

from nicegui import ui

from anlan.web.components import live
from anlan.web.shell import View, page_spec


def build(view: View) -> None:
    """Draw the page; the points and the window stand in its address."""
    with ui.element("section").classes("panel grow an-live"):
        live("trends", "body")


PAGE = page_spec("/trends", "trends", build, icon="show_chart", order=30, group="group_monitor")
