"""The alarm list: order, acknowledging, shelving, the frozen banner, what a role may do."""

from __future__ import annotations

import re
import signal
import time

import msgspec
import pytest
from playwright.sync_api import expect

from tests.web.console.conftest import Console, Look

ACTIVE_RED = "donghua/tanks/nh3/at2.HH"
ORDER = '[data-an="alarms"]'


def order(page: object) -> list[str]:
    return page.locator(ORDER).get_attribute("data-order").split("|")  # type: ignore[attr-defined, no-any-return]  # a Playwright page


def rank(row: dict[str, object]) -> tuple[object, ...]:
    return (not row.get("active"), row["priority"], row["acknowledged"])


def test_active_stand_before_cleared_then_priority_then_unacknowledged(look: Look) -> None:
    watched = look("/alarms")
    watched.page.wait_for_selector(f"{ORDER}[data-order]")
    shown = order(watched.page)
    rows = watched.page.evaluate("[...anlan.alarms.values()]")
    by_id = {row["alarm"]: row for row in rows}
    assert len(shown) == len(rows) >= 10
    assert shown[0] == ACTIVE_RED
    ranks = [rank(by_id[alarm]) for alarm in shown]
    assert ranks == sorted(ranks)  # type: ignore[type-var]  # booleans and numbers


def test_another_sort_cannot_hide_an_active_critical_alarm(look: Look) -> None:
    watched = look("/alarms")
    page = watched.page
    page.wait_for_selector(f"{ORDER}[data-order]")
    page.locator('.ag-header-cell[col-id="unit_name"]').click()
    expect(page.locator(".ag-floating-top .ag-row").first).to_contain_text("AT-5014")


def test_one_is_acknowledged_by_key_with_a_comment_and_leaves_the_order_intact(look: Look) -> None:
    watched = look("/alarms?alarm=haian/utilities/util/tt3.H")
    page = watched.page
    expect(page.locator(".guide h3")).to_contain_text("3号温度")
    page.locator("body").press("a")
    dialog = page.locator(".dlg")
    expect(dialog).to_contain_text("haian/utilities/util/tt3.H")
    dialog.locator("textarea").fill("已通知外操检查")
    dialog.locator("[data-do]").click()
    page.wait_for_function("anlan.alarms.get('haian/utilities/util/tt3.H')?.acknowledged === true", timeout=8_000)
    assert page.evaluate("anlan.alarms.get('haian/utilities/util/tt3.H').comment") == "已通知外操检查"
    assert order(page)[0] == ACTIVE_RED
    expect(page.locator(".guide .hist")).to_contain_text("已通知外操检查")
    assert watched.errors == []


def test_a_critical_alarm_takes_a_reason_and_a_second_step_and_stays_on_top(look: Look) -> None:
    watched = look(f"/alarms?alarm={ACTIVE_RED}", lang="en")
    page = watched.page
    expect(page.locator(".guide h3")).to_contain_text("Toxic gas 2")
    page.locator(".guide [data-ack]").click()
    dialog = page.locator(".dlg")
    dialog.locator("[data-do]").click()
    expect(dialog).to_contain_text("Give a reason")
    dialog.locator("textarea").fill("Field operator sent with breathing apparatus")
    dialog.locator("[data-do]").click()
    expect(dialog).to_contain_text("Confirm the check first")
    dialog.locator(".q-checkbox").click()
    dialog.locator("[data-do]").click()
    page.wait_for_function(f"anlan.alarms.get('{ACTIVE_RED}')?.acknowledged === true", timeout=8_000)
    expect(page.locator(ORDER)).to_have_attribute("data-order", re.compile("^" + re.escape(ACTIVE_RED)))


def test_many_are_acknowledged_at_once(look: Look) -> None:
    watched = look("/alarms")
    page = watched.page
    page.wait_for_selector(f"{ORDER}[data-order]")
    page.fill("#al-filter", "环氧乙烷")
    page.wait_for_function(f"document.querySelector('{ORDER}').dataset.order.split('|').every(a => a.includes('/eo/'))")
    page.locator(".ag-header-select-all").click()
    page.locator('[data-all="acknowledge"]').click()
    page.locator(".dlg [data-do]").click()
    page.wait_for_function("![...anlan.alarms.keys()].some(a => a.includes('/eo/'))", timeout=8_000)
    assert watched.errors == []


def test_shelving_offers_only_what_the_policy_allows(look: Look) -> None:
    watched = look("/alarms?alarm=haian/chlor/cl/at1.HH", lang="en")
    page = watched.page
    expect(page.locator(".guide h3")).to_be_visible()
    page.locator("body").press("s")
    dialog = page.locator(".dlg")
    expect(dialog).to_contain_text("Longest shelving for this priority: 30 min")
    dialog.locator(".q-select").click()
    expect(page.locator(".q-menu .q-item")).to_have_text(["5 min", "15 min", "30 min"])
    page.keyboard.press("Escape")


