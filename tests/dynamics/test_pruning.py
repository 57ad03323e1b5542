"""Pruning in rounds: how many edges go, which ones, and that a product needs both of its genes."""

import numpy as np
import scipy.sparse as sp

from scdash.dynamics.whole_trajectories.edge_pruning import EdgePruning, strengths, with_parents
from scdash.dynamics.whole_trajectories.pruning import Candidate, pruning_path, round_lengths, trained_after_pruning
from scdash.sparsity import SPARSITIES, GeometricSchedule, Prior
from scdash.training.rollouts import GeneWise
from scdash.training.whole_trajectories import WholeTrajectories

from .data import random_model, random_trajectories

GENES = 10
SCHEDULE = GeometricSchedule(first=0.5, first_epoch=0, then=0.5, every=3, until=0.9)


def model_of(seed=0, pairs=()):
    return random_model(GENES, seed, pairs)


def trajectories():
    return random_trajectories(GENES)


def kept(model, sparsity, amount, prior=None, scale=None):
    return EdgePruning(sparsity, model, model.weights.data != 0, prior, scale).prune(model, amount)


def method(name, **options):
    return SPARSITIES[name](schedule=SCHEDULE, **options)


def test_rounds_follow_the_schedule():
    amounts, lengths = zip(*round_lengths(SCHEDULE), strict=True)
    np.testing.assert_allclose(np.cumprod(1 - np.array(amounts)), [0.5, 0.25, 0.125, 0.1])
    assert lengths == (3, 3, 3, 3)
    assert round_lengths(GeometricSchedule(first=0.0)) == []


def test_magnitude_keeps_the_strongest_effects_on_the_derivative():
    model = model_of()
    left = kept(model, method("imp"), 0.5)
    size = np.abs(model.weights.data)
    assert left.sum() == 45 and size[left].min() > size[~left].max()
    slow = GeneWise.of(model.weights, model.bias, np.r_[1e-3, np.ones(GENES - 1)])
    rows = slow.weights.tocoo().row
    assert not kept(slow, method("imp"), 0.5)[rows == 0].any()  # |v U|, not |U|


def test_effects_are_compared_in_units_of_the_data():
    model = model_of()
    scale = np.r_[1e-3, np.ones(GENES - 1)]
    rows = model.weights.tocoo().row
    assert kept(model, method("imp"), 0.5)[rows == 0].any()
    assert not kept(model, method("imp"), 0.5, scale=scale)[rows == 0].any()


def test_the_prior_decides_as_much_as_it_is_told_to():
    model = model_of()
    edges = sp.random(GENES, GENES, density=0.2, random_state=0, format="lil")
    edges.setdiag(0)
    prior = Prior(abs(edges.tocsr()), missing="zero")
    inside = np.asarray(edges.tocsr()[model.weights.nonzero()]).ravel() != 0
    share = [kept(model, method("dash", lambdas=lam), 0.7, prior)[inside].mean() for lam in (0.0, 0.5, 1.0)]
    assert share[0] < share[1] <= share[2] == 1.0


def test_a_product_stays_while_both_of_its_genes_regulate_the_target():
    model = model_of(pairs=[(0, 1), (2, 2)])
    matrix = model.weights.tocoo()
    kept = np.ones(len(matrix.data), dtype=bool)
    kept[(matrix.row == 5) & (matrix.col == 1)] = False
    found = with_parents(model, kept)
    lost = kept & ~found
    assert set(zip(matrix.row[lost], matrix.col[lost], strict=True)) <= {
        (5, GENES),
        (0, GENES),
        (1, GENES),
        (2, GENES + 1),
    }
    assert lost[(matrix.row == 5) & (matrix.col == GENES)].all()
    assert found[(matrix.row == 6) & (matrix.col == GENES)].all()


def test_a_path_begins_unpruned_and_ends_where_it_is_told():
    start = Candidate(3, 0, model_of(), [0.5])
    settings = WholeTrajectories(batch_size=8)
    path = pruning_path(start, trajectories(), settings, method("imp"), None, seed=0)
    assert [one.edges for one in path] == [90, 45, 23, 12, 9] or [one.edges for one in path][:2] == [90, 45]
    assert [one.level for one in path] == list(range(len(path))) and path[0] is start
    assert len(path[1].losses) == 1 + 3
    assert len(pruning_path(start, trajectories(), settings, method("imp"), None, seed=0, last=2)) == 3
    assert pruning_path(start, trajectories(), settings, SPARSITIES["none"](), None, seed=0) == [start]


def test_a_start_that_was_not_trained_is_not_trained_between_rounds():
    start = Candidate(0, 0, model_of())
    path = pruning_path(start, trajectories(), WholeTrajectories(), method("imp"), None, seed=0)
    left = path[2].model.weights.data != 0
    np.testing.assert_array_equal(path[2].model.weights.data[left], start.model.weights.data[left])


def test_what_an_edge_does_through_products_counts():
    weights = np.zeros((3, 4))
    weights[2, 0], weights[2, 1], weights[2, 3] = 0.1, 0.5, 4.0
    model = GeneWise.of(weights, np.zeros(3), np.ones(3), [(0, 1)])
    activations = np.array([0.2, 0.05, 0.1])
    np.testing.assert_allclose(strengths(model), [0.1, 0.5, 4.0], rtol=1e-6)
    np.testing.assert_allclose(strengths(model, activations), [0.1 + 4 * 0.05, 0.5 + 4 * 0.2, 4.0], rtol=1e-6)


def test_rounds_count_edges_of_the_final_model_where_it_is_named():
    start = Candidate(1, 0, model_of())
    settings = WholeTrajectories(learning_rate=1e-4)
    found = pruning_path(start, trajectories(), settings, method("imp"), None, seed=0, whole=60)
    assert [one.edges for one in found] == [90, 30, 15, 7, 6]


def test_training_after_pruning_keeps_the_edges_that_are_left_and_lowers_the_training_error():
    start = Candidate(3, 0, model_of(), [0.5], [90])
    settings = WholeTrajectories(batch_size=8, learning_rate=1e-2)
    pruned = pruning_path(start, trajectories(), settings, method("imp"), None, seed=0)[2]
    trained = trained_after_pruning(pruned, trajectories(), settings, 40, seed=1)
    np.testing.assert_array_equal(trained.model.weights.data != 0, pruned.model.weights.data != 0)
    assert (trained.model.weights.data != pruned.model.weights.data).any()
    assert trained.level == pruned.level and trained.epochs == pruned.epochs
    assert len(trained.losses) == len(pruned.losses) + 40 == len(trained.sizes)
    assert np.mean(trained.losses[-5:]) < np.mean(pruned.losses[-3:])
