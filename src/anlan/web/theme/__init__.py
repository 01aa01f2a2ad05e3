"""The look: one style sheet for dark and light, icons, and the heads of plain pages. See ``static/anlan.css``."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "static"
THEMES = ("dark", "light")
SCRIPTS = ("anlan.js", "map.js", "pages.js", "warn.js")


@lru_cache(maxsize=1)
def version() -> str:
    """Return a short hash of the static files, so that browsers may keep them for ever."""
    total = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        total.update(path.read_bytes())
    return total.hexdigest()[:10]


def head(language: str, theme: str) -> str:
    """Return the head of a plain page: style sheet and theme, no scripts."""
    tag = "zh-CN" if language == "zh" else "en"
    return (
        f"<script>document.documentElement.dataset.theme={theme!r};document.documentElement.lang={tag!r}</script>"
        f'<link rel="stylesheet" href="/static/anlan.css?v={version()}">'
    )


def icon(name: str) -> str:
    """Return an icon of the icon font that the toolkit's wheel carries."""
    return f'<i class="material-icons-outlined" aria-hidden="true" style="font-size:22px">{name}</i>'
