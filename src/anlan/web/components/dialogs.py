"""Dialogs: forms whose input survives a lost connection, messages, and things that are told once."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from nicegui import ui
from nicegui.element import Element

from anlan.core.errors import AnlanError
from anlan.web.components import pieces

if TYPE_CHECKING:
    from anlan.web.shell import View


def say(words: str, *, kind: str = "info") -> None:
    """Show a short message; ``kind`` is info, warning or negative."""
    ui.notify(
        words, type=None, color=None, position="bottom-right", classes=f"an-{kind}", timeout=6000, multi_line=True
    )


class Form:
    """A dialog with fields, a cancel and one doing button; errors of the service are shown in it and it stays open.

    Use as a context manager to place fields, then call ``open`` with what to do::

        with Form(view, "title") as form:
            form.text("comment", "Comment")
        form.open(save, "Save")
    """

    def __init__(self, view: View, title: str, *, wide: bool = False, lead: str = "") -> None:
        self._view = view
        self._fields: dict[str, Any] = {}
        with view.client.content:
            self.dialog = ui.dialog()
        with self.dialog, ui.card().classes("dlg wide" if wide else "dlg"):
            pieces.raw(lead + html.escape(title), "header")
            self.body = ui.element("div").classes("in-body")
            with self.body:
                self._problem = pieces.raw("", classes="pill bad hidden").style(
                    "height:auto;white-space:normal;padding:5px 9px"
                )
            self._foot = ui.element("footer")

    def __enter__(self) -> Form:
        self.body.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.body.__exit__(*error)

    def text(self, key: str, label: str, value: str = "", *, area: bool = False, password: bool = False) -> Element:
        """Add a line or an area of text."""
        field: Any = ui.textarea(label, value=value) if area else ui.input(label, value=value, password=password)
        self._fields[key] = field.props("outlined dense autogrow" if area else "outlined dense")
        return self._fields[key]  # type: ignore[no-any-return]  # kept as Any: fields have no common value type

    def number(self, key: str, label: str, value: float | None = None, **limits: float) -> Element:
        """Add a number."""
        self._fields[key] = ui.number(label, value=value, **limits).props("outlined dense")  # type: ignore[arg-type]  # min and max
        return self._fields[key]  # type: ignore[no-any-return]  # as above

    def choice(self, key: str, label: str, options: dict[Any, str], value: Any = None) -> Element:
        """Add a choice of one."""
        self._fields[key] = ui.select(options, label=label, value=value).props("outlined dense options-dense")
        return self._fields[key]  # type: ignore[no-any-return]  # as above

    def pick(self, key: str, label: str, options: dict[Any, str], value: Any = None) -> Element:
        """Add a choice of one out of many, found by typing."""
        field: Any = ui.select(options, label=label, value=value, with_input=True)
        self._fields[key] = field.props("outlined dense options-dense")
        return self._fields[key]  # type: ignore[no-any-return]  # as above

    def check(self, key: str, label: str, value: bool = False) -> Element:
        """Add a box to tick."""
        self._fields[key] = ui.checkbox(label, value=value).props("dense")
        return self._fields[key]  # type: ignore[no-any-return]  # as above

    def note(self, words: str, classes: str = "low") -> None:
        """Add a sentence."""
        pieces.text(words, "div", classes)

    def problem(self, words: str) -> None:
        """Show what is wrong, inside the dialog."""
        self._problem.set_content(html.escape(words))  # type: ignore[attr-defined]  # it is an html element
        self._problem.classes(remove="hidden")

    def show(self) -> None:
        """Show the dialog as something to read, with a button that closes it."""
        with self._foot:
            pieces.button(self._view.t("act.close"), self.dialog.close, main=True)
        self.dialog.on("hide", self.dialog.delete)
        self.dialog.open()

    def open(
        self, act: Callable[[dict[str, Any]], Awaitable[bool | None]], doing: str, *, danger: bool = False
    ) -> None:
        """Show the dialog; ``act`` gets the values and returns False (or raises) to keep it open."""

        async def run() -> None:
            values = {key: field.value for key, field in self._fields.items()}
            try:
                if await act(values) is False:
                    return
            except AnlanError as error:
                self.problem(str(error))
                return
            self.dialog.close()

        with self._foot:
            pieces.button(self._view.t("act.cancel"), self.dialog.close)
            pieces.button(doing, run, main=not danger, danger=danger).props("data-do")
        self.dialog.on("hide", self.dialog.delete)
        self.dialog.open()


def told_once(view: View, title: str, words: str) -> None:
    """Show a secret that is told only now, ready to be copied."""
    with view.client.content:
        dialog = ui.dialog().props("persistent")
    with dialog, ui.card().classes("dlg"):
        pieces.text(title, "header")
        with ui.element("div").classes("in-body"):
            pieces.raw(
                f'<textarea class="in num" readonly rows="{min(10, words.count(chr(10)) + 2)}" style="width:100%" '
                f'onfocus="this.select()">{html.escape(words)}</textarea>'
            )
        with ui.element("footer"):
            pieces.button(view.t("act.close"), dialog.close, main=True)
    dialog.open()
