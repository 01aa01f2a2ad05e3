"""Versions of models: signed, checked at every reading, live one at a time, and back."""

from __future__ import annotations

import stat
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import update

from anlan.core.actor import Actor, Grant, Role
from anlan.core.errors import ConflictError, DecodeError, InvalidInputError, NotFoundError
from anlan.core.time import HOUR
from anlan.science.model_file import ModelInfo, encode_model
from anlan.settings import Settings
from anlan.store.records.base import Records, open_engine, upgrade
from anlan.warn.fleet import Fleet
from anlan.warn.ledger import Ledger
from anlan.warn.model import ActOnModel, AddModel, ModelKind, ModelMode, Target, WarningModel
from anlan.warn.models.key import node_key, public_of
from anlan.warn.models.library import built_in, read
from anlan.warn.models.registry import Registry, Version, check, places_of
from anlan.warn.tables import WarningModelRecord

WANG = Actor("wang", grants=(Grant(Role.ENGINEER),))
MODEL = WarningModel("seal", ModelKind.DETECTOR, points=("e/a/u/p1", "e/a/u/p2"), horizon=HOUR)
FILE = encode_model(
    ModelInfo("detection.ensemble", training_hash="ab" * 32, training_rows=9, inputs=MODEL.points),
    {"mean": np.arange(4.0)},
)


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    sql = open_engine(settings)
    upgrade(sql)
    yield Records(sql)
    sql.dispose()


@pytest.fixture
def registry(records: Records, settings: Settings) -> Registry:
    return Registry(records, "test", node_key(settings.directory("secrets")))


def add(registry: Registry, now: int = 10) -> Version:
    return registry.add(AddModel(MODEL, FILE, "summer"), WANG, now)


def act(registry: Registry, verb: str, version: int = 0, now: int = 20) -> Version:
    return registry.act(ActOnModel("seal", verb, version), WANG, now)


def modes(registry: Registry) -> dict[int, str]:
    return {version.model.version: version.mode.value for version in registry.versions()}


def test_the_node_makes_its_key_once_and_keeps_it_to_itself(settings: Settings) -> None:
    secrets = settings.directory("secrets")
    key = node_key(secrets)
    assert public_of(key) == public_of(node_key(secrets))
    assert stat.S_IMODE((secrets / "node-key").stat().st_mode) == 0o600
    (secrets / "node-key").write_text("rubbish")
    with pytest.raises(InvalidInputError, match="no key"):
        node_key(secrets)


def test_a_version_begins_in_shadow_with_its_training_and_who_signed_it(
    registry: Registry, records: Records, settings: Settings
) -> None:
    version = add(registry)
    assert (version.key, version.mode, version.problem) == (("seal", 1), ModelMode.SHADOW, None)
    assert (version.created, version.created_by) == (10, "wang")
    assert version.info is not None
    assert (version.info.training_hash, version.info.training_rows) == ("ab" * 32, 9)
    assert version.signed_by == public_of(node_key(settings.directory("secrets")))
    assert add(registry).model.version == 2
    events = Ledger(records).waiting_events()
    assert [event.type for event in events] == ["model.change", "audit.change"] * 2
    assert events[0].data["change"] == "added"
    assert events[1].data["who"] == "wang"


def test_one_is_live_at_a_time_and_one_can_go_back_step_by_step(registry: Registry, records: Records) -> None:
    for _ in range(3):
        add(registry)
    act(registry, "live", 1)
    act(registry, "live", 2)
    act(registry, "live", 3)
    assert modes(registry) == {1: "retired", 2: "retired", 3: "live"}
    assert act(registry, "rollback").model.version == 2
    assert modes(registry) == {1: "retired", 2: "live", 3: "retired"}
    assert act(registry, "rollback").model.version == 1
    with pytest.raises(ConflictError, match="no version was live before"):
        act(registry, "rollback")
    act(registry, "shadow", 3)
    assert modes(registry) == {1: "live", 2: "retired", 3: "shadow"}
    changes = [event.data["change"] for event in Ledger(records).waiting_events() if event.type == "model.change"]
    assert changes[-3:] == ["retired", "rolled-back", "shadow"]


def test_what_is_wrong_with_an_act_is_named(registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="no model seal"):
        act(registry, "live")
    add(registry)
    with pytest.raises(NotFoundError, match="no version 7"):
        act(registry, "live", 7)
    with pytest.raises(InvalidInputError, match="is no act"):
        act(registry, "delete")
    with pytest.raises(ConflictError, match="shadow already"):
        act(registry, "shadow")


