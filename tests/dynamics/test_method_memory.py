"""A sparsity method with a memory follows the whole of a fit on whole trajectories, and is given the loss's gradients."""

import numpy as np
import pytest
import torch

from scdash.dynamics.whole_trajectories.edge_pruning import EdgePruning, strength_gradients, strengths
from scdash.dynamics.whole_trajectories.pruning import dense_path, pruning_path
from scdash.sparsity import GeometricSchedule, Score, Sparsity
from scdash.training.whole_trajectories import Trainer, WholeTrajectories, squared_error

from .data import random_model, random_trajectories

GENES = 6
SCHEDULE = GeometricSchedule(first=0.5, first_epoch=0, then=0.5, every=3, until=0.8)
SETTINGS = WholeTrajectories(batch_size=8)


def model_of(pairs=()):
    return random_model(GENES, pairs=pairs)


def trajectories():
    return random_trajectories(GENES)


class Counting(Score):
    """Remember the number of steps and the sum of weights times gradients; note both at every pruning."""

    def __init__(self):
        self.started, self.noted = 0, []

    def start(self, field, params, generator):
        """Begin at 0."""
        self.started += 1
        return {"steps": torch.zeros(1), "moved": torch.zeros_like(params["U_sums"])}

    def after_step(self, seen):
        """Count the step, and add the product."""
        moved = seen.memory["moved"] + seen.params["U_sums"] * seen.gradients["U_sums"]
        return {"steps": seen.memory["steps"] + 1, "moved": moved}

    def __call__(self, seen):
        """Note the memory; prune by magnitude."""
        self.noted.append((int(seen.memory["steps"]), seen.memory["moved"].numpy().copy()))
        return {"U_sums": seen.params["U_sums"].abs().double()}, seen.memory


def path_of(score, epochs, shown):
    method = Sparsity("counting", score=score, schedule=SCHEDULE)
    start = model_of()
    dense = dense_path(start, trajectories(), SETTINGS, method, None, seed=0, epochs=max(epochs, 1), shown=shown)[-1]
    return dense, pruning_path(dense, trajectories(), SETTINGS, method, None, seed=1)


def test_one_memory_lives_from_the_first_dense_epoch_to_the_last_round():
    score = Counting()
    path_of(score, 4, (0, 4))
    assert score.started == 1
    assert [steps for steps, _ in score.noted] == [4, 7, 10]


def test_rounds_without_training_see_the_gradients_of_a_batch_each():
    score = Counting()
    dense, path = path_of(score, 0, (0,))
    assert [steps for steps, _ in score.noted] == [1, 2, 3]
    assert np.abs(score.noted[0][1]).max() > 0
    left = path[1].model.weights.data != 0
    np.testing.assert_array_equal(path[1].model.weights.data[left], dense.model.weights.data[left])


def test_the_memory_of_a_candidate_is_that_of_its_epoch():
    score = Counting()
    method = Sparsity("counting", score=score, schedule=SCHEDULE)
    found = dense_path(model_of(), trajectories(), SETTINGS, method, None, seed=0, epochs=4, shown=(0, 2, 4))
    assert [int(one.memory["steps"]) for one in found] == [0, 2, 4]


def test_gradients_are_those_of_the_loss_along_an_edge_and_its_products():
    model = model_of(pairs=[(0, 1), (2, 3)])
    data = trajectories()
    seen = {}
    trainer = Trainer(model, data, SETTINGS, 0, None, lambda at, gradients: seen.update(gradients=gradients.copy()))
    batch = trainer._draw()
    trainer._differentiate(batch)
    activations = np.linspace(0.2, 0.8, GENES)
    strength = strengths(model, activations)
    found = strength_gradients(model, seen["gradients"], strength)
    matrix = model.weights.tocoo()

    def loss(target, gene, factor):
        part = (matrix.row == target) & (
            (matrix.col == gene) | np.isin(matrix.col, GENES + np.flatnonzero((model.pairs == gene).any(axis=1)))
        )
        moved = model.with_arrays(np.where(part, factor * matrix.data, matrix.data), model.bias, model.rates)
        return squared_error(moved, data, batch, np.ones(GENES, np.float32))[0]

    for edge in np.flatnonzero(matrix.col < GENES)[::4]:
        target, gene = matrix.row[edge], matrix.col[edge]
        expected = (loss(target, gene, 1.01) - loss(target, gene, 0.99)) / 0.02
        assert found[edge] * strength[edge] == pytest.approx(expected, rel=0.05, abs=2e-5)


def test_an_edge_of_strength_0_has_the_gradient_of_its_weight():
    model = model_of()
    none = model.with_arrays(0 * model.weights.data, model.bias, model.rates)
    given = np.arange(len(none.weights.data), dtype=np.float32)
    np.testing.assert_array_equal(strength_gradients(none, given, strengths(none)), given)


def test_a_method_that_does_not_follow_is_told_nothing():
    assert EdgePruning(Sparsity("none"), model_of(), model_of().weights.data != 0).follower is None


def test_pruned_edges_stay_pruned_and_have_no_gradient():
    class Watching(Counting):
        def after_step(self, seen):
            gone = ~seen.masks["U_sums"]
            assert float(seen.gradients["U_sums"][gone].abs().sum()) == 0
            return super().after_step(seen)

    score = Watching()
    _, path = path_of(score, 4, (4,))
    assert [one.edges for one in path] == [30, 15, 7, 6]
