"""Units, folds and half-samples; paths and the choice of penalties."""

import numpy as np
import pytest

from scdash.regression.intervals import Trajectories, Transitions, units
from scdash.regression.penalty_choice import choose, fit_paths, relative
from scdash.regression.problems import Regression, folds_of, half_of
from scdash.regression.shared_settings import minimise


def data_of(system, trajectories=6, times=8, **more):
    states = np.random.default_rng(0).random((trajectories, times, 3))
    return Trajectories.from_series(system.series_of(states, range(times), **more), ("train",))


def test_trajectories_are_units_where_there_are_enough(system):
    data = data_of(system)
    assert (units(data, 5, None) == np.arange(6)[:, None]).all()
    assert (units(data, 2, np.array([0, 0, 0, 1, 1, 1])) == np.array([0, 0, 0, 1, 1, 1])[:, None]).all()


def test_few_trajectories_are_cut_into_windows(system):
    unit = units(data_of(system, 2, 13), 5, None)
    assert len(np.unique(unit)) == 6
    assert np.all(np.diff(unit, axis=1) >= 0)
    assert not set(unit[0]) & set(unit[1])


def test_every_interval_is_held_out_once(system):
    data = data_of(system)
    real = data.real[:, 1:]
    seen = folds_of(units(data, 3, None), 3, real, np.random.default_rng(0))
    np.testing.assert_array_equal(sum((real & ~s).astype(int) for s in seen), real)
    half = half_of(units(data, 3, None), real, np.random.default_rng(0))
    assert half.all(axis=1).sum() == 3
    assert half.any(axis=1).sum() == 3


def test_a_trajectory_interrupted_by_another_split_becomes_two(system):
    split = np.zeros(8)
    split[3:5] = 1
    series = system.series_of(np.random.default_rng(0).random((1, 8, 3)), range(8))
    series = type(series)(
        series.states, series.times, series.trajectory, series.names, split.astype(np.int8), series.genes
    )
    data = Trajectories.from_series(series, ("train",))
    assert data.length.tolist() == [3, 3]
    assert data.times[1].tolist() == [5, 6, 7]
    assert len(Transitions.of(data).first) == 4
    with pytest.raises(ValueError, match="lag 3"):
        Transitions.of(data, 3)
    with pytest.raises(ValueError, match="no transition"):
        Trajectories.from_series(series, ("test",))


def test_sharing_moves_noisy_choices_to_where_all_genes_are_best():
    rng = np.random.default_rng(0)
    curve = 1 + 0.02 * (np.arange(9) - 4) ** 2 / 16
    errors = (curve[:, None] + 0.02 * rng.normal(size=(9, 200)))[None]
    alone, together = (np.abs(choose(errors, sharing) - 4).mean() for sharing in (0.0, 4.0))
    assert together < 0.6 * alone
    np.testing.assert_array_equal(choose(errors, 0.0), errors[0].argmin(axis=0))
    assert np.all(relative(errors).min(axis=0) == 1)


def regression(rows=90, features=12, targets=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features))
    y = x @ np.where(rng.random((features, targets)) < 0.2, 1.0, 0.0) + 0.3 * rng.normal(size=(rows, targets)) + 2
    held = np.arange(rows) % 5 == 0
    everything = np.ones(rows, dtype=bool)
    return Regression(x, y, np.ones(rows), everything, ~everything), Regression(x, y, np.ones(rows), ~held, held)


def test_paths_hold_fits_in_units_of_the_data_and_their_held_out_errors():
    whole, fold = regression()
    lambdas = np.geomspace(0.5, 0.001, 8)
    paths = fit_paths(
        [whole, fold],
        np.arange(5),
        lambdas,
        [np.ones((12, 5))] * 2,
        np.ones((12, 5), bool),
        standardize=True,
        stop=False,
    )
    effects, intercept = paths.take(np.full(5, 7), 0)
    exact = np.linalg.lstsq(np.column_stack([whole.x, np.ones(90)]), whole.y, rcond=None)[0]
    np.testing.assert_allclose(effects.toarray().T, exact[:-1], atol=5e-3)
    np.testing.assert_allclose(intercept, exact[-1], atol=5e-3)
    one, constant = paths.take(np.full(5, 3), 1)
    left = fold.y[fold.held] - fold.x[fold.held] @ one.toarray().T - constant
    np.testing.assert_allclose(paths.errors[0, 3], (left**2).mean(axis=0))
    mixed, _ = paths.take(np.array([0, 3, 7, 7, 0]), 0)
    np.testing.assert_array_equal(mixed.toarray()[2:4], effects.toarray()[2:4])


def test_a_path_ends_once_errors_rise():
    rng = np.random.default_rng(0)
    whole, fold = regression(rows=30, features=25)
    noise = rng.normal(size=whole.y.shape)
    whole, fold = (Regression(r.x, noise, r.precision, r.fit, r.held) for r in (whole, fold))
    paths = fit_paths(
        [whole, fold],
        np.arange(5),
        np.geomspace(1, 1e-3, 30),
        [np.ones((25, 5))] * 2,
        np.ones((25, 5), bool),
        standardize=True,
    )
    assert len(paths.lambdas) == len(paths.coefficients) < 30


@pytest.mark.parametrize("best", [0.02, 0.3, 1.1, 7.0])
def test_the_smallest_value_is_found_between_grid_points(best):
    found = minimise(lambda value: np.log(value / best) ** 2, np.array([0.01, 0.1, 0.5, 2, 10]))
    assert found == pytest.approx(best, rel=0.1)
