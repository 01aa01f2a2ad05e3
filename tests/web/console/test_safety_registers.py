"""Barriers, work and presence in the console: what a person sees, and does with mouse and keyboard."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.web.console.conftest import Look


def _row(page: Page, key: str, identity: str) -> Locator:
    return page.locator(f'[data-key="{key}"] .ag-center-cols-container [row-id="{identity}"]')


def _verb(page: Page, identity: str, verb: str) -> Locator:
    """Return a button of a row: they stand in a column that stays in view."""
    return page.locator(f'.ag-pinned-right-cols-container [row-id="{identity}"] [data-verb={verb}]')


def test_barriers_are_listed_gravest_first_with_their_reasons(look: Look) -> None:
    watched = look("/registers?tab=barriers")
    page = watched.page
    rows = page.locator('[data-key="barriers"] .ag-center-cols-container [row-id]')
    expect(rows).to_have_count(6)
    order = rows.evaluate_all(
        "nodes => nodes.sort((a, b) => a.offsetTop - b.offsetTop).map(n => n.getAttribute('row-id'))"
    )
    assert order[:2] == ["nh3-esd", "nh3-gas"]
    assert order[-2:] == ["tanks-dike", "cl-scrubber"]
    expect(_row(page, "barriers", "nh3-esd")).to_contain_text("试验：关阀 42 s")
    expect(_row(page, "barriers", "nh3-gas")).to_contain_text("旁路：探头更换")
    expect(_row(page, "barriers", "nh3-gas")).to_contain_text("坏：传感器故障")
    expect(_row(page, "barriers", "tanks-dike")).to_contain_text("尚无试验")
    page.click("a.mini:has-text('仅异常')")
    page.wait_for_url("**impaired=1")
    expect(rows).to_have_count(4)
    assert watched.errors == []


def test_a_barrier_is_reported_by_an_operator_and_restored_by_an_engineer(look: Look) -> None:
    page = look("/registers?tab=barriers", who="wang").page
    row = _row(page, "barriers", "cl-scrubber")
    _verb(page, "cl-scrubber", "report").click()
    page.click("[data-do]")
    expect(page.locator(".dlg .pill.bad")).to_contain_text("请填写原因")
    page.locator(".dlg textarea").first.fill("碱液泵跳停")
    page.click("[data-do]")
    expect(row).to_contain_text("报告：碱液泵跳停")
    expect(_verb(page, "cl-scrubber", "restore")).to_be_disabled()
    page = look("/registers?tab=barriers", who="chen").page
    row = _row(page, "barriers", "cl-scrubber")
    _verb(page, "cl-scrubber", "restore").click()
    page.locator(".dlg textarea").first.fill("换泵，试运行正常")
    page.click("[data-do]")
    expect(row).to_contain_text("正常")
    expect(_verb(page, "cl-scrubber", "report")).to_be_enabled()


def test_a_failed_test_is_ended_by_a_passed_one_with_the_keyboard(look: Look) -> None:
    watched = look("/registers?tab=barriers", who="chen")
    page = watched.page
    row = _row(page, "barriers", "nh3-overfill")
    expect(row).to_contain_text("逾期未试")
    page.locator('.ag-pinned-right-cols-container [row-id="nh3-overfill"] [col-id="act"]').click(
        position={"x": 3, "y": 3}
    )
    page.keyboard.press("Enter")
    expect(_verb(page, "nh3-overfill", "test")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(_verb(page, "nh3-overfill", "report")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator(".dlg header")).to_contain_text("记录试验：液氨储罐防溢流保护")
    page.click("[data-do]")
    expect(page.locator(".dlg")).to_have_count(0)
    expect(row).to_contain_text("正常")
    row.locator('[col-id="name"]').click()
    expect(page.locator(".dlg")).to_contain_text("试验通过")
    page.keyboard.press("Escape")
    expect(page.locator(".dlg")).to_have_count(0)
    assert watched.errors == []


def test_work_is_entered_and_finished(look: Look) -> None:
    watched = look("/registers?tab=work")
    page = watched.page
    rows = page.locator('[data-key="work"] .ag-center-cols-container [row-id]')
    expect(rows).to_have_count(3)
    expect(_row(page, "work", "w2")).to_contain_text("超时")
    page.click("button:has-text('登记作业')")
    page.click("[data-do]")
    expect(page.locator(".dlg .pill.bad")).to_contain_text("请选择地点")
    place = page.locator(".dlg input[aria-label='地点']")
    place.fill("液氨罐区")
    page.locator(".q-menu .q-item").first.click()
    page.locator(".dlg input[aria-label='作业票号（如有）']").fill("DH-7")
    page.click("[data-do]")
    new = rows.filter(has_text="DH-7")
    expect(new).to_contain_text("液氨罐区")
    expect(new).to_contain_text("作业中")
    _verb(page, new.get_attribute("row-id") or "", "finish").click()
    page.click("[data-do]")
    expect(rows).to_have_count(3)
    assert watched.errors == []


def test_people_are_counted(look: Look) -> None:
    watched = look("/registers?tab=presence")
    page = watched.page
    row = _row(page, "presence", "haian/utilities")
    expect(row).to_contain_text("未清点")
    _verb(page, "haian/utilities", "count").click()
    page.locator(".dlg input[type=number]").first.fill("9")
    page.click("[data-do]")
    expect(row.locator('[col-id="count"]')).to_have_text("9")
    _verb(page, "haian/utilities", "history").click()
    expect(page.locator(".dlg")).to_contain_text("wang")
    assert watched.errors == []


def test_a_person_who_may_not_sees_why(look: Look) -> None:
    page = look("/registers?tab=presence", who="guest").page
    count = _verb(page, "donghua/tanks", "count")
    expect(count).to_be_disabled()
    expect(count).to_have_attribute("title", "您的角色在此处不能登记人数")
