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
    priority_shape,
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
    "priority_shape",
    "raw",
    "say",
    "set_rows",
    "text",
    "told_once",
]