@pytest.mark.parametrize("column", ["file", "definition"])
def test_a_version_altered_by_one_byte_does_not_run_and_says_so(
    registry: Registry, records: Records, column: str
) -> None:
    add(registry)
    act(registry, "live")
    raw = FILE if column == "file" else msgspec.json.encode(registry.versions()[0].model, order="deterministic")
    place = len(raw) // 2
    altered = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
    with records.session() as session:
        session.execute(update(WarningModelRecord).values({column: altered}))
    (version,) = registry.versions()
    assert version.problem is not None
    assert "altered" in version.problem[1]
    assert not version.runs
    fleet = Fleet.of([version])
    assert fleet.versions == ()
    assert "altered" in fleet.problems["seal@1"]
    act(registry, "retire")
    with pytest.raises(ConflictError, match="altered"):
        act(registry, "live")


def test_a_version_signed_by_another_key_does_not_run(registry: Registry, records: Records) -> None:
    add(registry)
    other = Registry(records, "test", Ed25519PrivateKey.generate())
    problem = other.versions()[0].problem
    assert problem is not None
    assert "another key" in problem[1]
    with records.session() as session:
        session.execute(update(WarningModelRecord).values(signature="00" * 64))
    problem = registry.versions()[0].problem
    assert problem is not None
    assert "signature does not hold" in problem[1]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"id": "No Good"}, "model.id"),
        ({"horizon": 0}, "model.horizon"),
        ({"least_lead": 2 * HOUR}, "model.least_lead"),
        ({"on_steps": 0}, "model.on_steps"),
        ({"grades": {"purple": 1.0}}, "model.grades"),
        ({"target": Target(priority=9)}, "model.target.priority"),
        ({"target": Target(scope="planet")}, "model.target.scope"),
        ({"kind": ModelKind.FEATURE}, "model.features"),
        ({"kind": ModelKind.TREND}, "model.file"),
    ],
)
def test_a_definition_that_does_not_hold_together_is_refused_by_field(change: dict[str, object], where: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check(msgspec.structs.replace(MODEL, **change), FILE)
    assert caught.value.where == where


def test_a_detector_needs_a_whole_file(registry: Registry) -> None:
    with pytest.raises(InvalidInputError, match="needs its fitted file"):
        registry.add(AddModel(MODEL), WANG, 1)
    for raw in (FILE[:-9], FILE[:200] + b"x" + FILE[201:], b"rubbish"):
        with pytest.raises(DecodeError):
            registry.add(AddModel(MODEL, raw), WANG, 1)
    assert registry.versions() == []


def test_the_library_comes_as_version_one_live_and_a_changed_one_as_the_next(registry: Registry) -> None:
    trend = WarningModel("trend", ModelKind.TREND)
    registry.keep_built_in([trend], 1)
    registry.keep_built_in([trend], 2)
    (version,) = registry.versions()
    assert (version.key, version.mode, version.built_in) == (("trend", 1), ModelMode.LIVE, True)
    longer = msgspec.structs.replace(trend, horizon=2 * HOUR)
    registry.keep_built_in([longer], 3)
    assert [(v.model.version, v.mode.value, v.model.horizon // HOUR) for v in registry.versions()] == [
        (2, "live", 2),
        (1, "retired", 1),
    ]
    registry.act(ActOnModel("trend", "shadow", 2), WANG, 4)
    registry.keep_built_in([trend], 5)
    newest = registry.versions()[0]
    assert (newest.model.version, newest.mode.value) == (3, "shadow")


def test_the_packaged_library_can_be_read_and_put_in(registry: Registry) -> None:
    models = built_in()
    registry.keep_built_in(models, 1)
    assert {v.model.id for v in registry.versions()} == {model.id for model in models}
    assert all(v.problem is None and v.mode is ModelMode.LIVE for v in registry.versions())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no YAML"),
        ("id: x", "no list of models"),
        ("- 5", "library.yaml, model 1: a model is a mapping"),
        ("- {id: x, kind: oracle}", "library.yaml, model 1"),
        ("- {id: x, kind: trend, horizon: soon}", "soon"),
        ("- {id: x, kind: trend, on_steps: 0}", "library.yaml, model 1, model.on_steps"),
    ],
)
def test_a_library_with_a_mistake_names_it(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        read(text, "library.yaml")


def test_a_flag_is_told_once_and_taken_back(registry: Registry, records: Records) -> None:
    add(registry)
    assert registry.flag(("seal", 1), 50, "precision 0.1")
    assert not registry.flag(("seal", 1), 60, "precision 0.1")
    assert registry.versions()[0].flagged == 50
    assert registry.flag(("seal", 1), 0, "")
    changes = [event.data["change"] for event in Ledger(records).waiting_events() if event.type == "model.change"]
    assert changes == ["added", "flagged"]


def test_whose_model_it_is_follows_from_its_places() -> None:
    assert places_of(MODEL) == ("e/a/u",)
    assert places_of(msgspec.structs.replace(MODEL, scope=("e/b",))) == ("e/b",)
    assert places_of(WarningModel("x", ModelKind.TREND)) == ("",)
    assert places_of(msgspec.structs.replace(MODEL, points=("e/a/u/p", "f/a/u/p"))) == ("",)
