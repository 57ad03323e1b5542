"""Choices by held-out trajectories."""

import numpy as np

from scdash.dynamics.whole_trajectories.selection import (
    best,
    clearly_better,
    sparsest_within_one_standard_error,
    standard_error,
)


def test_the_standard_error_of_one_fold_is_infinite():
    assert standard_error(np.array([1.0])) == np.inf
    np.testing.assert_allclose(standard_error(np.array([0.0, 2.0])), 1.0)


def test_the_best_setting_has_the_smallest_mean_and_is_finite():
    assert best(np.array([[3.0, 3.0], [1.0, 2.0], [0.0, np.inf]])) == 1


def test_clearly_better_takes_more_than_one_standard_error():
    than = np.array([1.0, 1.0])
    assert clearly_better(np.array([0.5, 0.4]), than)
    assert not clearly_better(np.array([0.5, 1.3]), than)  # gain 0.1 with a standard error of 0.4
    assert not clearly_better(np.array([1.5, 1.4]), than)  # worse
    assert not clearly_better(np.array([0.1]), np.array([1.0]))  # one fold


def test_the_sparsest_setting_within_one_standard_error_of_the_best_is_chosen():
    edges = np.array([100, 50, 20, 10])
    errors = np.array([[1.0, 2.0, 3.0], [1.1, 1.9, 3.1], [1.3, 1.9, 3.0], [2.0, 3.0, 4.0]])
    # differences to the best: level 1 (0.1, -0.1, 0.1), level 2 (0.3, -0.1, 0), level 3 (1, 1, 1)
    assert sparsest_within_one_standard_error(errors, edges) == 2
    assert sparsest_within_one_standard_error(errors[:2], edges[:2]) == 1
    assert sparsest_within_one_standard_error(errors[[0, 3]], edges[[0, 3]]) == 0
    assert sparsest_within_one_standard_error(errors[:, :1], edges) == 0  # a single fold chooses the best


def test_a_setting_that_diverges_is_never_chosen():
    errors = np.array([[1.0, 1.0], [1.0, np.inf]])
    assert sparsest_within_one_standard_error(errors, np.array([10, 1])) == 0


def test_with_many_held_out_trajectories_the_margin_is_the_standard_error_of_the_best_error():
    rng = np.random.default_rng(0)
    cases = np.tile(1 + 0.1 * rng.normal(size=40), (3, 1)) + np.array(
        [[0.0], [0.01], [0.1]]
    )  # SE of the best: about .016
    folds = cases.reshape(3, 5, 8).mean(axis=2)
    edges = np.array([100, 50, 10])
    assert sparsest_within_one_standard_error(folds, edges) == 0  # differences are the same on every fold
    assert sparsest_within_one_standard_error(folds, edges, cases) == 1
    assert sparsest_within_one_standard_error(folds, edges, cases[:, :9]) == 0  # too few to tell
