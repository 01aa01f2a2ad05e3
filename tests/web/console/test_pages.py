"""Every page opens for every role that may see it: no script error, no request that leaves the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.web.console.conftest import Console, Look

PAGES = (
    "/",
    "/alarms",
    "/alarms?tab=shelved",
    "/alarms?tab=journal",
    "/trends",
    "/plant?point=donghua/tanks/nh3/at2",
    "/connectors",
    "/performance",
    "/warnings",
    "/warnings?tab=missed",
    "/warnings/w-gas",
    "/risk",
    "/models",
    "/models?id=predicted-alarm",
    "/features?id=gas.rise",
    "/floods",
    "/floods?tab=proposals",
    "/shift",
    "/registers",
    "/registers?tab=bypasses",
    "/registers?tab=work",
    "/registers?tab=presence",
    "/registers?tab=calibrations",
    "/registers?tab=changes",
    "/health",
    "/account",
)
ADMIN = ("/admin", "/admin?tab=tokens", "/admin?tab=sessions", "/admin?tab=audit")
SIZES = ((1920, 1080), (1366, 768))


@pytest.mark.parametrize(("theme", "lang", "size"), [("dark", "zh", SIZES[0]), ("light", "en", SIZES[1])])
def test_every_page_opens_without_errors_and_without_leaving_the_machine(
    look: Look, console: Console, tmp_path: Path, theme: str, lang: str, size: tuple[int, int]
) -> None:
    watched = look("/", who="admin", theme=theme, lang=lang, size=size)
    for path in (*PAGES, *ADMIN):
        watched.page.goto(console.url + path)
        watched.page.wait_for_function("Number(document.body.dataset.frames || 0) >= 1", timeout=20_000)
        watched.page.wait_for_function(
            "[...document.querySelectorAll('[data-an]')].every((e) => e._on)", timeout=10_000
        )
        name = path.strip("/").replace("?", "-").replace("/", "_").replace("=", "-") or "overview"
        watched.page.screenshot(path=tmp_path / f"{name}.png")
        assert watched.page.evaluate("document.documentElement.scrollHeight <= innerHeight"), f"{path} scrolls"
        assert watched.errors == [], path
    assert len(list(tmp_path.glob("*.png"))) == len(PAGES) + len(ADMIN)


@pytest.mark.parametrize("who", ["wang", "chen", "zhou", "audit", "guest", "tank"])
def test_each_role_sees_the_overview_and_only_its_pages(look: Look, who: str) -> None:
    watched = look("/", who=who)
    links = watched.page.locator("nav.an-nav a").evaluate_all("nodes => nodes.map(n => n.getAttribute('href'))")
    assert {"/", "/alarms", "/trends", "/plant", "/health"} <= set(links)
    assert ("/admin" in links) == (who in ("zhou", "audit"))
    assert watched.errors == []


def test_a_page_a_role_may_not_see_says_so(look: Look) -> None:
    watched = look("/admin", who="wang")
    expect(watched.page.locator("main .empty")).to_contain_text("您的角色不能查看此页")


def test_anonymous_people_get_to_the_sign_in_page_and_back(look: Look, console: Console) -> None:
    watched = look("/alarms?tab=journal", who="", frames=0)
    assert watched.page.url.startswith(console.url + "/login")
    watched.page.fill("[name=login]", "wang")
    watched.page.fill("[name=password]", "wrong-password-1")
    watched.page.click("button[type=submit]")
    expect(watched.page.locator("#err")).to_contain_text("不正确")
    watched.page.fill("[name=password]", "harbour-crane-41-lantern")
    watched.page.click("button[type=submit]")
    watched.page.wait_for_url("**/alarms?tab=journal")


def test_the_language_button_turns_every_text(look: Look) -> None:
    watched = look("/", lang="zh")
    expect(watched.page.locator("nav.an-nav")).to_contain_text("报警")
    watched.page.click("#an-language")
    # A locator outlives the reload that the click begins; a polled script may meet a page without a root.
    expect(watched.page.locator("html")).to_have_attribute("lang", "en")
    expect(watched.page.locator("nav.an-nav")).to_contain_text("Alarms")
    expect(watched.page.locator(".an-site")).to_contain_text("Donggang Chemical Park")
    watched.page.click("#an-theme")
    expect(watched.page.locator("html")).to_have_attribute("data-theme", "light")


def test_search_finds_a_point_by_tag_with_the_keyboard(look: Look) -> None:
    watched = look("/")
    watched.page.keyboard.press("Control+k")
    watched.page.keyboard.type("AT-5014")
    expect(watched.page.locator(".an-search li.on")).to_contain_text("AT-5014")
    watched.page.keyboard.press("Enter")
    watched.page.wait_for_url("**/plant?point=**")
    expect(watched.page.locator("#pl-detail")).to_contain_text("donghua/tanks/nh3/at2")


def test_the_map_leads_to_a_unit(look: Look) -> None:
    watched = look("/")
    page = watched.page
    page.wait_for_selector(".map[data-ready]")
    x, y = page.evaluate("anlan.map.unit('donghua/tanks/wwt')")
    box = page.locator(".map canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x + 3, box["y"] + y + 3)
    expect(page.locator(".map .tip")).to_be_visible()
    page.mouse.click(box["x"] + x + 3, box["y"] + y + 3)
    page.wait_for_url("**/plant?**")


def test_trends_draw_read_and_export(look: Look, console: Console) -> None:
    watched = look("/trends?points=4,1")
    page = watched.page
    page.wait_for_selector("[data-an=trends][data-ready]")
    assert page.evaluate("anlan.trend.data.get(4).t.length") > 200
    page.fill("#tr-add", "LT-5003")
    page.keyboard.press("Enter")
    page.wait_for_function("anlan.trend.shown.points.length === 3")
    assert "points=4%2C1%2C" in page.url or "points=4,1," in page.url
    csv = page.context.request.get(console.url + page.locator("#tr-csv").get_attribute("href"))  # type: ignore[operator]  # it has one
    assert csv.ok
    lines = csv.body().decode("utf-8-sig").splitlines()
    assert lines[0] == "time,time_us,path,tag,value,unit,quality"
    assert len(lines) > 1000
    parquet = page.context.request.get(console.url + page.locator("#tr-parquet").get_attribute("href"))  # type: ignore[operator]  # as above
    assert parquet.body()[:4] == b"PAR1"
    assert watched.errors == []
