"""Pieces of pages: thin wrappers that place an element and say what ``static/anlan.js`` should make of it."""

from anlan.web.components.dialogs import Form, say, told_once
from anlan.web.components.pieces import (
    button,
    chart,
    empty,
    grid,
    kpi,
    kpis,
    link,
    live,
    panel,
    raw,
    set_rows,
    text,
)

__all__ = [
    "Form",
    "button",
    "chart",
    "empty",
    "grid",
    "kpi",
    "kpis",
    "link",
    "live",
    "panel",
    "raw",
    "say",
    "set_rows",
    "text",
    "told_once",
]
