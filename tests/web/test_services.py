"""Routes that hand on to other processes: typed, as who asks, and errors come back as themselves."""

from __future__ import annotations

from typing import Any

import pytest

from anlan.core.errors import ConflictError, NotFoundError, PermissionDeniedError, UnavailableError
from anlan.monitor.model import Act, ListAlarms
from anlan.perceive.model import ListDeadLetters, Mend
from anlan.plant.registers import model as registers
from tests.web.answers import ROWS
from tests.web.node import WebNode
from tests.web.plant import HAIAN, LINGANG

ACT = {"verb": "acknowledge", "alarms": [ROWS[0].alarm], "instances": ["i1"], "comment": "seen"}
EDITS = {"edits": [{"op": "set", "path": f"{HAIAN}/pressure", "field": "limits.HH", "value": 1.8}], "reason": "review"}
BYPASS = {"path": f"{HAIAN}/gas-1", "reason": "replacement", "expires": 9}
WORK = {"kind": "hot-work", "path": "haian", "end": 9, "persons": 3}

ROUTES: list[tuple[str, str, Any, str, Any]] = [
    ("GET", "/alarms?view=shelved", None, "monitor.alarms", ListAlarms("shelved", "")),
    ("POST", "/alarms/act", ACT, "monitor.act", Act("acknowledge", (ROWS[0].alarm,), ("i1",), "seen")),
    ("GET", "/alarms/performance?start=1&end=5&position=desk-1", None, "monitor.performance", None),
    ("POST", "/alarms/try", {"definitions": [], "start": 1, "end": 2}, "monitor.try", None),
    ("GET", "/alarms/status", None, "monitor.status", None),
    ("GET", "/connectors", None, "perceive.connectors", None),
    ("GET", "/dead-letters?connector=plc&limit=5", None, "perceive.dead-letters", ListDeadLetters("plc", 5, 0)),
    ("GET", "/dead-letters/7", None, "perceive.dead-letter", None),
    ("POST", "/dead-letters/7/mend", {"raw": "AP8=", "comment": "x"}, "perceive.mend", Mend(7, b"\x00\xff", "x")),
    ("GET", "/shifts?position=desk-1", None, "registers.shifts", registers.ListShifts("desk-1", False, 2000)),
    ("POST", "/shifts", {"position": "desk-1"}, "registers.shift.begin", registers.BeginShift("desk-1")),
    ("POST", "/shifts/s1/act", {"verb": "offer"}, "registers.shift.act", registers.Act("s1", "offer")),
    ("GET", "/shift-entries?open_items=true", None, "registers.shift.entries", None),
    ("POST", "/shift-entries", {"position": "desk-1", "text": "x"}, "registers.shift.add", None),
    (
        "POST",
        "/shift-entries/e1/close",
        {"closing": "done"},
        "registers.shift.close",
        registers.CloseItem("e1", "done"),
    ),
    ("GET", "/bypasses?under=haian", None, "registers.bypasses", registers.ListBypasses("haian", True, 2000)),
    ("POST", "/bypasses", BYPASS, "registers.bypass.request", None),
    ("POST", "/bypasses/b1/act", {"verb": "approve", "comment": "ok"}, "registers.bypass.act", None),
    ("GET", "/barriers?impaired=true", None, "registers.barriers", registers.ListBarriers("", True)),
    ("GET", "/barriers/dike/history?limit=9", None, "registers.barrier.history", registers.BarrierHistory("dike", 9)),
    (
        "POST",
        "/barriers/dike/tests",
        {"result": "failed", "comment": "crack"},
        "registers.barrier.test",
        registers.RecordTest("dike", "failed", "crack"),
    ),
    (
        "POST",
        "/barriers/dike/reports",
        {"state": "degraded", "reason": "crack"},
        "registers.barrier.report",
        registers.ReportBarrier("dike", "degraded", "crack"),
    ),
    ("POST", "/barriers/dike/act", {"verb": "restore"}, "registers.barrier.act", registers.Act("dike", "restore")),
    ("GET", "/work?standing=false", None, "registers.works", registers.ListWork("", False, 2000)),
    ("POST", "/work", WORK, "registers.work.plan", registers.PlanWork("hot-work", "haian", 9, 3)),
    (
        "POST",
        "/work/w1/act",
        {"verb": "extend", "end": 12, "persons": 2},
        "registers.work.act",
        registers.ActOnWork("w1", "extend", "", 12, 2),
    ),
    ("GET", "/presence?under=haian", None, "registers.presence", registers.ListPresence("haian")),
    ("POST", "/presence", {"path": "haian", "count": 4}, "registers.presence.count", registers.CountPeople("haian", 4)),
    (
        "GET",
        "/presence/history?area=haian",
        None,
        "registers.presence.history",
        registers.PresenceHistory("haian", 0, 200),
    ),
    ("GET", "/calibration-due?days=7", None, "registers.calibrations", registers.ListCalibrations("", 7.0)),
    ("GET", "/changes?pending=true", None, "registers.changes", registers.ListChanges(True, 2000)),
    ("POST", "/changes", EDITS, "registers.change.propose", None),
    ("POST", "/changes/c1/act", {"verb": "approve"}, "registers.change.act", registers.Act("c1", "approve")),
    ("GET", "/plant/status", None, "plant.status", None),
    ("GET", "/plant/revisions", None, "plant.revisions", None),
    ("POST", "/plant/reload", None, "plant.reload", None),
    ("GET", "/historian", None, "historian.status", None),
    ("GET", "/holds", None, "historian.holds", None),
    ("POST", "/holds", {"id": "h1", "start": 1, "reason": "incident"}, "historian.hold", None),
    ("DELETE", "/holds/h1", None, "historian.release", None),
]


