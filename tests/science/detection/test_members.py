"""Every member: parts equal the whole, files keep the scores, NaN is never a silent score, contributions add up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.covariance import fit_gaussian
from anlan.science.detection.kernels import cusum, cusum_reference, ewma, ewma_reference
from anlan.science.detection.linear import LaggedT2, stack_lags
from anlan.science.detection.members import load_member, make_member
from anlan.science.detection.protocol import Detector, Floats, Notes

MEMBERS = ("t2", "lagged_t2", "smoothed_t2", "pca", "forecast", "residual_chart", "variance", "cva", "cusum")


def rows(count: int, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    out = np.zeros((count, 4))
    for row in range(1, count):
        out[row] = 0.6 * out[row - 1] + generator.standard_normal(4)
    out[:, 3] += out[:, 0]
    return out


@pytest.fixture(scope="module")
def fitted() -> dict[str, Detector]:
    return {name: make_member(name).fit(rows(400, 1), Notes()) for name in MEMBERS}


@pytest.mark.parametrize("name", MEMBERS)
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 90), max_size=5))
def test_parts_equal_the_whole(fitted: dict[str, Detector], name: str, cuts: list[int]) -> None:
    member, new = fitted[name], rows(90, 2)
    _, whole = member.update(member.start(), new)
    state, parts = member.start(), []
    edges = [0, *sorted(cuts), 90]
    for start, end in itertools.pairwise(edges):
        state, part = member.update(state, new[start:end])
        parts.append(part)
    np.testing.assert_allclose(np.concatenate([part.score for part in parts]), whole.score, rtol=1e-9)
    np.testing.assert_allclose(
        np.concatenate([part.contribution for part in parts]), whole.contribution, rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("name", MEMBERS)
def test_a_saved_member_scores_the_same(fitted: dict[str, Detector], name: str) -> None:
    member, new = fitted[name], rows(60, 3)
    again = load_member(name, member.save())
    assert np.array_equal(
        member.update(member.start(), new)[1].score, again.update(again.start(), new)[1].score, equal_nan=True
    )


@pytest.mark.parametrize("name", MEMBERS)
def test_contributions_add_up_and_a_row_of_nan_has_no_score(fitted: dict[str, Detector], name: str) -> None:
    member, new = fitted[name], rows(80, 4)
    new[60] = np.nan
    _, scores = member.update(member.start(), new)
    assert np.isnan(scores.score[60])
    assert np.isfinite(scores.score[[50, 70]]).all()
    np.testing.assert_allclose(scores.contribution[50].sum(), scores.score[50], rtol=1e-9)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_broken_file_is_named(fitted: dict[str, Detector], name: str) -> None:
    with pytest.raises(DecodeError, match="no array"):
        load_member(name, {})


@pytest.mark.parametrize("name", ["t2", "lagged_t2", "smoothed_t2", "pca", "forecast", "cusum"])
def test_a_shift_is_seen_and_blamed(fitted: dict[str, Detector], name: str) -> None:
    member, new = fitted[name], rows(200, 5)
    _, usual = member.update(member.start(), new)
    new[100:, 1] += 6.0
    _, scores = member.update(member.start(), new)
    assert np.nanmedian(scores.score[103:]) > 2 * np.nanmedian(usual.score)
    assert np.argmax(scores.contribution[103:].mean(axis=0)) == 1


def test_a_change_of_spread_is_seen_and_blamed(fitted: dict[str, Detector]) -> None:
    member, new = fitted["variance"], rows(300, 6)
    new[150:, 2] += 3 * np.random.default_rng(1).standard_normal(150)
    _, scores = member.update(member.start(), new)
    assert np.median(scores.score[200:]) > 3 * np.nanmedian(scores.score[:150])
    assert np.argmax(scores.contribution[250]) == 2


def test_t2_is_the_textbook_one_without_shrinkage() -> None:
    new = rows(5000, 7)
    member = LaggedT2((0,)).fit(new, Notes())
    _, scores = member.update(member.start(), new[:10])
    away = new[:10] - new.mean(axis=0)
    plain = np.einsum("ij,jk,ik->i", away, np.linalg.inv(np.cov(new.T)), away)
    np.testing.assert_allclose(scores.score, plain, rtol=0.1)


def test_few_rows_want_more_shrinkage_than_many() -> None:
    generator = np.random.default_rng(8)
    few, many = generator.standard_normal((40, 30)), generator.standard_normal((1000, 30))
    assert fit_gaussian(few).shrinkage >= fit_gaussian(many).shrinkage
    assert fit_gaussian(few).shrinkage > 0.2


def test_lags_stand_beside_the_row() -> None:
    stacked = stack_lags(np.arange(8.0).reshape(4, 2), (0, 2))
    assert stacked.tolist() == [[4, 5, 0, 1], [6, 7, 2, 3]]


def test_too_few_rows_are_an_error() -> None:
    with pytest.raises(InvalidInputError, match="at least"):
        make_member("forecast").fit(rows(10, 9), Notes())


def test_an_unknown_member_is_named() -> None:
    with pytest.raises(InvalidInputError, match="no detector magic"):
        make_member("magic")


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_compiled_charts_equal_their_plain_form(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((40, 3)) * 3
    values[generator.random((40, 3)) < 0.1] = np.nan
    scales, start = np.array([1.0, 0.2]), np.abs(generator.standard_normal((3, 2)))
    for compiled, plain in ((ewma, ewma_reference), (cusum, cusum_reference)):
        ours, theirs = compiled(values, scales, start), plain(values, scales, start)
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-12, atol=1e-12)
