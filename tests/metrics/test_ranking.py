"""Ranked edges against scikit-learn on all pairs, and against the published formulas written out."""

import pickle
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score

from scdash import metrics


def network(seed: int, n: int = 12, density: float = 0.3, levels: int = 4) -> np.ndarray:
    """Signed weights with many ties and many zeros."""
    rng = np.random.default_rng(seed)
    return rng.integers(-levels, levels + 1, (n, n)) * (rng.random((n, n)) < density) / levels


def pairs(matrix: np.ndarray, *, exclude_self: bool = True) -> np.ndarray:
    """All entries of a matrix in one order, without the diagonal if asked."""
    return matrix[~np.eye(len(matrix), dtype=bool)] if exclude_self else matrix.ravel()


seeds = st.integers(0, 10_000)


@given(seed=seeds, exclude_self=st.booleans())
def test_auprc_equals_sklearn_over_all_pairs_with_ties(seed: int, exclude_self: bool) -> None:
    scores, truth = network(seed), network(seed + 1, density=0.2)
    truth[0, 1] = 1
    label = pairs(truth, exclude_self=exclude_self) != 0
    found = metrics.auprc(sparse.csr_array(scores), truth, exclude_self=exclude_self)
    assert found == pytest.approx(average_precision_score(label, np.abs(pairs(scores, exclude_self=exclude_self))))
    assert found.prevalence == pytest.approx(label.mean())


@given(seed=seeds)
def test_signed_auprc_ranks_pair_and_sign(seed: int) -> None:
    scores, truth = network(seed), network(seed + 1, density=0.2)
    truth[0, 1], truth[1, 0] = 1, -1
    item, label = np.append(pairs(scores), -pairs(scores)), np.append(pairs(truth) > 0, pairs(truth) < 0)
    found = metrics.auprc(scores, truth, signed=True)
    assert found == pytest.approx(average_precision_score(label, item))
    assert found.prevalence == pytest.approx(label.mean())


def test_signed_auprc_of_activation_only_ranks_by_the_score_itself() -> None:
    scores, truth = network(3), np.abs(network(4, density=0.2))
    assert metrics.auprc(scores, truth, signed=True) == pytest.approx(
        average_precision_score(pairs(truth) > 0, pairs(scores))
    )


def test_a_wrong_sign_is_found_unsigned_and_not_found_signed() -> None:
    truth = np.zeros((3, 3))
    truth[0, 1], truth[1, 2] = 1, -1
    assert metrics.auprc(-truth, truth) == 1
    assert metrics.auprc(truth, truth, signed=True) == 1
    # wrong signs come first, the eight unlisted items next and the two true ones last: P = 1/12... 2/12 at the end
    assert metrics.auprc(-truth, truth, signed=True) == pytest.approx(2 / 12)


def test_a_ranking_without_information_scores_the_prevalence() -> None:
    truth = network(0, n=30, density=0.1)
    nothing = metrics.auprc(sparse.csr_array((30, 30)), truth)
    assert nothing == pytest.approx(nothing.prevalence)


def test_auprc_is_a_float_that_keeps_its_prevalence() -> None:
    area = metrics.auprc(network(0), network(1))
    again = pickle.loads(pickle.dumps(area))
    assert isinstance(area, float) and again == area and again.prevalence == area.prevalence
    assert "prevalence" in repr(area)


@given(seed=seeds)
def test_relabelling_the_genes_changes_nothing(seed: int) -> None:
    scores, truth = network(seed), network(seed + 1)
    truth[0, 1] = 1
    order = np.random.default_rng(seed).permutation(len(scores))
    moved = (scores[np.ix_(order, order)], truth[np.ix_(order, order)])
    assert metrics.auprc(*moved) == pytest.approx(metrics.auprc(scores, truth))
    assert metrics.recall_at_density(*moved, 0.13) == pytest.approx(metrics.recall_at_density(scores, truth, 0.13))
    assert metrics.top_k_precision(*moved, 7) == pytest.approx(metrics.top_k_precision(scores, truth, 7))


