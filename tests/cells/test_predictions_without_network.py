"""Predictions without a network against their closed forms."""

import numpy as np
import pandas as pd
import pytest

from scdash._data import TimeSeries
from scdash.dynamics.comparisons.predictions_without_network import (
    Trajectories,
    choose_shift_rates,
    choose_width,
    mean_trajectory,
    nearest_neighbours,
    shifted_mean_trajectory,
)


def series_of(curves, times, split, names=None, origin=None):
    """Return trajectories (B, T, n) as a series; `split` has a code per trajectory or per state."""
    curves = np.asarray(curves, float)
    count, length, genes = curves.shape
    split = np.asarray(split)
    split = np.repeat(split, length) if split.ndim == 1 else split.ravel()
    return TimeSeries(
        curves.reshape(-1, genes),
        np.tile(np.asarray(times, float), count),
        np.repeat(np.arange(count), length),
        tuple(names or [f"t{k}" for k in range(count)]),
        split.astype(np.int8),
        pd.Index([f"g{i}" for i in range(genes)]),
        origin=origin,
    )


TIMES = np.arange(9.0)
CURVES = np.stack([np.column_stack([np.sin(TIMES / 3), TIMES / 9]) + shift for shift in (0.0, 0.2)])


def test_mean_trajectory_is_the_mean_curve_plus_a_decaying_offset():
    trajectories = Trajectories.of(series_of(CURVES, TIMES, [0, 0]))
    mean, start, rate = CURVES.mean(0), np.array([[0.7, -0.3]]), np.array([0.5, 2.0])
    at = TIMES[None, 2:6]
    zero = np.zeros(1, int)
    offset = start[0] - mean[2]
    passed = (at[0, 1:] - at[0, 0])[:, None]
    np.testing.assert_allclose(mean_trajectory(trajectories)(start, at, zero)[:, 0], mean[3:6])
    np.testing.assert_allclose(mean_trajectory(trajectories, 0.0)(start, at, zero)[:, 0], mean[3:6] + offset)
    np.testing.assert_allclose(
        mean_trajectory(trajectories, rate)(start, at, zero)[:, 0], mean[3:6] + offset * np.exp(-rate * passed)
    )


def test_held_out_windows_are_bridged_by_straight_lines():
    split = np.zeros((1, 9), int)
    split[0, 3:5] = 1
    trajectories = Trajectories.of(series_of(CURVES[:1], TIMES, split))
    expected = CURVES[0, 2] + (CURVES[0, 5] - CURVES[0, 2]) / 3
    np.testing.assert_allclose(trajectories.states[0, 3], expected)


def test_aligned_mean_trajectory_starts_at_its_place_and_rests_at_the_end():
    trajectories = Trajectories.of(series_of(CURVES[:1], TIMES, [0]))
    found = shifted_mean_trajectory(trajectories)(CURVES[0, [5]], TIMES[None, :6], np.zeros(1, int))[
        :, 0
    ]  # the clock says 0
    np.testing.assert_allclose(found, CURVES[0, [6, 7, 8, 8, 8]])


def test_nearest_neighbours_follow_the_training_trajectory_it_starts_on():
    trajectories = Trajectories.of(series_of(CURVES, TIMES, [0, 0]))
    found = nearest_neighbours(trajectories, 0.1)(CURVES[1, [3]], TIMES[None, 3:7], np.zeros(1, int))[:, 0]
    np.testing.assert_allclose(found, CURVES[1, 4:7], atol=1e-10)
    wide = nearest_neighbours(trajectories, 1e9)(CURVES[1, [3]], TIMES[None, 3:5], np.zeros(1, int))[0, 0]
    ahead = np.minimum(np.arange(9) + 1, 8)
    np.testing.assert_allclose(wide, CURVES[:, ahead].mean((0, 1)), atol=1e-6)


def test_predictors_keep_to_the_lineage_of_the_start():
    lineage = np.array([0, 1, 1])
    curves = np.concatenate([CURVES, CURVES[1:] + 0.02])
    trajectories = Trajectories.of(series_of(curves, TIMES, [0, 0, 1]), lineage)
    start, at = curves[2, [2]], TIMES[None, 2:5]
    for predict in (mean_trajectory(trajectories), nearest_neighbours(trajectories)):
        np.testing.assert_allclose(predict(start, at, np.array([1]))[:, 0], CURVES[1, 3:5], atol=1e-9)
    unseen = mean_trajectory(trajectories)(start, at, np.array([7]))[:, 0]
    np.testing.assert_allclose(unseen, CURVES.mean(0)[3:5])


def test_the_rate_of_the_offset_is_found_from_validation_windows():
    mean, rate = CURVES[0], np.array([0.2, 1.5])
    offset = np.array([0.6, -0.4]) * np.exp(-rate * TIMES[:, None])
    noise = 0.01 * np.random.default_rng(0).normal(size=(3, *mean.shape))
    noise[:, 0] = 0
    series = series_of(np.stack([mean, mean + offset, mean - offset]) + noise, TIMES, [0, 1, 2])
    lineage = np.zeros(3, int)
    grid = np.array([0.0, 0.2, 1.5, np.inf])
    assert choose_shift_rates(series, lineage, grid).tolist() == rate.tolist()
    assert choose_width(series, lineage, np.array([0.5, 1.0])) in (0.5, 1.0)


def test_courses_without_training_states_are_refused():
    with pytest.raises(ValueError, match="no state in split 'train'"):
        Trajectories.of(series_of(CURVES, TIMES, [1, 2]))
