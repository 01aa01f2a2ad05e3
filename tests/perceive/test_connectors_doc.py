"""The samples of docs/connectors.md: options and tags that the connectors really have."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from anlan.perceive.connector import Manifest
from anlan.perceive.connectors import hj212, http, modbus, opcua, replay
from anlan.perceive.connectors._modbus_map import Defaults, parse_tag
from anlan.perceive.connectors._opcua_values import parse_tag as parse_node
from tests.conftest import ROOT

MANIFESTS: dict[str, Manifest] = {
    module.MANIFEST.kind: module.MANIFEST for module in (http, hj212, modbus, opcua, replay)
}


def samples() -> list[dict[str, Any]]:
    text = (ROOT / "docs" / "connectors.md").read_text("utf-8")
    blocks = re.findall(r"^    - id:.*(?:\n    .*)+", text, re.MULTILINE)
    return [YAML(typ="safe").load(block)[0] for block in blocks]


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample["kind"])
def test_a_sample_has_only_options_and_tags_that_exist(sample: dict[str, Any]) -> None:
    manifest = MANIFESTS[sample["kind"]]
    options = {option.name: option for option in manifest.options}
    given = {key: value for key, value in sample.items() if key not in ("id", "kind", "name", "map")}
    assert set(given) <= set(options)
    assert {option.name for option in manifest.options if option.required} <= set(given)
    for name, value in given.items():
        assert not options[name].choices or isinstance(value, list) or value in options[name].choices
    for path, tag in sample["map"].items():
        if sample["kind"] == "modbus":
            parse_tag(tag, 1, Defaults(), path)
        if sample["kind"] == "opcua":
            parse_node(tag, 1, path)


def test_every_kind_is_documented_and_declares_its_gaps() -> None:
    text = (ROOT / "docs" / "connectors.md").read_text("utf-8")
    for kind, manifest in MANIFESTS.items():
        assert f"## `{kind}`" in text
        assert manifest.gaps
        assert manifest.limits
