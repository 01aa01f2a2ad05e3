"""The samples of docs/mqtt.md: options and tags that the connectors really have."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ruamel.yaml import YAML

from anlan.perceive.connectors import mqtt, mqtt_client
from anlan.perceive.connectors._mqtt_packs import FORMATS, Payloads
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "mqtt.md").read_text("utf-8")
SAMPLES = [YAML(typ="safe").load(block)[0] for block in re.findall(r"^    - id:.*(?:\n    .*)+", TEXT, re.MULTILINE)]
MANIFESTS = {module.MANIFEST.kind: module.MANIFEST for module in (mqtt, mqtt_client)}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["kind"])
def test_a_sample_has_only_options_and_tags_that_exist(sample: dict[str, Any]) -> None:
    manifest = MANIFESTS[sample["kind"]]
    given = {key for key in sample if key not in ("id", "kind", "name", "map")}
    assert given <= {option.name for option in manifest.options}
    assert {option.name for option in manifest.options if option.required} <= given
    numbers = {path: number for number, path in enumerate(sample["map"], start=1)}
    payloads = Payloads(sample["map"], numbers, sample.get("payloads", []), ZoneInfo("UTC"))
    assert sample["kind"] == "mqtt-client" or payloads.sink("spBv1.0/haian/NDATA/tank-farm") is not None


def test_formats_take_the_topics_declared_for_them() -> None:
    listener = SAMPLES[0]
    numbers = {path: number for number, path in enumerate(listener["map"], start=1)}
    payloads = Payloads(listener["map"], numbers, listener["payloads"], ZoneInfo("UTC"))
    topics = ("meters/7/state", "meters/7/senml", "spBv1.0/haian/DDATA/tank-farm/t-401", "other")
    sinks = [payloads.sink(topic) for topic in topics]
    assert [sink and FORMATS[sink.decoder] for sink in sinks] == ["json", "senml", "sparkplug", None]


def test_every_kind_declares_its_gaps() -> None:
    assert [kind for kind, manifest in MANIFESTS.items() if manifest.gaps and manifest.limits] == list(MANIFESTS)
