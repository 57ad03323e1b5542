"""Errors of predictions, against closed forms."""

import numpy as np
import pandas as pd
import pytest

from scdash import metrics
from scdash._data import TimeSeries


def two_trajectories() -> TimeSeries:
    """x grows by 1 a step from 0 (train) and from 10 (test); the gene y is constant."""
    x = np.array([0.0, 1, 2, 10, 11, 12, 13])
    return TimeSeries(
        states=np.column_stack([x, np.full(7, 3.0)]),
        times=np.array([0.0, 1, 2, 0, 1, 2, 3]),
        trajectory=np.array([0, 0, 0, 1, 1, 1, 1]),
        names=("a", "b"),
        split=np.array([0, 0, 0, 2, 2, 2, 2], np.int8),
        genes=pd.Index(["x", "y"]),
    )


def test_next_step_error_is_the_mean_over_pairs_and_genes() -> None:
    assert metrics.mse_next_step(np.zeros((2, 2)), [[1.0, 0], [0, 3]]) == pytest.approx((1 + 9) / 4)
    assert np.isnan(metrics.mse_next_step(np.empty((0, 3)), np.empty((0, 3))))
    with pytest.raises(ValueError, match=r"\(2, 2\), observed \(2, 3\)"):
        metrics.mse_next_step(np.zeros((2, 2)), np.zeros((2, 3)))


def test_long_horizon_leaves_the_given_start_out() -> None:
    observed = np.zeros((2, 4, 3))
    predicted = observed + np.array([100.0, 1, 2, 3])[:, None]  # the start does not count, whatever it says
    assert metrics.mse_long_horizon(predicted, observed) == pytest.approx((1 + 4 + 9) / 3)
    np.testing.assert_allclose(metrics.mse_long_horizon(predicted, observed, by_time=True), [1, 4, 9])
    np.testing.assert_allclose(metrics.mse_long_horizon(predicted[0], observed[0], by_time=True), [1, 4, 9])


def test_long_horizon_skips_unobserved_values_but_not_a_diverged_prediction() -> None:
    observed, predicted = np.zeros((3, 2)), np.ones((3, 2))
    observed[1, 0] = np.nan
    assert metrics.mse_long_horizon(predicted, observed) == 1
    predicted[2, 1] = np.nan
    assert np.isnan(metrics.mse_long_horizon(predicted, observed))


def test_long_horizon_needs_two_times() -> None:
    with pytest.raises(ValueError, match="at least two times"):
        metrics.mse_long_horizon(np.zeros((1, 3)), np.zeros((1, 3)))


def test_trivial_predictors_have_their_closed_forms() -> None:
    series = two_trajectories()
    assert metrics.no_change_mse(series) == pytest.approx(1 / 2)  # x misses by 1, y by 0
    assert metrics.no_change_mse(series, horizon="long") == pytest.approx((1 + 4 + 9) / 6)
    assert metrics.no_change_mse(series, split="train") == pytest.approx(1 / 2)
    # training predicts x at 1 and 2, never at the start: mean 1.5; the test trajectory is predicted at 11, 12, 13
    assert metrics.constant_mse(series) == pytest.approx((9.5**2 + 10.5**2 + 11.5**2) / 6)
    assert metrics.constant_mse(series, horizon="long") == metrics.constant_mse(series)


def test_an_absent_split_is_nan() -> None:
    assert np.isnan(metrics.constant_mse(two_trajectories(), split="validation"))
    assert np.isnan(metrics.no_change_mse(two_trajectories(), split="validation", horizon="long"))


def test_unknown_horizon_raises() -> None:
    with pytest.raises(ValueError, match="'next' or 'long'"):
        metrics.no_change_mse(two_trajectories(), horizon="far")


@pytest.mark.reference
def test_a_constant_on_sim350_is_no_better_than_the_best_constant(reference) -> None:
    """The specification's 5.2e-3 (5 % noise) is the best constant in hindsight, the mean of the test states."""
    data = np.load(reference / "sim350" / "trajectories.npz")
    states = np.concatenate([data["x_train"], data["x_test"]]).astype(float)
    states += np.random.default_rng(0).normal(scale=1 / 40, size=states.shape)
    count = len(states)
    series = TimeSeries(
        states.reshape(-1, 350),
        np.tile(data["times"].astype(float), count),
        np.repeat(np.arange(count), 5),
        tuple(map(str, range(count))),
        np.repeat(np.where(np.arange(count) < 150, 0, 2), 5).astype(np.int8),
        pd.Index(data["genes"]),
    )
    later = states[150:, 1:]
    hindsight = np.mean((later - later.mean(axis=(0, 1))) ** 2)
    assert hindsight == pytest.approx(5.2e-3, abs=0.05e-3)
    assert hindsight < metrics.constant_mse(series) < metrics.no_change_mse(series)
