"""Texts people see, Chinese and English side by side, one TOML file an area: ``key = ["中文", "English"]``.

Python and the browser read the same catalogue; a test holds that no key is missing and no Chinese stands elsewhere.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import msgspec

LANGUAGES = ("zh", "en")
Translate = Callable[..., str]


@lru_cache(maxsize=1)
def catalogue() -> dict[str, tuple[str, str]]:
    """Return every text by its full key, ``table.key``."""
    texts: dict[str, tuple[str, str]] = {}
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for table, entries in tomllib.loads(path.read_text(encoding="utf-8")).items():
            for key, pair in entries.items():
                full = f"{table}.{key}"
                if full in texts:
                    raise ValueError(f"{path.name}: {full} stands twice")
                chinese, english = pair
                texts[full] = (chinese, english)
    return texts


@lru_cache(maxsize=2)
def texts(language: str) -> dict[str, str]:
    """Return the texts of one language by key."""
    column = LANGUAGES.index(language)
    return {key: pair[column] for key, pair in catalogue().items()}


def translator(language: str) -> Translate:
    """Return ``t(key, **values)`` for a language; a key that is missing comes back as itself."""
    table = texts(language if language in LANGUAGES else "zh")

    def translate(key: str, /, **values: object) -> str:
        text = table.get(key, key)
        return text.format(**values) if values else text

    return translate


@lru_cache(maxsize=2)
def script(language: str) -> bytes:
    """Return the catalogue of a language as a script for the browser."""
    return b"window.ANLAN_TEXTS = " + msgspec.json.encode(texts(language)) + b";\n"


@lru_cache(maxsize=2)
def script_version(language: str) -> str:
    """Return a short hash of the script, so that browsers may keep it."""
    return hashlib.sha256(script(language)).hexdigest()[:10]
