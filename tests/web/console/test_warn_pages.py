"""Early warning in the console: what a person sees of warnings, risk, models, features and floods, and does."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from anlan.warn.page_floods import aligned
from anlan.warn.page_models import bins
from tests.web.console.conftest import Console, Look

NH3 = "donghua/tanks/nh3"
LIST = '[data-key="warnings"]'


def _row(page: Page, key: str, identity: str) -> Locator:
    return page.locator(f'[data-key="{key}"] .ag-center-cols-container [row-id="{identity}"]')


def test_warnings_stand_gravest_first_and_say_why(look: Look) -> None:
    watched = look("/warnings", who="guest")
    page = watched.page
    expect(page.locator(LIST)).to_have_attribute("data-order", re.compile(r"^w-gas\|w-level\|w-pump\|w-loop"))
    expect(_row(page, "warnings", "w-gas")).to_contain_text("红色")
    expect(_row(page, "warnings", "w-gas").locator('[col-id="lead"]')).to_have_text(re.compile(r"\d:\d\d"))
    card = page.locator("[data-an=warncard]")
    expect(card).to_contain_text("液氨罐区两台探测器")
    expect(card).to_contain_text("AT-5014")
    expect(card.locator('[data-wv="confirm"]')).to_be_disabled()
    page.fill("#wa-filter", "装船泵")
    expect(page.locator(LIST)).to_have_attribute("data-order", "w-pump")
    assert watched.errors == []


def test_a_warning_is_judged_with_the_keyboard_alone(look: Look) -> None:
    watched = look("/warnings")
    page = watched.page
    card = page.locator("[data-an=warncard]")
    expect(card).to_contain_text("液氨罐区")
    page.keyboard.press("j")
    expect(card).to_contain_text("3号液位")
    page.keyboard.press("k")
    expect(card).to_contain_text("液氨罐区")
    for _ in range(3):
        page.keyboard.press("j")
    expect(card).to_contain_text("乙烯裂解装置")
    page.keyboard.press("a")
    expect(card).to_contain_text("wang")
    page.keyboard.press("d")
    page.click("[data-do]")
    expect(page.locator(".dlg .pill.bad")).to_contain_text("请填写原因")
    page.locator(".dlg textarea").first.fill("已查：仪表气源波动")
    page.click("[data-do]")
    expect(_row(page, "warnings", "w-loop")).to_contain_text("已排除")
    expect(page.locator(".q-dialog")).to_have_count(0)
    page.keyboard.press("Enter")
    page.wait_for_url("**/warnings/w-loop")
    expect(page.locator("#wd-history")).to_contain_text("仪表气源波动")
    assert watched.errors == []


def test_the_detail_shows_evidence_likes_and_what_next(look: Look, console: Console) -> None:
    watched = look("/warnings/w-gas", lang="en")
    page = watched.page
    page.wait_for_selector("[data-an=warndetail][data-ready]")
    expect(page.locator("#wd-labels")).to_contain_text("Toxic gas 2")
    expect(page.locator("#wd-labels")).to_contain_text("52 %")
    expect(page.locator("#wd-why")).to_contain_text("Gas detector cluster rise")
    expect(page.locator("#wd-similar")).to_contain_text("Averted")
    expect(page.locator("#wd-next")).to_contain_text("portable detector")
    expect(page.locator("#wd-history")).to_contain_text("Escalated")
    page.keyboard.press("c")
    page.click("[data-do]")
    expect(page.locator("#wd-head")).to_contain_text("Confirmed")
    page.goto(console.url + "/warnings/w-pump")
    page.wait_for_selector("[data-an=warndetail][data-ready]")
    page.keyboard.press("x")
    page.locator(".dlg textarea").first.fill("Wear ring of the pump replaced")
    page.locator(".dlg .q-checkbox").click()
    page.click("[data-do]")
    expect(page.locator("#wd-head")).to_contain_text("Closed")
    expect(page.locator("#wd-history")).to_contain_text("Wear ring of the pump replaced")
    assert watched.errors == []


def test_closed_shadow_and_missed_have_views_of_their_own(look: Look, console: Console) -> None:
    watched = look("/warnings?tab=closed")
    page = watched.page
    expect(_row(page, "warnings", "w-old")).to_contain_text("已避免")
    page.goto(console.url + "/warnings?tab=shadow")
    expect(_row(page, "warnings", "w-shadow")).to_contain_text("影子模型")
    page.goto(console.url + "/warnings?tab=missed")
    expect(_row(page, "missed", "e1")).to_contain_text("装卸车台")
    assert watched.errors == []


def test_a_person_of_one_area_sees_only_its_warnings_and_colours(look: Look) -> None:
    page = look("/warnings", who="tank").page
    expect(page.locator(LIST)).to_have_attribute("data-order", re.compile("w-level"))
    order = page.locator(LIST).get_attribute("data-order") or ""
    assert "w-pump" not in order
    page.wait_for_function("anlan.warn.col.size > 0")
    assert page.evaluate("[...anlan.warn.col.keys()].every(p => p.startsWith('donghua/tanks'))")
    assert page.evaluate("fetch('/api/v1/warnings/w-pump').then(r => r.status)") == 404


def test_risk_is_mapped_rolled_up_and_explained(look: Look) -> None:
    watched = look("/risk")
    page = watched.page
    why = page.locator("[data-an=riskwhy]")
    expect(why).to_have_attribute("data-path", NH3)
    expect(why).to_contain_text("GB 18218-2018")
    expect(why).to_contain_text("+36.0")
    expect(why.locator('a[href="/warnings/w-gas"]')).to_be_visible()
    expect(page.locator("[data-an=riskreds] .mini.red")).to_contain_text("液氨罐区")
    tree = page.locator("[data-an=risktree]")
    expect(tree.locator('[data-path="donghua"] .pill')).to_have_text("1 1")
    x, y = page.evaluate("anlan.map.unit('donghua/tanks/lpg')")
    page.locator(".map canvas").click(position={"x": x, "y": y + 20})
    expect(why).to_have_attribute("data-path", "donghua/tanks/lpg")
    tree.locator('[data-path=""]').click()
    expect(why).to_contain_text("来自下级单元")
    page.click('.layers [data-layer="alarms"]')
    expect(page.locator('.layers [data-layer="alarms"]')).to_have_attribute("aria-pressed", "true")
    assert watched.errors == []


def test_what_is_predicted_stands_on_the_overview_and_as_a_cone_on_its_trend(look: Look) -> None:
    watched = look("/")
    page = watched.page
    strip = page.locator("[data-an=warnstrip]")
    expect(strip).to_contain_text("重大风险 1 个： 液氨罐区")
    expect(strip.locator(".ws-open")).to_have_attribute("href", "/warnings")
    strip.locator("a", has_text="LT-7023 HH").click()
    page.wait_for_url("**/trends?points=**")
    cone = "s => /^cone.*w$/.test(s.id) && s.data.length > 5"
    page.wait_for_function(f"anlan.trend?.chart.getOption()?.series?.some({cone})")
    option = page.evaluate("anlan.trend.chart.getOption()")
    median = next(series for series in option["series"] if re.fullmatch(r"cone\d+m", series["id"]))
    assert "HH" in median["markPoint"]["data"][0]["label"]["formatter"]
    assert option["xAxis"][0]["max"] > page.evaluate("anlan.now() / 1000")
    assert watched.errors == []


def test_models_have_score_sheets_and_are_put_live_with_a_reason(look: Look, console: Console) -> None:
    watched = look("/models", who="chen")
    page = watched.page
    expect(_row(page, "models", "valves-and-loops@1")).to_contain_text("不达标")
    expect(_row(page, "models", "predicted-alarm@1")).to_contain_text("79 %")
    _row(page, "models", "predicted-alarm@1").locator("a").click()
    expect(page.locator("table.sheet")).to_contain_text("影子")
    page.locator('[data-row="2"][data-verb="live"]').click()
    page.click("[data-do]")
    expect(page.locator(".dlg .pill.bad")).to_contain_text("请填写原因")
    page.locator(".dlg textarea").first.fill("影子运行两周，误报更少")
    page.click("[data-do]")
    expect(_row(page, "versions", "2")).to_contain_text("在用")
    page.click("button:has-text('试算')")
    expect(page.locator("[data-trial]")).to_contain_text("50 %")
    assert watched.errors == []
    page = look("/models?id=predicted-alarm", who="wang").page
    expect(page.locator('[data-row="1"][data-verb="retire"]')).to_be_disabled()


def test_features_say_where_they_run_and_why_not(look: Look) -> None:
    watched = look("/features?id=gas.rise")
    page = watched.page
    side = page.locator(".panel.keep .body")
    expect(side).to_contain_text("正在学习正常基线")
    expect(side).to_contain_text("AT-5014")
    page.fill("#fe-filter", "阀门卡涩")
    rows = page.locator('[data-key="features"] .ag-center-cols-container [row-id]')
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(side).to_contain_text("缺少 泵电流")
    assert watched.errors == []


def test_a_flood_stands_beside_its_like_and_a_proposal_becomes_a_change(look: Look, console: Console) -> None:
    watched = look("/floods", who="chen")
    page = watched.page
    expect(_row(page, "floods", "tank-desk@2")).to_contain_text("71 %")
    table = page.locator("table.flood")
    expect(table.locator("tr.both")).to_have_count(7)
    expect(table).to_contain_text("根源")
    page.goto(console.url + "/floods?tab=proposals")
    alarm = "haian/utilities/util/tt3.H"
    expect(_row(page, "proposals", alarm)).to_contain_text("61 → 9")
    page.locator(f'[data-row="{alarm}"]').click()
    expect(page.locator(".dlg")).to_contain_text("2.1 → 4 °C")
    page.click("[data-do]")
    expect(page.locator(".dlg")).to_have_count(0)
    page.goto(console.url + "/registers?tab=changes")
    rows = page.locator('[data-key="changes"] .ag-center-cols-container [row-id]')
    expect(rows.filter(has_text="deadband").filter(has_text="util/tt3")).to_have_count(1)
    assert watched.errors == []


@pytest.mark.parametrize(
    ("left", "right", "pairs"),
    [("abc", "ac", [(0, 0), (1, None), (2, 1)]), ("", "a", [(None, 0)]), ("ab", "ba", [(0, None), (1, 0), (None, 1)])],
)
def test_sequences_are_aligned_by_what_they_share(
    left: str, right: str, pairs: list[tuple[int | None, int | None]]
) -> None:
    assert aligned(left, right) == pairs


def test_lead_times_fall_into_their_bins() -> None:
    assert bins([30_000_000, 300_000_000, 301_000_000, 10**12]) == [1, 1, 1, 0, 0, 0, 1]
