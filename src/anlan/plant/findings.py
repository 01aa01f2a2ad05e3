"""What can be wrong in a site file, said in Chinese and English with what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import msgspec

from anlan.core.errors import InvalidInputError


class _Message(msgspec.Struct, frozen=True):
    zh: str
    fix_zh: str
    en: str
    fix: str
    severity: str = "error"


@cache
def messages() -> dict[str, _Message]:
    """Return the texts of all message codes, from ``plant/messages.yaml``."""
    import yaml

    text = files("anlan.plant").joinpath("messages.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), dict[str, _Message])


_HINT = ("是 {guess} 吗?", "did you mean {guess}?")


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong: where, what, and what would be right, in both languages.

    ``severity`` is ``error`` (the site is refused) or ``warning`` (it is accepted).
    """

    file: str
    line: int
    field: str
    code: str
    severity: str
    message: str
    fix: str
    message_zh: str
    fix_zh: str

    @property
    def where(self) -> str:
        """Return file, line and field."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} {self.field}" if self.field else place

    def text(self, language: str = "en") -> str:
        """Return the finding as one line for people."""
        if language == "zh":
            return f"{self.where}:{self.message_zh}({self.fix_zh})"
        return f"{self.where}: {self.message} ({self.fix})"


class SiteFileError(InvalidInputError):
    """A site that cannot be used; ``findings`` holds everything wrong with it, not only the first thing."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        errors = [finding for finding in findings if finding.severity == "error"]
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(first.message + more, where=first.where, fix=first.fix)
        self.findings = findings

    def problem(self) -> dict[str, object]:
        """Return the problem document with all findings."""
        return {**super().problem(), "findings": [msgspec.to_builtins(finding) for finding in self.findings]}


def finding(code: str, file: str, line: int, field: str = "", /, **params: object) -> Finding:
    """Return the finding of a message code with its parameters filled in."""
    message, filled = messages()[code], _Shortened(params)
    return Finding(
        file=file,
        line=line,
        field=field,
        code=code,
        severity=message.severity,
        message_zh=message.zh.format_map(filled),
        fix_zh=message.fix_zh.format_map(filled),
        message=message.en.format_map(filled),
        fix=message.fix.format_map(filled),
    )


class _Shortened(dict[str, object]):
    """Parameters as text, cut so that a hostile value cannot flood the report."""

    def __getitem__(self, key: str) -> str:
        text = str(super().__getitem__(key))
        return text if len(text) <= 300 else text[:297] + "…"


def guess(wrong: str, known: Iterable[str]) -> dict[str, str]:
    """Return ``hint`` and ``hint_zh``: the nearest of the ``known`` words, or the first of them."""
    from difflib import get_close_matches

    words = list(known)
    near = get_close_matches(wrong, words, n=1, cutoff=0.6) if len(words) <= 5000 else _same_ending(wrong, words)
    if near:
        return {"hint_zh": _HINT[0].format(guess=near[0]), "hint": _HINT[1].format(guess=near[0])}
    if not words:
        return {"hint_zh": "这里还没有可用的", "hint": "there are none yet"}
    some = ", ".join(words[:30]) + (" …" if len(words) > 30 else "")
    return {"hint_zh": f"可用:{some}", "hint": f"one of {some}"}


def _same_ending(wrong: str, words: list[str]) -> list[str]:
    """Return a word that ends like ``wrong``: on big sites comparing with every point would take minutes."""
    ending = wrong.rpartition("/")[2]
    return [word for word in words if word.rpartition("/")[2] == ending][:1]
