"""Decisions that noise must not make."""

import numpy as np
import pytest

from scdash._core.decisions import CLEAR, Difference, clearly_above, largest_within_one_error, two_errors_below

# Decisions.


def test_a_difference_is_the_mean_of_its_pairs_with_its_standard_error():
    none, one, some = Difference.of([]), Difference.of([0.5]), Difference.of(np.array([1, 2, 6], dtype=np.int64))
    assert none.pairs == 0 and np.isnan([none.mean, none.error]).all()
    assert (one.mean, one.pairs) == (0.5, 1) and np.isnan(one.error)
    assert some.pairs == 3 and some.mean == 3.0 and some.error == pytest.approx(np.sqrt(7 / 3))
    assert Difference.of([1.0, 3.0]).error == pytest.approx(1.0)  # two pairs have a standard error already
    assert Difference.of([1, 2]).mean == 1.5
    assert not none.tested and not one.tested and some.tested
    assert not Difference.of([1.0, np.nan]).tested
    assert none.lower_bound == one.lower_bound == -np.inf
    assert some.lower_bound == pytest.approx(3 - 2 * np.sqrt(7 / 3))
    assert all(isinstance(value, float) for value in (some.mean, some.error, one.error, none.mean))


@pytest.mark.filterwarnings("error")
def test_one_pair_gives_no_warning_and_pairs_are_added_in_double_precision():
    assert Difference.of([0.5]).mean == 0.5
    assert Difference.of(np.array([2**24, 1, 1], dtype=np.float32)).mean == (2**24 + 2) / 3
    assert Difference.of(np.array([2**24, 1, 1], dtype=np.float32)).error == pytest.approx((2**24 - 1) / 3, rel=1e-12)


def test_a_difference_has_to_exceed_two_of_its_standard_errors():
    assert CLEAR == 2
    assert two_errors_below(1.0, 0.25) == 0.5
    assert not clearly_above(1.0, 0.25, 0.5) and clearly_above(1.0, 0.25, 0.499)
    assert not Difference.of([0.0, 0.0]).clearly_positive  # equal errors are no gain
    assert not Difference.of([1.0, 3.0]).clearly_positive  # the mean is two standard errors
    assert Difference.of([1.01, 3.0]).clearly_positive


def test_the_standard_error_of_a_choice_is_over_cases():
    wiggle = 0.1 * np.where(np.arange(50) % 2, 1.0, -1.0)  # standard deviation 0.1, standard error 0.0141
    assert largest_within_one_error({1.0: np.ones(50), 2.0: 1 + wiggle + 0.014}) == 2.0
    assert largest_within_one_error({1.0: np.ones(50), 2.0: 1 + wiggle + 0.0142}) == 1.0
    assert largest_within_one_error({1.0: np.ones(50) + 0.01, 2.0: 1 + wiggle}) == 2.0
    assert largest_within_one_error({3.0: 1 + wiggle, 2.0: np.ones(50) + 0.1}) == 3.0
    middle = {1.0: np.ones(50) + 0.5, 2.0: np.ones(50), 3.0: np.ones(50) + 0.4}
    assert largest_within_one_error(middle) == 2.0  # compared with the best setting, not with the smallest
