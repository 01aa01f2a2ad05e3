"""Reading the plant, values, series and journal through the API, within one's places."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from anlan.core.actor import Permission
from anlan.core.events import Event, EventType
from tests.web.node import WebNode
from tests.web.plant import HAIAN, LINGANG


def test_answers_a_sign_of_life_to_anybody(web: WebNode) -> None:
    with web.client() as client:
        answer = client.get("/api/v1/health")
    assert answer.json()["ready"] is True


def test_lists_points_in_pages_that_meet(web: WebNode) -> None:
    with web.client("engineer") as client:
        whole = client.get("/api/v1/points").json()["items"]
        paged, cursor = [], ""
        for _ in range(4):
            page = client.get("/api/v1/points", params={"limit": 3, "cursor": cursor}).json()
            paged += page["items"]
            cursor = page.get("next", "")
            if not cursor:
                break
    assert len(whole) == 8
    assert paged == whole
    assert cursor == ""


def test_shows_only_what_lies_in_ones_places(web: WebNode) -> None:
    with web.client("operator") as client:
        paths = [item["path"] for item in client.get("/api/v1/points").json()["items"]]
        values = [item["path"] for item in client.get("/api/v1/values").json()["items"]]
        zones = [item["id"] for item in client.get("/api/v1/zones").json()]
        definitions = [item["id"] for item in client.get("/api/v1/alarm-definitions").json()["items"]]
        places = [item["path"] for item in client.get("/api/v1/places").json()["places"]]
    assert len(paths) == len(values) == 5
    assert all(path.startswith("haian/") for path in [*paths, *values, *definitions])
    assert zones == ["z1"]
    assert places == ["haian", "haian/tank-farm-a"]


@pytest.mark.parametrize(
    "address",
    [
        f"/points/{LINGANG}/speed",
        f"/values/{LINGANG}/speed",
        f"/values?path={LINGANG}/speed",
        "/points?under=lingang",
        f"/series?path={LINGANG}/speed&start=1&end=2",
        f"/export?path={LINGANG}/speed&start=1&end=2",
    ],
)
def test_what_lies_outside_ones_places_is_not_found(web: WebNode, address: str) -> None:
    with web.client("operator") as client:
        outside = client.get(f"/api/v1{address}")
        absent = client.get(f"/api/v1{address}".replace("speed", "absent").replace("under=lingang", "under=absent"))
    assert (outside.status_code, absent.status_code) == (404, 404)
    assert outside.json()["type"] == absent.json()["type"] == "urn:anlan:problem:not-found"


def test_last_values_come_from_the_snapshot_and_then_from_live_frames(web: WebNode) -> None:
    with web.client("engineer") as client:
        first = client.get(f"/api/v1/values/{HAIAN}/level").json()
        web.run(web.send_values({2: (55.5, 0), 4: (float("nan"), 0x85)}))
        deadline = time.monotonic() + 5
        value = first
        while value["value"] != 55.5 and time.monotonic() < deadline:
            value = client.get(f"/api/v1/values/{HAIAN}/level").json()
        wind = client.get(f"/api/v1/values/{HAIAN}/wind-speed").json()
        bad = client.get("/api/v1/values", params={"quality": "bad"}).json()["items"]
    assert value["value"] == 55.5
    assert value["unit"] == "%"
    assert wind == wind | {"value": None, "quality": "bad-not-a-number"}
    assert {item["path"] for item in bad} >= {f"{HAIAN}/wind-speed", f"{LINGANG}/speed"}


def test_an_older_sample_does_not_replace_a_newer_last_value(web: WebNode) -> None:
    web.run(web.send_values({5: (180.0, 0)}, time=2_000_000))
    web.run(web.send_values({5: (90.0, 0)}, time=1_000_000))
    web.run(web.send_values({4: (3.0, 0)}))
    with web.client("engineer") as client:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if client.get(f"/api/v1/values/{HAIAN}/wind-speed").json()["value"] == 3.0:
                break
        value = client.get(f"/api/v1/values/{HAIAN}/wind-direction").json()
    assert (value["value"], value["time"]) == (180.0, 2_000_000)


@pytest.mark.parametrize("kind", ["raw", "m4", "as-of", "bucket", "wind"])
def test_series_of_every_kind_by_columns(web: WebNode, kind: str) -> None:
    path = [f"{HAIAN}/wind-speed", f"{HAIAN}/wind-direction"]
    params = {"path": path, "kind": kind, "start": "1000000", "end": "9000000", "bucket": "1 min"}
    with web.client("operator") as client:
        answer = client.get("/api/v1/series", params=params).json()
    query, actor = next((q, a) for name, q, a in reversed(web.answers.asked) if name == "series")
    assert (query.kind, query.points, query.start, query.end) == (kind, (4, 5), 1_000_000, 9_000_000)
    assert actor.user == "operator"
    assert answer["points"] == {"4": path[0], "5": path[1]}
    assert answer["rows"] == len(answer["columns"]["time"]) > 0
    assert answer["truncated"] is False


def test_series_that_was_cut_says_so(web: WebNode) -> None:
    params = {"path": f"{HAIAN}/level", "start": "0", "end": "9000000", "limit": 2}
    with web.client("engineer") as client:
        answer = client.get("/api/v1/series", params=params).json()
    assert (answer["rows"], answer["truncated"]) == (2, True)


def test_series_as_arrow_and_files_come_as_the_historian_made_them(web: WebNode) -> None:
    params = {"path": f"{HAIAN}/level", "start": "1970-01-01T08:00:01", "end": "2000-01-01T00:00:00Z"}
    arrow_media = "application/vnd.apache.arrow.stream"
    with web.client("engineer") as client:
        arrow = client.get("/api/v1/series", params=params, headers={"Accept": arrow_media})
        csv = client.get("/api/v1/series", params=params, headers={"Accept": "text/csv"})
        file = client.get("/api/v1/export", params=params | {"format": "csv"})
        parquet = client.get("/api/v1/export", params=params | {"format": "parquet"})
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert table.column("time").to_pylist() == [1_000_000, 2_000_000, 3_000_000]
    exports = [query for name, query, _ in web.answers.asked if name == "export"][-3:]
    assert [query.format for query in exports] == ["csv", "csv", "parquet"]
    assert all(query.series.points == (2,) and query.series.start == 1_000_000 for query in exports)
    assert csv.content == file.content == b"csv of 2" * 1000
    assert parquet.content == b"parquet of 2" * 1000
    assert file.headers["content-disposition"] == 'attachment; filename="anlan-1970-01-01T000001.csv"'
    assert parquet.headers["content-type"] == "application/vnd.apache.parquet"


def test_an_export_that_fails_before_its_first_byte_is_a_problem(web: WebNode) -> None:
    params = {"path": f"{HAIAN}/level", "start": "1", "end": "666"}
    with web.client("engineer") as client:
        answer = client.get("/api/v1/export", params=params)
    assert (answer.status_code, answer.json()["where"]) == (422, "limit")


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"start": "yesterday", "end": "2"}, "start"),
        ({"start": "3", "end": "2"}, "end"),
        ({"start": "1", "end": "2", "kind": "bucket"}, "bucket"),
        ({"start": "1", "end": "2", "kind": "wind"}, "path"),
        ({"start": "1", "end": "2", "kind": "guess"}, "query.kind"),
        ({"start": "1", "end": "2", "limit": "0"}, "query.limit"),
    ],
)
def test_bad_series_queries_name_what_is_wrong(web: WebNode, params: dict[str, str], where: str) -> None:
    with web.client("engineer") as client:
        answer = client.get("/api/v1/series", params=params | {"path": f"{HAIAN}/level"})
    assert answer.status_code == 422
    assert answer.json()["where"] == where
    assert answer.json()["fix"]


def test_journal_shows_events_of_ones_places_and_audit_by_right(web: WebNode) -> None:
    web.answers.events = [
        Event("1", EventType.ALARM, "test", 1, f"{HAIAN}/pressure.HH", data={"alarm": f"{HAIAN}/pressure.HH"}),
        Event("2", EventType.ALARM, "test", 2, f"{LINGANG}/speed.H", data={"alarm": f"{LINGANG}/speed.H"}),
        Event("3", EventType.AUDIT, "test", 3, "users/operator", data={"who": "admin"}),
        Event("4", EventType.CONNECTOR, "test", 4, "plc", data={"connector": "plc"}),
        Event("5", EventType.SHIFT, "test", 5, "haian"),
    ]
    seen = {}
    for who in ("operator", "auditor", "regulator"):
        with web.client(who) as client:
            seen[who] = [item["id"] for item in client.get("/api/v1/journal").json()["items"]]
    assert seen == {"operator": ["1", "5"], "auditor": ["1", "2", "3", "4", "5"], "regulator": ["1", "2", "4", "5"]}
    with web.client("auditor") as client:
        assert [item["id"] for item in client.get("/api/v1/audit").json()["items"]] == ["3"]
    with web.client("operator") as client:
        refused = client.get("/api/v1/audit")
    assert refused.status_code == 403
    assert Permission.VIEW_AUDIT in refused.json()["title"]


def test_a_service_that_does_not_answer_is_a_problem_not_a_hang(web: WebNode) -> None:
    with web.client("engineer") as client:
        answer = client.get("/api/v1/points", params={"cursor": "!!"})
        assert (answer.status_code, answer.json()["where"]) == (422, "cursor")


def test_system_health_shows_reports_as_they_come(web: WebNode) -> None:
    report = b'{"process":"alarms","pid":1,"time":0,"ready":true,"started":0}'
    web.run(web.fabric.client.publish("health.alarms", report))
    with web.client("regulator") as client:
        deadline = time.monotonic() + 5
        parts: dict[str, dict[str, object]] = {}
        while "alarms" not in parts and time.monotonic() < deadline:
            system = client.get("/api/v1/system").json()
            parts = {part["process"]: part for part in system["parts"]}
    assert system["well"] is False
    assert parts["alarms"]["ready"] is False
    assert "not been heard of" in str(parts["alarms"]["problems"])


@pytest.mark.parametrize(
    ("method", "address", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not-found"),
        ("GET", "/api/nothing", 404, "not-found"),
        ("DELETE", "/api/v1/points", 405, "method-not-allowed"),
        ("POST", "/api/v1/tokens", 415, "media-type"),
        ("GET", "/api/v1/points?limit=many", 422, "invalid-input"),
    ],
)
def test_every_error_is_a_problem_document(web: WebNode, method: str, address: str, status: int, code: str) -> None:
    with web.client("admin") as client:
        answer = client.request(method, address, content=b"x" if method == "POST" else None)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:anlan:problem:{code}"
    assert problem["status"] == status
    assert problem.keys() >= {"title", "detail", "where", "fix"}


def test_the_api_describes_itself_and_loads_nothing_from_elsewhere(web: WebNode) -> None:
    with web.client("regulator") as client:
        document = client.get("/api/openapi.json").json()
        page = client.get("/api/docs").text
    assert document["openapi"].startswith("3.1")
    assert "x-anlan-type" not in str(document)
    assert "/v1/series" in document["paths"]
    assert "http://" not in page.replace(web.url, "")
    assert "https://" not in page