@pytest.mark.parametrize(("method", "address", "body", "subject", "request_"), ROUTES)
def test_a_route_asks_its_service_as_who_is_signed_in(
    web: WebNode, method: str, address: str, body: Any, subject: str, request_: Any
) -> None:
    web.answers.asked.clear()
    with web.client("safety") as client:
        answer = client.request(method, f"/api/v1{address}", json=body)
    assert answer.status_code in (200, 201), answer.text
    asked = [(name, actor.user) for name, _, actor in web.answers.asked]
    assert asked == [(subject, "safety")]
    assert request_ is None or web.answers.asked[0][1] == request_


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("gone", where="alarm"), 404),
        (PermissionDeniedError("no"), 403),
        (ConflictError("meanwhile", fix="again"), 409),
        (UnavailableError("log"), 503),
    ],
)
def test_an_error_of_a_service_comes_back_as_itself(web: WebNode, error: Exception, status: int) -> None:
    web.answers.errors["monitor.act"] = error
    with web.client("operator") as client:
        answer = client.post("/api/v1/alarms/act", json=ACT)
    web.answers.errors.clear()
    assert answer.status_code == status
    assert answer.json() == error.problem()  # type: ignore[attr-defined]  # all of them have it


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body"),
        ({"verb": 1, "alarms": []}, "verb"),
        ({"verb": "acknowledge", "alarms": [7]}, "alarms[0]"),
        ({"verb": "acknowledge", "alarms": []}, "alarms"),
        ({"verb": "acknowledge", "alarms": ["x"], "until": 1e30}, "until"),
        ([], "body"),
        ("act", "body"),
    ],
)
def test_a_bad_body_is_named_and_never_reaches_the_service(web: WebNode, body: Any, where: str) -> None:
    web.answers.asked.clear()
    with web.client("operator") as client:
        answer = client.post("/api/v1/alarms/act", json=body)
    assert (answer.status_code, answer.json()["where"]) == (422, where), answer.text
    assert web.answers.asked == []


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"verb": NaN}'])
def test_a_body_that_is_no_json_is_named(web: WebNode, raw: bytes) -> None:
    with web.client("operator") as client:
        answer = client.post("/api/v1/alarms/act", content=raw, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["where"]) == (422, "body")


def test_alarms_come_in_the_order_that_keeps_active_ones_in_sight(web: WebNode) -> None:
    with web.client("engineer") as client:
        whole = client.get("/api/v1/alarms").json()
        paged, cursor = [], ""
        for _ in ROWS:
            page = client.get("/api/v1/alarms", params={"limit": 1, "cursor": cursor}).json()
            paged += page["items"]
            cursor = page.get("next", "")
        critical = client.get("/api/v1/alarms", params={"priority": 1}).json()["items"]
        lingang = client.get("/api/v1/alarms", params={"under": "lingang"}).json()["items"]
    assert [item["alarm"] for item in whole["items"]] == [item.alarm for item in ROWS]
    assert paged == whole["items"]
    assert cursor == ""
    assert whole["unacknowledged"] == 2
    assert [item["priority"] for item in critical] == [1, 1]
    assert [item["path"] for item in lingang] == [f"{LINGANG}/speed"]


def test_connectors_are_shown_to_who_sees_their_points(web: WebNode) -> None:
    seen = {}
    for who in ("operator", "engineer"):
        with web.client(who) as client:
            seen[who] = [item["id"] for item in client.get("/api/v1/connectors").json()]
    assert seen == {"operator": ["dcs"], "engineer": ["dcs", "plc"]}


def test_shifts_are_paged_newest_first(web: WebNode) -> None:
    with web.client("operator") as client:
        first = client.get("/api/v1/shifts", params={"limit": 3}).json()
        second = client.get("/api/v1/shifts", params={"limit": 3, "cursor": first["next"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]] == ["s4", "s3", "s2", "s1", "s0"]
    assert second["next"] == ""


def test_a_service_that_is_away_is_unavailable(web: WebNode) -> None:
    with web.client("engineer") as client:
        answer = client.get("/api/v1/nowhere-test")
    assert answer.status_code == 503
    assert answer.json()["where"] == "nowhere.test"
