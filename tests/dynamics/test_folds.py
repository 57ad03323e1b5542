"""What is left out to choose by: whole batches with what was resampled from their cells, or the other half of the cells."""

from dataclasses import replace

import numpy as np

from scdash._data import HalfOfCells
from scdash.dynamics.problem import FitProblem, Units
from scdash.dynamics.whole_trajectories.folds import is_test, make_folds, trajectories_of

from .data import series_of

TRAIN, VALIDATION, TEST = 0, 1, 2


def problem_of(splits, **more):
    """Return trajectories of constant states k, and one resampled from each, of states k + 0.5."""
    values = np.arange(len(splits), dtype=float)
    states = np.concatenate([values, values + 0.5])[:, None, None] * np.ones((1, 4, 3))
    split = np.array([*splits, *splits])[:, None] * np.ones((1, 4))
    series = series_of(states, split)
    series = replace(series, origin=np.tile(np.arange(len(splits)), 2))
    return FitProblem(series, units=Units(np.zeros(3), np.array([1.0, 2.0, 3.0])), **more)


def levels(trajectories):
    return sorted({float(value) for value in trajectories.states.ravel()})


def test_every_trajectory_is_left_out_once_with_what_was_drawn_from_its_cells():
    folds = make_folds(problem_of([TRAIN, TRAIN, VALIDATION]))
    assert [levels(fold.held) for fold in folds] == [[0.0], [1.0], [2.0]]  # resampled ones evaluate nothing
    assert [levels(fold.train) for fold in folds] == [[1, 1.5, 2, 2.5], [0, 0.5, 2, 2.5], [0, 0.5, 1, 1.5]]
    assert all((fold.start == fold.held.states[:, 0]).all() for fold in folds)
    np.testing.assert_array_equal(folds[0].weights, [1, 4, 9])  # errors count in the units of the data


def test_test_trajectories_take_no_part():
    problem = problem_of([TRAIN, VALIDATION, TEST])
    for fold in make_folds(problem):
        assert 2.0 not in levels(fold.train) + levels(fold.held)
        assert 2.5 not in levels(fold.train) + levels(fold.held)
    assert is_test(problem.series).tolist() == [False, False, True] * 2


def test_test_states_inside_a_trajectory_take_no_part():
    series = series_of(np.arange(8.0)[None, :, None] * np.ones((1, 1, 3)), [[0, 0, 0, 1, 0, 2, 2, 0]])
    trajectories = trajectories_of(series, np.ones(1, bool))
    assert trajectories.states[0, :, 0].tolist() == [0, 1, 2, 3, 4, 7]
    assert trajectories.intervals[0].tolist() == [1, 1, 1, 1, 3]


def test_more_than_five_trajectories_are_left_out_in_groups():
    folds = make_folds(problem_of([TRAIN] * 7))
    assert len(folds) == 5
    assert sorted(value for fold in folds for value in levels(fold.held)) == list(range(7))


def test_the_lineages_of_a_batch_are_left_out_together():
    """They hold the same progenitors: a model would learn where these go from what it is tested on."""
    problem = problem_of([TRAIN] * 6, lineage=np.tile([0, 0, 0, 1, 1, 1], 2))
    folds = make_folds(replace(problem, series=replace(problem.series, group=np.tile([0, 1, 2, 0, 1, 2], 2))))
    assert [fold.held_lineage.tolist() for fold in folds] == [[0, 1]] * 3
    assert [fold.held.states[:, -1, 0].tolist() for fold in folds] == [[0, 3], [1, 4], [2, 5]]
    assert all(len(fold.train) == 8 for fold in folds)


def test_no_fold_leaves_out_a_whole_lineage():
    """Seven batches in five folds: the first and the sixth would be left out together, and are the only ones of a lineage."""
    lineage = np.array([1, 0, 0, 0, 0, 1, 0])
    folds = make_folds(problem_of([TRAIN] * 7, lineage=np.tile(lineage, 2)))
    assert all(set(fold.train_lineage.tolist()) == {0, 1} for fold in folds)
    assert sorted(value for fold in folds for value in levels(fold.held)) == list(range(7))


def test_a_lineage_with_a_single_trajectory_is_judged_by_the_other_half_of_its_cells():
    half = HalfOfCells(np.full((9, 2, 4, 3), 1.0), np.full((2, 4, 3), 3.0), np.arange(4.0))
    problem = problem_of([TRAIN, TRAIN], lineage=np.array([0, 1, 0, 1]), learning_halves=(half,))
    (fold,) = make_folds(problem)
    np.testing.assert_allclose(np.unique(fold.train.states), [1 / 3, 1 / 2, 1])  # in ranges of the genes
    np.testing.assert_allclose(fold.held.states[0, 0], [3, 1.5, 1])
    assert len(fold.train) == 18 and len(fold.held) == 2
    np.testing.assert_allclose(fold.start, fold.train.states[:2, 0])  # predictions begin where learning began
    assert make_folds(problem_of([TRAIN, TRAIN], lineage=np.array([0, 1, 0, 1]))) == []


def test_held_out_bins_are_left_out_of_halves():
    half = HalfOfCells(np.zeros((2, 1, 8, 3)), np.zeros((1, 8, 3)), np.arange(8.0))
    series = series_of(np.zeros((1, 8, 3)), [[0, 0, 0, 1, 0, 2, 2, 0]])
    problem = FitProblem(series, units=Units(np.zeros(3), np.ones(3)), learning_halves=(half,))
    (fold,) = make_folds(problem)
    assert fold.held.states.shape[1] == 6 and fold.held.intervals[0].tolist() == [1, 1, 1, 1, 3]


def test_the_constant_that_errors_are_compared_with_is_the_training_mean():
    fold = make_folds(problem_of([TRAIN, TRAIN]))[0]
    assert fold.constant_error == (1.25 - 0.0) ** 2
