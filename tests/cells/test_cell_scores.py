"""The two path scores that rank edges of cells, and their moments."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash._data import Placed, as_expression, halve_cells, within_moments
from scdash.networks.cell_scores_of_edges import cell_scores, within_scores
from scdash.networks.lagged_edges import lagged_scores


def draw(cells: int, genes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(cells, genes)) + np.arange(genes)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("sources", [None, [3, 1]])
def test_within_moments_are_sums_of_products_of_deviations(kind, sources):
    x, rng = draw(90, 5), np.random.default_rng(1)
    group, part = rng.integers(-1, 4, 90), rng.integers(-1, 3, 90)
    found = within_moments(as_expression(kind(x)), group, part, sources=sources)
    inside = (group >= 0) & (part >= 0)
    deviation = x[inside] - pd.DataFrame(x[inside]).groupby(group[inside]).transform("mean").to_numpy()
    for q in range(3):
        own = deviation[part[inside] == q]
        np.testing.assert_allclose(found.cross[q], own[:, sources or slice(None)].T @ own, atol=1e-10)
        np.testing.assert_allclose(found.squares[q], (own**2).sum(0), atol=1e-10)


def test_moments_of_blocks_are_those_of_all_cells(monkeypatch):
    x, group, part = draw(50, 4), np.arange(50) % 3, np.arange(50) % 4
    whole = within_moments(as_expression(x), group, part)
    values = as_expression(x)
    monkeypatch.setattr(type(values), "blocks", lambda self: ((slice(k, k + 7), x[k : k + 7]) for k in range(0, 50, 7)))
    np.testing.assert_allclose(within_moments(values, group, part).cross, whole.cross, atol=1e-10)


def test_within_scores_see_direct_links_and_no_common_course():
    rng, time = np.random.default_rng(2), np.linspace(0, 1, 1500)
    a, other, e = rng.normal(size=(3, 1500))
    b = 0.8 * a + 0.6 * e
    c = 0.8 * b + 0.6 * rng.normal(size=1500)
    course = 5 * np.sin(6 * time)  # shared by two genes that have nothing else in common
    x = np.column_stack([a, b, c, other + course, rng.normal(size=1500) + course])
    score = within_scores(halve_cells(as_expression(x), Placed.of(time), n_bins=20, rng=0).within).toarray()
    np.testing.assert_allclose(score, score.T, atol=0.2)  # a link has no direction
    assert not score.diagonal().any()
    assert min(score[1, 0], score[2, 1]) > 0.6
    assert max(score[2, 0], score[4, 3]) < 0.3  # indirect; common course alone
    raw = np.corrcoef(x.T)
    assert raw[4, 3] > raw[1, 0]  # which is what correlation would have ranked first


def test_scores_are_those_of_relabelled_genes_and_in_other_units():
    rng, time = np.random.default_rng(3), np.linspace(0, 1, 400)
    x = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + np.sin(3 * time)[:, None]
    order = rng.permutation(6)
    plain, relabelled, scaled = (
        cell_scores(halve_cells(as_expression(values), Placed.of(time), n_draws=3, rng=0)).frequency.toarray()
        for values in (x, x[:, order], x * np.arange(1, 7) + 3)
    )
    np.testing.assert_allclose(relabelled, plain[np.ix_(order, order)], atol=1e-12)
    np.testing.assert_allclose(scaled, plain, atol=0.05)  # what is explained is in the units of the data
    assert plain.min() >= 0
    assert plain.max() <= 1


def test_the_ranking_is_the_weighted_mean_of_both_scores_and_keeps_to_the_regulators():
    rng, time = np.random.default_rng(4), np.linspace(0, 1, 300)
    x, regulators = rng.normal(size=(300, 5)), np.array([1, 3])
    halves = halve_cells(as_expression(x), Placed.of(time), n_draws=2, sources=regulators, rng=0)
    found = cell_scores(halves, regulators)
    weight = min(max(found.explained, 0), 1)
    mean = (weight * found.lagged + found.within).toarray() / (1 + weight)
    np.testing.assert_allclose(found.frequency.toarray(), mean)
    np.testing.assert_allclose(found.lagged.toarray(), lagged_scores(halves, regulators).frequency.toarray())
    np.testing.assert_allclose(found.within.toarray(), within_scores(halves.within).toarray())
    assert dataclasses.replace(found, explained=-0.3).lagged_weight == 0  # nothing explained: within time alone
    assert dataclasses.replace(found, explained=0.4).association_weight == 1 / 2.4
    np.testing.assert_allclose(halves.within.correlation, np.corrcoef(x.T)[regulators], atol=1e-9)
    assert set(found.frequency.nonzero()[1]) <= {1, 3}


def test_flat_genes_have_no_edges():
    x = draw(200, 4, seed=5)
    x[:, 2] = 1.5
    score = cell_scores(
        halve_cells(as_expression(x), Placed.of(np.linspace(0, 1, 200)), n_draws=2, rng=0)
    ).frequency.toarray()
    assert np.isfinite(score).all()
    assert not score[2].any()
    assert not score[:, 2].any()


def test_cells_without_a_prior_are_ranked_by_it_and_so_is_the_control(cells):
    scdash.tl.fit_dynamics(
        cells,
        time_key="time",
        batch_key="batch",
        observations=scdash.Cells(n_bins=10),
        training=scdash.Training(max_epochs=5),
    )
    edges = scdash.get.grn(cells)
    share = cells.uns["dynamics"]["prior"]["association_weight"]
    assert 1 / 3 <= share <= 1 / 2
    everything = scdash.get.grn(cells, candidates=True)
    frequency = everything["selection_frequency"].fillna(0)
    np.testing.assert_allclose(
        everything["score"], (1 - share) * frequency + share * everything["association"], rtol=1e-5, atol=1e-7
    )
    at = [cells.var_names.get_indexer(everything[end]) for end in ("source", "target")]
    np.testing.assert_allclose(everything["association"], np.abs(np.corrcoef(cells.X.T))[at[0], at[1]], atol=1e-5)
    assert edges["score"].is_monotonic_decreasing
    assert edges["score"].gt(0).any()
    text = scdash.get.report(cells, verbosity=3).attrs["summary"]
    assert -1 <= float(text.split("correlate at ")[1].split()[0].rstrip(".")) < 1