@given(seed=seeds, k=st.integers(1, 100))
def test_top_k_precision_is_the_mean_over_random_orders_of_ties(seed: int, k: int) -> None:
    scores, truth = network(seed), network(seed + 1)
    truth[0, 1] = 1
    value, label = np.abs(pairs(scores)), pairs(truth) != 0
    # in expectation an item of the tied block at the cut is taken with probability (room left) / (size of the block)
    cut = np.sort(value)[::-1][k - 1]
    above, tied = value > cut, value == cut
    expected = (label[above].sum() + label[tied].sum() * (k - above.sum()) / tied.sum()) / k
    assert metrics.top_k_precision(scores, truth, k) == pytest.approx(expected)
    recall = metrics.recall_at_density(scores, truth, k / len(value))
    assert recall == pytest.approx(expected * k / label.sum())


def test_recall_of_a_random_ranking_is_the_density() -> None:
    assert metrics.recall_at_density(np.zeros((9, 9)), network(2, n=9), 0.25) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.auprc(np.eye(3), np.zeros((3, 3))), "truth holds no edge"),
        (lambda: metrics.auprc(np.eye(3), np.eye(3)), "truth holds no edge"),
        (lambda: metrics.top_k_precision(network(0), network(1), 0), "k must lie between 1 and .* 132"),
        (lambda: metrics.recall_at_density(network(0), network(1), 1.5), "density must lie in"),
        (lambda: metrics.auprc(np.full((3, 3), np.nan), np.ones((3, 3))), "scores holds 9 values that are not finite"),
    ],
)
def test_bad_requests_say_why(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@given(seed=seeds)
def test_evidence_auc_equals_sklearn(seed: int) -> None:
    scores, prior = network(seed), network(seed + 1)
    prior[0, 1], prior[1, 0], prior[2, 3] = 1, 1, 0
    hide = np.random.default_rng(seed).random(prior.shape) < 0.5
    hide[0, 1] = True
    hidden, known = np.where(hide, prior, 0), np.where(hide, 0, prior)
    use = (pairs(known) == 0) | (pairs(hidden) != 0)
    expected = roc_auc_score(pairs(hidden)[use] != 0, np.abs(pairs(scores))[use])
    assert metrics.evidence_auc(scores, hidden, known=known) == pytest.approx(expected)


def test_evidence_auc_against_chosen_pairs() -> None:
    scores = np.array([[0, 3.0, 1.0], [2.0, 0, 0], [0, 2.0, 0]])
    hidden = pd.DataFrame({"source": ["a", "b"], "target": ["b", "a"]})  # scores 3 and 2
    against = pd.DataFrame({"source": ["c", "a", "b"], "target": ["b", "c", "c"]})  # scores 2, 1 and 0
    # six comparisons: 3 wins three times; 2 wins twice and ties once
    found = metrics.evidence_auc(scores, hidden, against=against, genes=["a", "b", "c"])
    assert found == pytest.approx(5.5 / 6)


def test_degree_matched_pairs_defeat_a_ranking_by_degrees() -> None:
    """Hubs alone 'recover' edges against random pairs, and do not against degree-matched ones."""
    rng = np.random.default_rng(0)
    n, activity = 60, np.exp(rng.normal(size=60))
    chance = np.outer(activity, activity) / activity.sum()
    edges = sparse.csr_array((rng.random((n, n)) < np.minimum(chance, 0.5)) & ~np.eye(n, dtype=bool)).astype(float)
    degrees = np.outer(edges.sum(axis=1), edges.sum(axis=0))
    matched = metrics.degree_matched_non_edges(edges, rng=1)
    as_matrix = sparse.csr_array((np.ones(len(matched)), (matched["source"], matched["target"])), shape=(n, n))
    assert metrics.evidence_auc(degrees, edges) > 0.75
    # the matched pairs miss the few hub-hub corners where no pair is free, which leaves a little
    assert metrics.evidence_auc(degrees, edges, against=as_matrix) < 0.6


def test_350_genes_are_fast_and_11165_are_never_dense() -> None:
    rng = np.random.default_rng(0)
    dense, truth = rng.normal(size=(350, 350)), sparse.random_array((350, 350), density=0.0045, rng=rng)
    began = time.process_time()
    metrics.auprc(dense, truth)
    assert time.process_time() - began < 1
    n = 11_165
    large = [sparse.random_array((n, n), density=0.002, rng=rng, format="csr") for _ in range(2)]
    began = time.process_time()
    area = metrics.auprc(*large)
    assert area == pytest.approx(area.prevalence, rel=0.05)  # independent networks
    # 125 million pairs as floats would be a gigabyte; the sparse route takes well under a second
    assert time.process_time() - began < 5
