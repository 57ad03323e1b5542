"""The statistics of the phenotype benchmark against direct computation, and its propagation on a chain of genes."""

import numpy as np
import pandas as pd
import pytest
from benchmarks.phenotypes import propagation
from benchmarks.phenotypes.statistics import auc, contrasts, interval_of_difference, residual
from sklearn.metrics import roc_auc_score


def test_areas_are_those_of_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 5, 60).astype(float), rng.random(60) < 0.3
    assert auc(score, positive) == pytest.approx(roc_auc_score(positive, score))


def test_partial_phenotypes_take_no_part_where_strong_ones_are_asked_for():
    truth = pd.DataFrame(
        {"call": ["required", "required", "dispensable", "unknown"], "strength": ["strong", "partial", "", ""]}
    )
    used, positive = contrasts(truth)["strong, rest"]
    assert used.tolist() == [True, False, True, True] and positive.tolist() == [True, False, False, False]
    used, positive = contrasts(truth)["required, dispensable"]
    assert used.tolist() == [True, True, True, False] and positive.tolist() == [True, True, False, False]


def test_the_interval_is_paired():
    """Equal scores differ by nothing in every draw; a clearly better score by more than 0 in nearly all."""
    rng = np.random.default_rng(1)
    positive = np.arange(80) < 30
    noise = rng.normal(size=80)
    assert interval_of_difference(noise, noise, positive) == (0, 0)
    low, high = interval_of_difference(noise + 2 * positive, noise, positive)
    gain = auc(noise + 2 * positive, positive) - auc(noise, positive)
    assert 0 < low < gain < high < 0.6


def test_a_score_that_is_expression_leaves_nothing():
    rng = np.random.default_rng(2)
    expression = rng.normal(size=200)
    scores = pd.DataFrame({"mean expression": expression, "signed change": rng.normal(size=200)})
    scores["absolute change"], scores["score"] = scores["signed change"].abs(), expression**3
    assert np.abs(residual(scores, "score")).max() < 1e-8  # the same ranks


def test_a_loss_is_carried_along_a_chain_and_never_below_0():
    """g0 -> g1 -> g2: without g0 both fall, at most to 0; nothing acts on g3."""
    rng = np.random.default_rng(3)
    first = 2 + np.linspace(0, 2, 300) + 0.1 * rng.normal(size=300)
    x = np.column_stack([first, first, first, np.full(300, 1.0)]) + 0.01 * rng.normal(size=(300, 4))
    allowed = np.zeros((4, 4), bool)
    allowed[0, 1] = allowed[1, 2] = True
    against, size = propagation.scores(x, np.arange(300.0), allowed, np.array([0, 1, 2, 3]))
    assert size[0] > size[1] > 1 and size[2] == size[3] == 0
    assert against[0] > against[1] > 0 == against[3]
    shift = propagation.propagate(x, propagation.weights(x, allowed), np.arange(4), 0)
    assert (x + shift > -1e-9).all() and np.allclose(shift[:, 0], -x[:, 0])
