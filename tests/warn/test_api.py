"""Routes of early warning: typed, handed on as who asks, filtered and paged."""

from __future__ import annotations

from typing import Any

import pytest

from anlan.core.errors import ConflictError, NotFoundError
from anlan.core.time import DAY, HOUR
from anlan.warn import model as warn
from tests.warn.answers import WARNINGS
from tests.web.node import WebNode
from tests.web.plant import HAIAN, LINGANG

MODEL = {"id": "level-trend", "kind": "trend"}

ROUTES: list[tuple[str, str, Any, str, Any]] = [
    (
        "GET",
        "/warnings?view=closed&model=seal",
        None,
        "warn.warnings",
        warn.ListWarnings("closed", "", "seal", limit=5000),
    ),
    ("GET", "/warnings/W1", None, "warn.warning", warn.GetWarning("W1")),
    (
        "POST",
        "/warnings/W1/act",
        {"verb": "dismiss", "comment": "x"},
        "warn.act",
        warn.ActOnWarning("W1", "dismiss", "x"),
    ),
    ("GET", "/warnings/missed?start=1&end=9&limit=5", None, "warn.missed", warn.ListMissed("", 1, 9, 5)),
    ("GET", "/warnings/status", None, "warn.status", warn.StatusQuery()),
    ("GET", f"/risk-features?under={HAIAN}&feature=a.b", None, "warn.features", warn.ListFeatures(HAIAN, "a.b")),
    ("GET", f"/risk?under={HAIAN}", None, "warn.risk", warn.GetRisk(HAIAN)),
    ("GET", f"/risk/explain?path={HAIAN}", None, "warn.risk.explain", warn.ExplainRisk(HAIAN)),
    ("GET", "/predicted-alarms", None, "warn.predictions", warn.ListPredictions("", HOUR)),
    ("GET", f"/forecast?path={HAIAN}/pressure", None, "warn.forecast", warn.GetForecast(f"{HAIAN}/pressure", HOUR)),
    ("GET", "/warning-models?every=true", None, "warn.models", warn.ListModels(True)),
    ("GET", "/warning-models/seal?start=1&end=9", None, "warn.model", warn.GetModel("seal", 1, 9)),
    ("POST", "/warning-models", {"model": MODEL, "file": "AP8="}, "warn.model.add", None),
    (
        "POST",
        "/warning-models/seal/act",
        {"verb": "live", "version": 2},
        "warn.model.act",
        warn.ActOnModel("seal", "live", 2),
    ),
    ("POST", "/warning-models/try", {"start": 1, "end": 9, "id": "seal"}, "warn.try", warn.TryModel(1, 9, "seal")),
    ("GET", "/alarm-floods?start=1&end=9", None, "warn.floods", warn.ListFloods(1, 9)),
    ("GET", "/alarm-floods/desk-1@5", None, "warn.flood", warn.GetFlood("desk-1@5")),
    ("GET", "/alarm-proposals?start=1&end=9", None, "warn.proposals", warn.ListProposals(1, 9)),
]


@pytest.mark.parametrize(("method", "address", "body", "subject", "wanted"), ROUTES)
def test_a_route_asks_its_service_as_who_asks(
    web: WebNode, method: str, address: str, body: Any, subject: str, wanted: Any
) -> None:
    web.answers.asked.clear()
    with web.client("engineer") as client:
        answer = client.request(method, f"/api/v1{address}", json=body)
    assert answer.status_code == 200, answer.text
    ((asked, request, actor),) = web.answers.asked
    assert (asked, actor.user) == (subject, "engineer")
    assert wanted is None or request == wanted


def test_a_file_of_a_model_travels_as_base64(web: WebNode) -> None:
    web.answers.asked.clear()
    with web.client("engineer") as client:
        client.post("/api/v1/warning-models", json={"model": MODEL, "file": "AP8="})
    ((_, request, _actor),) = web.answers.asked
    assert request.file == b"\x00\xff"


def test_warnings_come_gravest_first_in_pages_and_by_place_and_grade(web: WebNode) -> None:
    with web.client("engineer") as client:
        whole = client.get("/api/v1/warnings").json()
        paged, cursor = [], ""
        for _ in WARNINGS:
            page = client.get("/api/v1/warnings", params={"limit": 1, "cursor": cursor}).json()
            paged += page["items"]
            cursor = page.get("next", "")
        orange = client.get("/api/v1/warnings", params={"grade": 2}).json()["items"]
        lingang = client.get("/api/v1/warnings", params={"under": LINGANG.partition("/")[0]}).json()["items"]
    assert [item["id"] for item in whole["items"]] == ["W1", "W2", "W3"]
    assert whole["open_by_grade"] == [1, 2, 0, 0]
    assert (paged, cursor) == (whole["items"], "")
    assert [item["id"] for item in orange] == ["W2", "W3"]
    assert [item["id"] for item in lingang] == ["W3"]


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("/warnings?grade=5", "grade"),
        ("/warnings?view=mine", "view"),
        ("/warnings/missed?start=9&end=1", "end"),
        (f"/predicted-alarms?horizon={DAY * 2}", "horizon"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(web: WebNode, address: str, where: str) -> None:
    with web.client("engineer") as client:
        answer = client.get(f"/api/v1{address}")
    assert answer.status_code == 422
    assert where in answer.json()["where"]


@pytest.mark.parametrize("body", [{}, {"verb": ""}, {"verb": "close", "comment": 5}, {"verb": "close", "extra": 1}])
def test_a_bad_act_never_reaches_the_service(web: WebNode, body: Any) -> None:
    web.answers.asked.clear()
    with web.client("engineer") as client:
        assert client.post("/api/v1/warnings/W1/act", json=body).status_code == 422
    assert web.answers.asked == []


def test_refusals_come_back_as_themselves_and_unknown_points_are_not_there(web: WebNode) -> None:
    for error, status in ((ConflictError("it is over"), 409), (NotFoundError("no such warning"), 404)):
        web.answers.errors["warn.act"] = error
        with web.client("operator") as client:
            answer = client.post("/api/v1/warnings/W1/act", json={"verb": "confirm"})
        web.answers.errors.clear()
        assert (answer.status_code, answer.json()) == (status, error.problem())
    with web.client("operator") as client:
        assert client.get("/api/v1/forecast", params={"path": f"{LINGANG}/speed"}).status_code == 404
