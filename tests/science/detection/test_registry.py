"""The table of detectors: built-in ones, those of packages, and errors that name the package."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from anlan.core.errors import InvalidInputError
from anlan.science.detection import registry
from anlan.science.detection.trees import IsolationForest


class Foreign(IsolationForest):
    kind = "foreign"


class Half:
    kind = "half"


def install(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    points = [EntryPoint(name, f"{__name__}:{value}", registry.ENTRY_POINTS)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.ENTRY_POINTS else [])


def test_built_in_detectors_stand_under_their_own_kind() -> None:
    found = registry.members()
    assert set(registry.BUILT_IN) <= set(found)
    assert all(detector.kind == kind for kind, detector in found.items())


def test_a_package_adds_a_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "foreign", "Foreign")
    assert registry.members()["foreign"] is Foreign


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("half", "Half", "it lacks fit, start, update, save, load"),
        ("other", "Foreign", "its kind is not other"),
        ("isolation_forest", "Foreign", "its name is taken"),
        ("gone", "NotThere", "it cannot be loaded: AttributeError"),
    ],
)
def test_a_package_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str) -> None:
    install(monkeypatch, name, value)
    with pytest.raises(InvalidInputError, match=text) as error:
        registry.members()
    assert f"detector {name}" in str(error.value)
