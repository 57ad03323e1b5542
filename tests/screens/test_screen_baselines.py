"""Baselines of screens against the formulas they implement."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, optimize

from scdash._data.screen import KINDS, parse_screen
from scdash.screens.baselines.network_scores import (
    correlation,
    differential_expression,
    forest,
    linear_effects,
    masked_lasso,
    masked_ridge,
)
from scdash.screens.baselines.notears import (
    PENALTIES,
    WITHOUT_CHOICE,
    _is_acyclic,
    acyclicity,
    choose_penalty,
    choose_rank,
    notears,
    notears_low_rank,
    sample_linear_scm,
    screen_moments,
    standardised_sd,
    to_acyclic,
)
from scdash.screens.statistics import assign_folds, perturbation_statistics

W = np.zeros((5, 5))
W[0, 1], W[1, 2], W[0, 3], W[3, 4] = 1.2, -0.9, 0.8, 1.1


@pytest.fixture(scope="module")
def linear_screen():
    """Cells of a linear causal model under perfect interventions on each gene."""
    rng = np.random.default_rng(0)
    cells = [sample_linear_scm(W, np.full(5, 5.0), np.full(5, 0.5), np.zeros(5, bool), np.zeros(5), 200, rng=rng)]
    labels = ["control"] * 200
    for g in range(5):
        at = np.arange(5) == g
        cells.append(sample_linear_scm(W, np.full(5, 5.0), np.full(5, 0.5), at, np.where(at, 8.0, 0), 200, rng=rng))
        labels += [f"g{g}"] * 200
    x = np.concatenate(cells)
    return x, parse_screen(labels, pd.Index([f"g{i}" for i in range(5)]))


def test_masked_ridge_is_ridge_on_the_cells_that_leave_the_gene_alone(linear_screen):
    from sklearn.linear_model import Ridge

    x, screen = linear_screen
    scores, model = masked_ridge(x, screen, alpha=3.0)
    for t in range(5):
        rows = ~screen.targets[screen.cells, t]
        others = np.delete(np.arange(5), t)
        fitted = Ridge(alpha=3.0).fit(x[rows][:, others], x[rows, t])
        np.testing.assert_allclose(model.weights[others, t], fitted.coef_, atol=1e-8)
        np.testing.assert_allclose(scores[others, t], fitted.coef_ * x[:, others].std(0) / x[rows, t].std(), atol=1e-8)
    assert (np.diag(scores) == 0).all()
    np.testing.assert_allclose(model.effect, 3.0, atol=0.2)


def test_masked_ridge_shares_one_inverse_between_genes_that_are_never_perturbed():
    """Genes that no cell, few cells and many cells leave out are those of separate regressions, to rounding."""
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    labels = (
        ["control"] * 80 + [f"g{g}" for g in (0, 1, 2) for _ in range(2)] + [f"g{g}" for g in (3, 4) for _ in range(50)]
    )
    x = rng.normal(size=(len(labels), 6)) @ rng.normal(size=(6, 40)) + rng.normal(size=(len(labels), 40)) + 5
    screen = parse_screen(labels, pd.Index([f"g{i}" for i in range(40)]))
    scores, model = masked_ridge(x, screen)
    centre = x[:80].mean(0)
    for t in range(40):
        rows, others = ~screen.targets[screen.cells, t], np.delete(np.arange(40), t)
        fitted = Ridge(alpha=10.0, solver="cholesky").fit((x - centre)[rows][:, others], (x - centre)[rows, t])
        np.testing.assert_allclose(model.weights[others, t], fitted.coef_, rtol=0, atol=1e-10)
        np.testing.assert_allclose(model.constant[t], fitted.intercept_, rtol=0, atol=1e-9)
        np.testing.assert_allclose(scores[others, t], fitted.coef_ * x[:, others].std(0) / x[rows, t].std(), atol=1e-10)
    assert (np.diag(model.weights) == 0).all()


def test_differential_expression_is_the_mean_z_of_the_targeting_perturbations(linear_screen):
    x, screen = linear_screen
    stats = perturbation_statistics(x, screen, assign_folds(screen, 2, np.random.default_rng(0)), slope=None)
    z = differential_expression(stats)
    shift = x[screen.cells == 1].mean(0) - x[screen.cells == 0].mean(0)
    assert z[0, 1] == pytest.approx(abs(shift[1]) / (stats.noise_sd[1] * np.sqrt(2 / 200)))
    assert z[0, 1] > 20 > z[1, 0]  # effects flow downstream only


def test_correlation_is_numpys(linear_screen):
    x, screen = linear_screen
    expected = np.corrcoef(x.T)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(correlation(x, screen), expected)


def test_forest_and_lasso_find_the_edges(linear_screen):
    x, screen = linear_screen
    scores = forest(x, screen, n_trees=20, max_cells=400)
    assert scores[0, 1] > 0.4 and scores[3, 4] > 0.4
    stats = perturbation_statistics(x, screen, assign_folds(screen, 3, np.random.default_rng(0)), slope=None)
    found = masked_lasso(stats, nonnegative=False).score
    assert set(np.argsort(-np.abs(found), axis=None)[:4]) == set(np.flatnonzero(W))
    with pytest.raises(ValueError, match="slope=None"):
        masked_lasso(perturbation_statistics(x, screen, stats.fold))


def test_acyclicity_vanishes_on_dags_only_and_its_gradient_is_right():
    assert acyclicity(W)[0] == pytest.approx(0, abs=1e-12)
    cyclic = W.copy()
    cyclic[2, 0] = 0.5
    h, slope = acyclicity(cyclic)
    assert h == pytest.approx(np.trace(linalg.expm(cyclic**2)) - 5) and h > 0.01
    numeric = optimize.approx_fprime(cyclic.ravel(), lambda v: acyclicity(v.reshape(5, 5))[0], 1e-6)
    np.testing.assert_allclose(slope.ravel(), numeric, atol=1e-4)


def test_notears_recovers_a_linear_model_and_low_rank_is_acyclic(linear_screen):
    x, screen = linear_screen
    stats = perturbation_statistics(x, screen, assign_folds(screen, 2, np.random.default_rng(0)), slope=None)
    gram, cross = screen_moments(stats)
    np.testing.assert_allclose(gram, np.corrcoef(x.T), atol=1e-8)
    found = notears(gram, cross, lam=0.02, rounds=14)
    assert set(np.argsort(-np.abs(found), axis=None)[:4]) == set(np.flatnonzero(W))
    assert acyclicity(found)[0] < 1e-5
    low = notears_low_rank(gram, cross, rank=2, rounds=14)
    assert acyclicity(low)[0] < 1e-4 and (np.diag(low) == 0).all()
    raw = to_acyclic(found) * x.std(0)[None, :] / x.std(0)[:, None]
    model = linear_effects(stats, raw)
    np.testing.assert_allclose(model.effect, 3.0, atol=0.3)


def test_moments_of_some_folds_are_those_of_their_cells(linear_screen):
    x, screen = linear_screen
    folds = assign_folds(screen, 5, np.random.default_rng(0))
    stats = perturbation_statistics(x, screen, folds, slope=None)
    used = np.arange(len(stats.ff)) == 2
    gram, cross = screen_moments(stats, used)
    sd = standardised_sd(stats)
    (perturbation,) = np.flatnonzero(folds == 2)
    cells = x[screen.cells == perturbation]
    np.testing.assert_allclose(gram, np.cov(cells.T, bias=True) / np.outer(sd, sd), atol=1e-8)
    assert not cross[:, screen.targets[perturbation]].any()  # no cell of its own equation is left
    rest, _ = screen_moments(stats, ~used)
    others = x[screen.cells != perturbation]
    np.testing.assert_allclose(rest, np.cov(others.T, bias=True) / np.outer(sd, sd), atol=1e-8)


def test_penalty_and_rank_are_those_that_predict_held_out_perturbations(linear_screen):
    x, screen = linear_screen
    nothing = np.random.default_rng(3).normal(5, 1, x.shape)  # no gene depends on another

    def statistics(values, rows, folds=5):
        own = replace(screen, cells=np.where(rows, screen.cells, -1))
        return perturbation_statistics(values, own, assign_folds(own, folds, np.random.default_rng(0)), slope=None)

    clear, noisy = statistics(x, np.ones(len(x), bool)), statistics(nothing, np.arange(len(x)) % 10 == 0)
    assert choose_penalty(clear) < choose_penalty(noisy) == PENALTIES[0]
    assert choose_penalty(statistics(x, np.ones(len(x), bool), folds=1)) == WITHOUT_CHOICE
    held = np.arange(len(clear.ff)) == 0
    gram, cross = screen_moments(clear, held)
    known = clear.untouched[0] > 0
    errors = [
        (0.5 * w * (gram @ w) - cross * w)[:, known].sum()
        for w in (notears(*screen_moments(clear, ~held), lam=lam) for lam in PENALTIES)
    ]
    assert known.sum() == 4
    assert choose_penalty(clear) == PENALTIES[int(np.argmin(errors))]
    assert choose_rank(clear) == 1  # no rank of `RANKS` is below the number of genes


def test_to_acyclic_drops_the_weakest_edge_of_a_cycle():
    cyclic = W.copy()
    cyclic[2, 0] = 0.1
    np.testing.assert_array_equal(to_acyclic(cyclic), W)


def test_linear_sampling_has_the_moments_of_the_model():
    rng = np.random.default_rng(1)
    sd = np.full(5, 0.7)
    x = sample_linear_scm(W, np.arange(5.0), sd, np.zeros(5, bool), np.zeros(5), 40_000, rng=rng)
    np.testing.assert_allclose(x.mean(0), np.arange(5.0), atol=0.03)
    spread = np.linalg.inv(np.eye(5) - W)
    np.testing.assert_allclose(np.cov(x.T), spread.T @ np.diag(sd**2) @ spread, atol=0.06)


def test_labels_become_perturbations():
    genes = pd.Index(["A", "B", "C"])
    screen = parse_screen(["ctrl", "A+B", "B+A", "A+ctrl", None, "C"], genes, control="ctrl")
    assert screen.n_perturbations == 4 and list(screen.counts) == [1, 2, 1, 1]
    assert screen.cells[4] == -1 and screen.cells[1] == screen.cells[2]
    mixed = parse_screen(["control", "A", "B"], genes, kind={"A": "knockout", "B": "shift"})
    assert dict(zip(mixed.names, mixed.kinds, strict=True))["A"] == "knockout"
    with pytest.raises(ValueError, match="mapping"):
        parse_screen(["control", "A+B"], genes, kind={"A": "knockout", "B": "shift"})
    with pytest.raises(ValueError, match="Did you mean 'control'"):
        parse_screen(["control", "A"], genes, control="contrl")
    dropped = parse_screen(["control", "A", "Z"], genes, missing="drop")
    assert list(dropped.cells) == [0, 1, -1]
    assert set(KINDS) == {"shift", "overexpression", "knockout", "knockdown"}


def test_a_cycle_is_found_also_of_one_gene():
    chain = np.eye(4, k=1) > 0
    assert _is_acyclic(chain) and _is_acyclic(np.zeros((3, 3), bool))
    assert not _is_acyclic(chain | (np.eye(4, k=-3) > 0)) and not _is_acyclic(np.eye(2) > 0)
