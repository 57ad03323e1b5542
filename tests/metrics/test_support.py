"""Exactly zero or not: published definitions written out on dense matrices, and sparse = dense."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import fisher_exact
from sklearn.metrics import balanced_accuracy_score, f1_score

from scdash import metrics

seeds = st.integers(0, 10_000)


def draw(seed: int, n: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    grn, truth = (rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.4) for _ in range(2))
    truth[0, 1], truth[1, 0] = 1.0, 0.0
    return grn, truth


@given(seed=seeds)
def test_balanced_accuracy_is_the_mean_of_both_rates_over_all_entries(seed: int) -> None:
    grn, truth = draw(seed)
    found, true = grn != 0, truth != 0
    published = ((found & true).sum() / true.sum() + (~found & ~true).sum() / (~true).sum()) / 2
    assert metrics.balanced_accuracy(grn, truth) == pytest.approx(published)
    assert metrics.balanced_accuracy(sparse.csr_array(grn), sparse.csc_array(truth)) == pytest.approx(published)
    assert published == pytest.approx(balanced_accuracy_score(true.ravel(), found.ravel()))


@given(seed=seeds)
def test_confusion_adds_up_and_f1_is_harmonic(seed: int) -> None:
    grn, truth = draw(seed)
    off = ~np.eye(len(grn), dtype=bool)
    tp, fp, fn, tn = metrics.confusion(grn, truth, exclude_self=True)
    assert tp + fp + fn + tn == off.sum()
    assert metrics.f1(grn, truth) == pytest.approx(f1_score(truth[off] != 0, grn[off] != 0))
    if tp:
        precision, recall = tp / (tp + fp), tp / (tp + fn)
        assert metrics.f1(grn, truth) == pytest.approx(2 / (1 / precision + 1 / recall))


@given(seed=seeds)
def test_hypergeometric_tail_is_fishers_exact_test(seed: int) -> None:
    grn, truth = draw(seed)
    tp, fp, fn, tn = metrics.confusion(grn, truth, exclude_self=True)
    expected = fisher_exact([[tp, fp], [fn, tn]], alternative="greater").pvalue
    assert metrics.hypergeometric_p(grn, truth) == pytest.approx(expected)


def test_density_and_out_degree_keep_genes_without_targets() -> None:
    grn = sparse.csr_array(np.array([[0.0, 2, -1], [0, 0, 0], [0, 0, 3]]))
    assert metrics.density(grn) == pytest.approx(3 / 9)
    assert metrics.density(grn, exclude_self=True) == pytest.approx(2 / 6)
    named = metrics.out_degree(grn, genes=["a", "b", "c"])
    pd.testing.assert_series_equal(
        named, pd.Series([2, 0, 1], index=["a", "b", "c"], name="out_degree"), check_index_type=False
    )
    assert metrics.out_degree(grn).mean() == 1


def test_explicit_zeros_are_no_edges() -> None:
    grn = sparse.csr_array((np.array([0.0, 1.0]), (np.array([0, 1]), np.array([1, 0]))), shape=(2, 2))
    assert grn.nnz == 2
    assert metrics.density(grn) == 0.25
    table = pd.DataFrame({"source": ["a", "b"], "target": ["b", "a"], "weight": [0.0, 1.0]})
    assert metrics.density(table, genes=["a", "b"]) == 0.25


def test_sparsity_is_over_all_prunable_entries_with_the_rate_in_the_gain() -> None:
    rng = np.random.default_rng(0)
    hidden, n = 4, 6
    weights = {
        "W_sums": rng.normal(size=(hidden, n)) * (rng.random((hidden, n)) < 0.5),
        "W_prods": sparse.csr_array(rng.normal(size=(hidden, n)) * (rng.random((hidden, n)) < 0.5)),
        "b_sums": np.zeros(hidden),
        "U_sums": rng.normal(size=(n, hidden)),
        "U_prods": sparse.csc_array(rng.normal(size=(n, hidden))),
        "v": np.array([1.0, -0.2, 0.0, 0.5, 2.0, 1.0]),
    }
    gain = np.maximum(weights["v"], 0)[:, None]
    dense = {name: np.asarray(m.todense()) if sparse.issparse(m) else m for name, m in weights.items()}
    published = np.concatenate(
        [
            dense["W_sums"].ravel(),
            dense["W_prods"].ravel(),
            (gain * dense["U_sums"]).ravel(),
            (gain * dense["U_prods"]).ravel(),
        ]
    )
    assert published.size == 4 * hidden * n
    assert metrics.sparsity(weights) == pytest.approx(np.mean(published == 0))


def test_sparsity_without_matrices_raises() -> None:
    with pytest.raises(ValueError, match="no matrix"):
        metrics.sparsity({"v": np.ones(3)})


def test_balanced_accuracy_of_a_dense_network_is_one_half() -> None:
    assert metrics.balanced_accuracy(np.ones((5, 5)), np.eye(5)) == 0.5


def test_balanced_accuracy_needs_edges_and_non_edges() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        metrics.balanced_accuracy(np.ones((3, 3)), np.ones((3, 3)))


def test_degree_matched_pairs_keep_the_degrees_and_hit_no_edge() -> None:
    rng = np.random.default_rng(5)
    n = 80
    prior = (rng.random((n, n)) < 0.04) & ~np.eye(n, dtype=bool)
    hide = rng.random((n, n)) < 0.5
    hidden, known = prior & hide, prior & ~hide
    names = np.array([f"g{i}" for i in range(n)])
    drawn = metrics.degree_matched_non_edges(hidden, known=known, genes=names, rng=3)
    assert list(drawn.columns) == ["source", "target"]
    assert len(drawn) == hidden.sum() and not drawn.duplicated().any()
    position = pd.Series(range(n), index=names)
    source, target = position[drawn["source"]].to_numpy(), position[drawn["target"]].to_numpy()
    assert not prior[source, target].any() and (source != target).all()
    np.testing.assert_array_equal(np.bincount(source, minlength=n), hidden.sum(axis=1))
    np.testing.assert_array_equal(np.bincount(target, minlength=n), hidden.sum(axis=0))
    pd.testing.assert_frame_equal(drawn, metrics.degree_matched_non_edges(hidden, known=known, genes=names, rng=3))


def test_degree_matching_gives_up_where_nothing_is_free(caplog) -> None:
    full = ~np.eye(4, dtype=bool)
    with caplog.at_level("INFO", logger="scdash"):
        assert metrics.degree_matched_non_edges(full, rounds=3).empty
    assert "12 of 12 edges" in caplog.text
