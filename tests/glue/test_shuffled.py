"""What null models are drawn from: other regulators and other priors; and how a regression of cells is repeated."""

import numpy as np
import scipy.sparse as sp

from scdash.dynamics.comparisons.null_models import (
    random_regulators,
    shuffle_labels,
    shuffled_priors,
)


def prior_of(genes=12, regulators=4, seed=0):
    """Return a signed prior (target, regulator) of the first genes on the others, and their indices."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((genes, genes))
    dense[regulators:, :regulators] = rng.integers(-1, 2, (genes - regulators, regulators))
    return sp.csr_matrix(dense), np.arange(regulators)


# Random regulators.


def test_random_regulators_are_sets_of_other_genes_each_its_own():
    sets = random_regulators(np.array([7, 1, 4, 4]), 30, np.random.default_rng(0), number=6)
    assert len(sets) == 6
    for genes in sets:
        assert len(set(genes)) == len(genes) == 3  # as many as there are different regulators
        assert not set(genes) & {1, 4, 7}
        assert (np.diff(genes) > 0).all() and 0 <= genes.min() and genes.max() < 30
    assert len({tuple(genes) for genes in sets}) == 6
    assert len(random_regulators(np.arange(3), 30, np.random.default_rng(0))) == 4


def test_random_regulators_come_from_the_others_as_long_as_there_are_enough():
    rng = np.random.default_rng(0)
    for genes in random_regulators(np.arange(5), 10, rng, number=3):  # exactly enough
        assert genes.tolist() == [5, 6, 7, 8, 9]
    crowded = np.concatenate(random_regulators(np.arange(6), 10, rng, number=20))
    assert set(crowded) == set(range(10))
    assert random_regulators(np.arange(10), 10, rng) == []
    assert random_regulators(np.array([], dtype=int), 10, rng) == []
    assert [genes.tolist() for genes in random_regulators(np.array([0]), 2, rng, number=2)] == [[1], [1]]
    assert len(random_regulators(np.array([0.0, 2.0]), 5, rng, number=1)[0]) == 2


# Shuffled priors.


def test_shuffled_labels_move_whole_genes():
    """The prior is the same up to one permutation of its genes, regulators among regulators."""
    prior, regulators = prior_of()
    for given in (regulators, None):
        shuffled = shuffle_labels(prior, given, np.random.default_rng(3)).toarray()
        assert (shuffled != prior.toarray()).any()
        assert not shuffled[:4].any() and not shuffled[:, 4:].any()
        rows = sorted(map(tuple, np.sort(prior.toarray()[4:], axis=1).tolist()))
        assert sorted(map(tuple, np.sort(shuffled[4:], axis=1).tolist())) == rows
        columns = sorted(map(tuple, np.sort(prior.toarray()[:, :4], axis=0).T.tolist()))
        assert sorted(map(tuple, np.sort(shuffled[:, :4], axis=0).T.tolist())) == columns
    assert shuffle_labels(prior, regulators, np.random.default_rng(3)).shape == prior.shape


def test_a_regulator_without_an_edge_takes_part():
    """Two regulators, one of them without a target: after a permutation either can be the one that has them."""
    dense = np.zeros((6, 6))
    dense[2:, 0] = 1
    prior = sp.csr_matrix(dense)
    owners = {
        int(np.flatnonzero(shuffle_labels(prior, np.array([0, 1]), np.random.default_rng(seed)).sum(axis=0).A1)[0])
        for seed in range(20)
    }
    assert owners == {0, 1}


def test_shuffled_priors_differ_from_the_real_one_in_their_edges():
    prior, regulators = prior_of()
    found = shuffled_priors(prior, regulators, np.random.default_rng(0), number=5)
    assert len(found) == 5
    for one in found:
        assert (one.astype(bool) != prior.astype(bool)).nnz > 0
    assert len({one.toarray().tobytes() for one in found}) == 5


def test_priors_that_permutations_hardly_ever_change_are_left_out():
    full = np.zeros((6, 6))
    full[2:, :2] = 1  # every regulator acts on every gene
    assert shuffled_priors(sp.csr_matrix(full), np.arange(2), np.random.default_rng(0), number=5) == []
    signs = full * np.array([1, -1, 0, 0, 0, 0])  # other signs are not other edges
    assert shuffled_priors(sp.csr_matrix(signs), np.arange(2), np.random.default_rng(0), number=5) == []
    dense = np.zeros((40, 40))
    dense[1:39, 0] = 1  # one gene has no edge: it keeps its name in one of 39 permutations
    rare = shuffled_priors(sp.csr_matrix(dense), np.arange(1), np.random.default_rng(0), number=2, tries=1)
    assert len(rare) == 2
    few = np.zeros((4, 4))
    few[2, 0] = few[2, 1] = 1  # half of all permutations change nothing
    drawn = [
        shuffled_priors(sp.csr_matrix(few), np.arange(2), np.random.default_rng(0), number=4, tries=k) for k in (1, 20)
    ]
    assert len(drawn[0]) < 4 and len(drawn[1]) == 4


def test_twenty_permutations_are_tried_for_every_prior():
    prior, calls = sp.csr_matrix(np.ones((3, 3))), []

    class Counting:
        def permutation(self, group):
            calls.append(1)
            return group

    assert shuffled_priors(prior, np.arange(2), Counting(), number=3) == []
    assert len(calls) == 2 * 3 * 20  # two groups of genes a permutation