@pytest.mark.parametrize("who", ["audit", "guest"])
def test_those_who_only_look_find_the_acts_disabled_with_the_reason(look: Look, who: str) -> None:
    watched = look("/alarms", who=who)
    button = watched.page.locator('[data-all="acknowledge"]')
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", "您的角色不能确认报警")


def test_a_forged_act_of_one_who_only_looks_changes_nothing(look: Look) -> None:
    watched = look("/alarms", who="guest")
    page = watched.page
    page.wait_for_selector(f"{ORDER}[data-order]")
    alarm = "donghua/tanks/lpg/lt3.H"
    page.evaluate(
        f"emitEvent('an_act', {{verb: 'acknowledge', rows: [{{alarm: '{alarm}', instance: 'x', priority: 3}}]}})"
    )
    page.locator(".dlg [data-do]").click()
    expect(page.locator(".dlg")).to_contain_text("may not")
    assert page.evaluate(f"anlan.alarms.get('{alarm}').acknowledged") is False


def test_a_person_of_one_area_gets_only_its_alarms_points_and_values(look: Look) -> None:
    watched = look("/alarms", who="tank")
    page = watched.page
    page.wait_for_selector(f"{ORDER}[data-order]")
    paths = page.evaluate("[...anlan.alarms.values()].map(r => r.path)")
    assert paths
    assert all(path.startswith("donghua/tanks/") for path in paths)
    assert page.evaluate("anlan.plant.points.every(p => p.path.startsWith('donghua/tanks/'))")
    assert page.evaluate("fetch('/console/series?points=1&start=1&end=2').then(r => r.status)") == 404
    assert page.evaluate("fetch('/console/alarm?id=haian/utilities/util/tt3.H').then(r => r.status)") == 404


def test_a_blocked_sound_is_shown_and_the_test_button_unblocks_it(look: Look) -> None:
    watched = look("/alarms")
    page = watched.page
    expect(page.locator("#an-sound")).to_have_attribute("data-state", "blocked")
    page.locator("#al-sound").click()
    expect(page.locator("#an-sound")).to_have_attribute("data-state", "on", timeout=5_000)


def test_the_page_freezes_visibly_when_no_frame_comes_and_thaws_again(look: Look, console: Console) -> None:
    watched = look("/")
    page = watched.page
    expect(page.locator("#an-frozen")).to_be_hidden()
    console.web.send_signal(signal.SIGSTOP)
    try:
        expect(page.locator("#an-frozen")).to_be_visible(timeout=8_000)
        expect(page.locator("#an-frozen")).to_contain_text("画面已冻结")
        assert page.evaluate("document.body.classList.contains('frozen')")
    finally:
        console.web.send_signal(signal.SIGCONT)
    expect(page.locator("#an-frozen")).to_be_hidden(timeout=15_000)


def test_a_silent_alarm_service_is_told_in_a_banner_and_its_values_are_hatched(look: Look, console: Console) -> None:
    watched = look("/")
    page = watched.page
    console.rooms.send_signal(signal.SIGSTOP)
    try:
        expect(page.locator("#an-health.red")).to_contain_text("报警服务已", timeout=20_000)
        assert page.evaluate("document.body.classList.contains('stale')")
    finally:
        console.rooms.send_signal(signal.SIGCONT)
    expect(page.locator("#an-health.red")).to_have_count(0, timeout=20_000)


def test_deltas_carry_only_what_changed(look: Look) -> None:
    watched = look("/trends?points=4")
    sizes: list[int] = []
    watched.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sizes.append(len(frame))))
    watched.page.reload()
    watched.page.wait_for_function("Number(document.body.dataset.frames || 0) >= 4", timeout=20_000)
    assert max(sizes) < 30_000
    assert sorted(sizes)[len(sizes) // 2] < 6_000


def test_values_of_the_shown_points_move_every_second(look: Look) -> None:
    watched = look("/plant?point=donghua/tanks/nh3/pt1")
    watched.page.wait_for_selector("[data-an=plant][data-ready]")
    number = watched.page.evaluate("anlan.plant.byPath.get('donghua/tanks/nh3/pt1').number")
    seen = set()
    deadline = time.monotonic() + 15
    while len(seen) < 3 and time.monotonic() < deadline:
        seen.add(watched.page.evaluate(f"anlan.values.get({number})?.t ?? 0"))
        time.sleep(0.3)
    assert len(seen) >= 3
    assert msgspec.json.encode(sorted(seen))
