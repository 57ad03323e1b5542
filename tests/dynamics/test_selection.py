"""Choices by held-out trajectories."""

import numpy as np
import pytest

from scdash.dynamics.whole_trajectories.folds import LEFT_OUT, OTHER_HALF, TIME_POINTS
from scdash.dynamics.whole_trajectories.selection import (
    best,
    chosen_level,
    clearly_better,
    sparsest_that_explains_as_much,
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
    errors = np.array([[0.1, 0.2, 0.3], [0.11, 0.19, 0.31], [0.13, 0.19, 0.3], [0.2, 0.3, 0.4]])
    # differences to the best: level 1 (0.01, -0.01, 0.01), level 2 (0.03, -0.01, 0), level 3 (0.1, 0.1, 0.1)
    assert sparsest_within_one_standard_error(errors, edges) == 2
    assert sparsest_within_one_standard_error(errors[:2], edges[:2]) == 1
    assert sparsest_within_one_standard_error(errors[[0, 3]], edges[[0, 3]]) == 0
    assert sparsest_within_one_standard_error(errors[:, :1], edges) == 0  # a single fold chooses the best


def test_few_trajectories_do_not_excuse_a_level_that_explains_clearly_less():
    edges = np.array([12346, 7407, 4444, 2666, 1600])
    errors = 0.4 + np.array([[0.0, 0.0, 0.0, 0.0], [0.1, -0.1, 0.02, -0.01], [0.3, -0.2, 0.1, -0.1], [1, 1, 1, 1]])
    # standard errors of the differences are 0.04 and 0.11; the second explains 99.6 % of what the best does, the third 95.8 %
    assert sparsest_within_one_standard_error(errors, edges[:4]) == 1
    many = np.tile(errors[:3], (1, 3))  # of ten or more the standard error of the best is enough
    many[:, ::2] += 0.2
    assert sparsest_within_one_standard_error(errors[:3], edges[:3], many) == 2


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
    assert sparsest_within_one_standard_error(folds, edges, cases) == 1
    assert sparsest_within_one_standard_error(folds[[0, 2]], edges[[0, 2]], cases[[0, 2], :9]) == 0  # too few to tell


def test_of_few_trajectories_an_error_that_is_a_twentieth_higher_is_the_same_even_if_all_folds_agree_on_it():
    errors = np.array([0.4, 0.412, 0.425])[:, None] + np.array([[0.0, 0.1, -0.1, 0.02]])
    assert sparsest_within_one_standard_error(errors, EDGES[:3]) == 1
    assert sparsest_within_one_standard_error(errors[:, :1], EDGES[:3]) == 0  # a single fold chooses the best


EDGES = np.array([1000, 800, 640, 500])


def test_on_halves_the_sparser_of_two_levels_with_the_same_error_apart_from_noise_is_chosen():
    rng = np.random.default_rng(0)
    errors = 0.28 + rng.normal(0, 0.008, (4, 4))  # as much as halves of the myoblasts differ
    assert sparsest_that_explains_as_much(errors, EDGES) == 3


def test_on_halves_a_small_difference_that_all_halves_agree_on_does_not_keep_the_edges():
    errors = np.array([[0.280], [0.285], [0.290], [0.400]]) + np.array([[0.0, 0.01, -0.01, 0.02]])
    assert sparsest_that_explains_as_much(errors, EDGES) == 2  # explains 98.6 % of what the best one does
    assert sparsest_within_one_standard_error(errors, EDGES) == 2
    low = errors - 0.25  # an error of 0.0075 is low, and two of them are twice as much
    assert sparsest_within_one_standard_error(low, EDGES) == 0
    assert sparsest_that_explains_as_much(low, EDGES) == 2  # halves have a rule of their own


def test_on_halves_a_level_that_explains_clearly_less_is_not_chosen_however_uncertain_it_is():
    errors = np.array([[0.28] * 4, [0.33] * 4, [0.1, 0.1, 0.1, 1.9], [0.9] * 4])
    assert sparsest_that_explains_as_much(errors, EDGES) == 0
    assert sparsest_that_explains_as_much(errors[1:], EDGES[1:]) == 0


def test_on_halves_the_margin_is_a_fortieth_of_what_the_best_level_explains():
    explained = np.array([[0.8], [0.8 * 0.976], [0.8 * 0.974]]) * np.ones((1, 4))
    assert sparsest_that_explains_as_much(1 - explained, EDGES[:3]) == 1


def test_on_halves_the_best_level_is_kept_where_nothing_is_explained_or_others_diverge():
    assert sparsest_that_explains_as_much(np.array([[1.2, 1.1], [1.3, 1.2]]), EDGES[:2]) == 0
    assert sparsest_that_explains_as_much(np.array([[0.3, 0.3], [0.3, np.inf]]), EDGES[:2]) == 0


def test_more_edges_are_not_needed_for_an_error_that_is_no_lower():
    errors = np.array([[0.3] * 4, [0.5] * 4, [0.25] * 4, [0.4] * 4])  # training goes on between rounds of pruning
    assert sparsest_that_explains_as_much(errors, EDGES) == 2


@pytest.mark.parametrize(("kind", "level"), [(OTHER_HALF, 1), (LEFT_OUT, 0), (TIME_POINTS, 0)])
def test_halves_have_a_rule_of_their_own_and_trajectories_the_standard_error(kind, level):
    errors = np.array([[0.08], [0.09], [0.20]]) + np.array([[0.0, 0.01, -0.01, 0.02]])
    assert chosen_level(kind, errors, EDGES[:3]) == level


def test_left_out_times_choose_the_best_level_and_trajectories_the_sparsest_within_one_standard_error():
    errors = np.array([[0.28, 0.30, 0.29], [0.31, 0.28, 0.30], [0.5, 0.5, 0.5]])  # differences 0.03, -0.02, 0.01
    assert 1 - errors[1].mean() > 0.975 * (1 - errors[0].mean())
    assert chosen_level(LEFT_OUT, errors, EDGES[:3]) == 1
    assert chosen_level(TIME_POINTS, errors, EDGES[:3]) == 0
