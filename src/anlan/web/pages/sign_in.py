"""Sign-in and first password: plain pages without the toolkit's socket, for nobody is signed in yet."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

from anlan.web import i18n, theme

if TYPE_CHECKING:
    from anlan.web.context import WebContext


def _page(language: str, chosen: str, title: str, body: str, words: dict[str, str]) -> HTMLResponse:
    tag = "zh-CN" if language == "zh" else "en"
    return HTMLResponse(
        f'<!doctype html><html lang="{tag}"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="/static/favicon.svg">{theme.head(language, chosen)}</head>'
        f'<body class="body--{chosen}"><div class="sign">{body}</div>'
        f"<script>window.ANLAN_WORDS = {_script(words)}</script>"
        f'<script src="/static/sign_in.js?v={theme.version()}"></script></body></html>',
        headers={"Cache-Control": "no-store"},
    )


def _tools(language: str) -> str:
    t = i18n.translator(language)
    other = "en" if language == "zh" else "zh"
    return f'<a href="#" id="language" data-value="{other}">{html.escape(t("head.language"))}</a>'


def _field(name: str, label: str, kind: str = "text", more: str = "") -> str:
    return (
        f'<label class="field">{html.escape(label)}<input class="in" name="{name}" type="{kind}" {more} '
        f'aria-label="{html.escape(label)}"></label>'
    )


def sign_in_page(context: WebContext, language: str, chosen: str) -> HTMLResponse:
    """Return the sign-in page."""
    t = i18n.translator(language)
    plant = context.plant.plant
    site = ""
    if plant is not None:
        site = plant.site.name if language == "zh" else plant.site.name_en or plant.site.name
    extra = context.settings.extra
    oidc = ""
    if extra.get("oidc_issuer"):
        name = extra.get("oidc_name", t("sign.oidc"))
        oidc = f'<a class="btn" id="oidc" href="/oidc/start">{html.escape(name)}</a>'
    body = (
        f'<form id="form" autocomplete="on"><h1><img src="/static/favicon.svg" alt="">{html.escape(t("app.name"))}</h1>'
        f'<div class="site">{html.escape(site or t("app.subtitle"))}</div><div class="err" id="err" role="alert"></div>'
        + _field("login", t("sign.login"), more='autocomplete="username" autofocus required')
        + _field("password", t("sign.password"), "password", 'autocomplete="current-password" required')
        + '<div id="more" class="hidden">'
        + _field("code", t("sign.code"), more='inputmode="numeric" autocomplete="one-time-code"')
        + f'</div><button class="btn main" type="submit">{html.escape(t("sign.enter"))}</button>{oidc}'
        f'<div class="foot"><span>{html.escape(t("sign.advisory"))}</span>{_tools(language)}</div>'
        f'<div class="foot"><span>{html.escape(t("sign.first"))}</span></div></form>'
    )
    words = {key: t(f"sign.{key}") for key in ("refused", "wait", "unreachable", "code_needed")}
    return _page(language, chosen, f"{t('sign.title')} · {t('app.name')}", body, words)


def password_page(context: WebContext, language: str, chosen: str) -> HTMLResponse:
    """Return the page on which a new password is chosen."""
    t = i18n.translator(language)
    body = (
        f'<form id="form"><h1>{html.escape(t("account.change_password"))}</h1>'
        f'<div class="site">{html.escape(t("account.must_change"))}</div><div class="err" id="err" role="alert"></div>'
        + _field("current", t("account.current"), "password", 'autocomplete="current-password" autofocus required')
        + _field("new", t("account.new"), "password", 'autocomplete="new-password" required')
        + _field("again", t("account.again"), "password", 'autocomplete="new-password" required')
        + f'<button class="btn main" type="submit">{html.escape(t("act.save"))}</button>'
        f'<div class="foot"><span></span>{_tools(language)}</div></form>'
    )
    words = {key: t(f"sign.{key}") for key in ("refused", "wait", "unreachable")} | {"differ": t("account.differ")}
    title = f"{t('account.change_password')} · {t('app.name')}"
    return _page(language, chosen, title, body, words)


def _script(words: dict[str, str]) -> str:
    return json.dumps(words).replace("<", "\\u003c")
