"""Model files: what is written is read back, and one altered byte anywhere is told."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import DecodeError
from anlan.science.model_file import ModelInfo, decode_model, encode_model, training_hash

INFO = ModelInfo("detection.ensemble", id="seal-leak", inputs=("a", "b"), validity={"a": (0.0, 1.5)}, settings={"k": 3})
ARRAYS = {
    "mean": np.array([1.0, np.nan, -0.0]),
    "order": np.arange(5, dtype=np.int16),
    "mask": np.array([[True], [False]]),
    "none": np.empty((0, 4), np.float32),
}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNED = encode_model(INFO, ARRAYS, KEY)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_model_is_read_back_bit_by_bit(key: Ed25519PrivateKey | None) -> None:
    model = decode_model(encode_model(INFO, ARRAYS, key), "detection.")
    assert model.info == INFO
    assert bool(model.signed_by) == (key is not None)
    assert model.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert model.arrays[name].dtype == array.dtype
        assert model.arrays[name].tobytes() == array.tobytes()
        assert model.arrays[name].shape == array.shape


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_one_altered_byte_is_told(at: int, change: int) -> None:
    altered = bytearray(SIGNED)
    altered[at] ^= change
    try:
        model = decode_model(bytes(altered))
    except DecodeError:
        return
    # Hexadecimal text may change case without changing what it says.
    assert model.digest == decode_model(SIGNED).digest
    assert model.signed_by.lower() == decode_model(SIGNED).signed_by


@given(st.integers(0, len(SIGNED) - 1))
def test_a_file_cut_short_is_told_or_unsigned(length: int) -> None:
    try:
        model = decode_model(SIGNED[:length])
    except DecodeError:
        return
    assert not model.signed_by


def test_another_kind_is_refused_by_name() -> None:
    with pytest.raises(DecodeError, match=r"of kind detection\.ensemble"):
        decode_model(SIGNED, "prognosis.rul")


def test_an_array_of_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="objects is of type object"):
        encode_model(INFO, {"objects": np.array([object()])})


def test_the_training_hash_tells_names_and_values_apart() -> None:
    values = np.array([[1.0, 2.0]])
    assert training_hash(("a", "b"), values) != training_hash(("a", "c"), values)
    assert training_hash(("a", "b"), values) != training_hash(("a", "b"), values + 1e-12)
