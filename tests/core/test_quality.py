"""Quality codes: class in the two top bits."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.core.quality import CLASS_MASK, Quality, describe, is_bad

ALL = np.arange(256, dtype=np.uint8)


def test_every_code_is_of_the_class_its_name_says() -> None:
    classes = {0x00: "GOOD", 0x40: "UNCERTAIN", 0x80: "BAD"}
    assert [code.name.split("_")[0] for code in Quality] == [classes[code & CLASS_MASK] for code in Quality]


def test_bad_is_bad_and_an_unknown_class_is_bad_too() -> None:
    assert [bool(bad) for bad in is_bad(ALL)] == [code >= 0x80 for code in range(256)]


def test_every_byte_has_a_name() -> None:
    names = [describe(code) for code in range(256)]
    assert [name.split("-")[0] for name in names] == [
        "good" if code < 0x40 else "uncertain" if code < 0x80 else "bad" for code in range(256)
    ]


@pytest.mark.parametrize(
    ("code", "name"), [(0x81, "bad-sensor"), (0x43, "uncertain-calibration-expired"), (0xC5, "bad")]
)
def test_names(code: int, name: str) -> None:
    assert describe(code) == name
