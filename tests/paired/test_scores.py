"""R2 as published (Eqs. 3 and 4), missing entries, folds, and the verdict on nothing learned."""

import numpy as np
import pytest

from scdash.paired.evaluation import feature_r2, learned_something, multivariate_r2
from scdash.resampling.folds import make_folds

RNG = np.random.default_rng(0)


def test_r2_is_the_published_formula() -> None:
    y, f = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 3))
    expected = 1 - np.linalg.norm(y - f) ** 2 / np.linalg.norm(y) ** 2
    assert multivariate_r2(y, f) == pytest.approx(expected)
    each = [1 - np.linalg.norm(y[:, i] - f[:, i]) ** 2 / np.linalg.norm(y[:, i]) ** 2 for i in range(3)]
    np.testing.assert_allclose(feature_r2(y, f), each)
    assert multivariate_r2(y, y) == 1
    assert multivariate_r2(y, np.zeros_like(y)) == 0


def test_missing_entries_do_not_count() -> None:
    y, f = RNG.normal(size=(20, 2)), RNG.normal(size=(20, 2))
    gaps = y.copy()
    gaps[3, 1] = np.nan
    known = ~np.isnan(gaps)
    assert multivariate_r2(gaps, f) == pytest.approx(1 - ((y - f) ** 2)[known].sum() / (y**2)[known].sum())
    assert feature_r2(gaps, f)[0] == pytest.approx(feature_r2(y, f)[0])


def test_a_feature_without_variation_has_no_r2() -> None:
    assert np.isnan(feature_r2(np.zeros((5, 1)), np.ones((5, 1)))[0])


def test_verdict() -> None:
    assert learned_something(np.array([0.4, 0.38, 0.42, 0.41]))
    assert not learned_something(np.array([-0.02, 0.01, 0.0, -0.01]))
    assert not learned_something(np.array([0.3, -0.3, 0.2, -0.15]))
    assert learned_something(np.array([0.2, 0.2]))
    assert not learned_something(np.zeros(4))


def test_folds_partition_the_cells() -> None:
    folds = make_folds(23, 5, rng=0)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(23))
    assert {len(fold.test) for fold in folds} == {4, 5}
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == list(range(23))


def test_labelled_folds_leave_minus_one_to_training() -> None:
    folds = make_folds(6, np.array([0, 1, 0, -1, 1, 0]))
    assert [fold.test.tolist() for fold in folds] == [[0, 2, 5], [1, 4]]
    assert all(3 in fold.train for fold in folds)


@pytest.mark.parametrize(
    ("folds", "message"),
    [(1, "folds must lie"), (9, "folds must lie"), ([0, 1], "one label per cell"), ([0] * 6, "at least two groups")],
)
def test_bad_folds_are_named(folds: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(6, folds)
