"""The models that come with the program: whole, sound, and together they hold every feature of the library."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from anlan.warn.features.library import library
from anlan.warn.library import load_models
from anlan.warn.model import ModelKind, WarningModel
from anlan.warn.models.registry import check
from anlan.warn.stream.feature_models import chosen


@pytest.fixture(scope="module")
def models() -> tuple[WarningModel, ...]:
    return load_models()


def test_every_feature_is_in_exactly_one_model(models: tuple[WarningModel, ...]) -> None:
    held = sorted(
        feature for model in models for feature in library().features if model.features and chosen(model, feature)
    )
    assert held == sorted(library().features)


def test_every_pattern_finds_a_feature(models: tuple[WarningModel, ...]) -> None:
    patterns = [pattern for model in models for pattern in model.features]
    assert [p for p in patterns if not any(fnmatchcase(feature, p) for feature in library().features)] == []


def test_models_are_sound(models: tuple[WarningModel, ...]) -> None:
    for model in models:
        check(model, b"")
        assert model.name
        assert model.name_en
        assert model.source
        assert model.action_zh
        assert model.action_en
    assert len({model.id for model in models}) == len(models)


def test_there_is_one_of_each_kind_that_needs_no_training(models: tuple[WarningModel, ...]) -> None:
    kinds = {model.id: model.kind for model in models}
    assert kinds["predicted-alarm"] is ModelKind.TREND
    assert kinds["risk-rise"] is ModelKind.RISK
    assert sum(kind is ModelKind.FEATURE for kind in kinds.values()) >= 8
