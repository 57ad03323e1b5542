"""Equilibrium matching: statistics against loops, the criterion against its formula, known systems, held-out choices."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from scdash._core.errors import NonFiniteError
from scdash._data.screen import parse_screen
from scdash.regression import relative_contribution
from scdash.screens.equilibrium.equations import build_problem, solve_problem
from scdash.screens.equilibrium.fit import fit_equilibrium, has_risen
from scdash.screens.equilibrium.path import Settings, hub_penalty, solve, to_equations
from scdash.screens.equilibrium.steady_states import Equilibrium, steady_states
from scdash.screens.equilibrium.subsamples import chosen_of, selections
from scdash.screens.forward import _Tried
from scdash.screens.held_out import (
    fill_unseen,
    mean_of_others,
    predict_changes,
    score_changes,
)
from scdash.screens.statistics import assign_folds, perturbation_statistics, sigmoid_feature


def make(n_genes=6, n_perturbations=8, cells=15, seed=0, slope=1.0):
    rng = np.random.default_rng(seed)
    genes = pd.Index([f"g{i}" for i in range(n_genes)])
    names = ["control"] + [
        "+".join(genes[rng.choice(n_genes, 1 + i % 2, replace=False)]) for i in range(n_perturbations)
    ]
    labels = rng.permutation(np.repeat(names, cells))
    screen = parse_screen(labels, genes)
    x = rng.gamma(2.0, 1.0, (len(labels), n_genes)) + screen.targets[screen.cells] * 2.0
    fold = assign_folds(screen, 3, np.random.default_rng(1))
    return x, screen, perturbation_statistics(x, screen, fold, slope=slope)


def test_statistics_are_those_of_a_loop_over_perturbations():
    x, screen, stats = make()
    f, y = sigmoid_feature(x - stats.centre), x - stats.centre
    last = len(stats.ff) - 1
    ff, fy, yy = np.zeros_like(stats.ff), np.zeros_like(stats.fy), np.zeros_like(stats.yy)
    for r in range(screen.n_perturbations):
        rows = screen.cells == r
        np.testing.assert_allclose(stats.f[r], f[rows].mean(0))
        group = last if r == 0 else stats.fold[r]
        free = ~screen.targets[r]
        df, dy = f[rows] - f[rows].mean(0), (y[rows] - y[rows].mean(0)) * free
        ff[group] += df.T @ df
        fy[group] += df.T @ dy
        yy[group] += (dy**2).sum(0)
    np.testing.assert_allclose(stats.ff, ff, atol=1e-10)
    np.testing.assert_allclose(stats.fy, fy, atol=1e-10)
    np.testing.assert_allclose(stats.yy, yy, atol=1e-10)


def test_sparse_cells_and_cells_left_out():
    x, screen, stats = make()
    again = perturbation_statistics(sp.csr_matrix(x), screen, stats.fold)
    np.testing.assert_allclose(again.ff, stats.ff)
    drop = screen.keep(np.arange(screen.n_perturbations) != 2)
    short = perturbation_statistics(x, screen, stats.fold, sources=np.array([], dtype=np.int64))
    assert short.ff.size == short.fy.size == short.f.size == 0
    for name in ("centre", "y", "yy", "untouched", "counts", "within_sd"):
        np.testing.assert_array_equal(getattr(short, name), getattr(stats, name))
    fewer = perturbation_statistics(x, drop, np.delete(stats.fold, 2))
    np.testing.assert_allclose(fewer.y, np.delete(stats.y, 2, axis=0))
    x[4, 3] = np.inf
    with pytest.raises(NonFiniteError, match="g3"):
        perturbation_statistics(x, screen, stats.fold)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), covariation=st.sampled_from([0.03, 1.0]))
def test_gram_form_is_the_weighted_least_squares_of_the_docstring(seed, covariation):
    """Between-perturbation part: residuals with the best free constant, over the perturbations that leave the target alone."""
    _, screen, stats = make(seed=seed)
    rng = np.random.default_rng(seed)
    used = np.ones(screen.n_perturbations, bool)
    problem = build_problem(stats, used, covariation)
    bare = build_problem(stats, used, 0.0)
    s = rng.normal(size=len(stats.centre))
    weight = stats.counts / (stats.counts + np.median(stats.counts))
    weight = weight / weight.sum()
    for t in range(len(s)):
        if not np.isfinite(problem.scale_y[t]):
            continue
        low_rank = bare.downdate[bare.row[t]] if bare.row[t] >= 0 else np.zeros((len(s), 1))
        quadratic = 0.5 * s @ (bare.gram - low_rank @ low_rank.T) @ s - bare.cross[:, t] @ s
        f, y = stats.f / bare.scale_f, stats.y[:, t] / bare.scale_y[t]
        w = weight * stats.free[:, t]
        residual = y - f @ s
        constant = (w * residual).sum() / w.sum()
        alone = y - (w * y).sum() / w.sum()
        loss = 0.5 * (w * (residual - constant) ** 2).sum() - 0.5 * (w * alone**2).sum()
        assert quadratic == pytest.approx(loss, abs=1e-9)
    within = stats.ff.sum(0) / stats.counts.sum() / np.outer(bare.scale_f, bare.scale_f)
    np.testing.assert_allclose(problem.gram - bare.gram, covariation * within, atol=1e-10)


def test_relabelling_genes_relabels_the_network():
    x, screen, stats = make(n_perturbations=12)
    order = np.random.default_rng(3).permutation(6)
    moved = parse_screen([screen.names[c] for c in screen.cells], screen.genes[order])
    other = perturbation_statistics(x[:, order], moved, np.zeros(moved.n_perturbations, int) - 1)
    here = solve(stats, stats.counts > 0, Settings(0.1))[1]
    there = solve(other, other.counts > 0, Settings(0.1))[1]
    np.testing.assert_allclose(there, here[:, order][:, :, order], atol=1e-4)


TRUE = np.zeros((8, 8))
TRUE[0, 1], TRUE[1, 2], TRUE[3, 4], TRUE[4, 5], TRUE[6, 7], TRUE[0, 7] = 3.0, -2.5, 2.0, 3.0, -2.0, 2.5


def exact_screen(n=40, cells=20, noise=0.02, seed=0):
    """Cells at the steady states of a known network, every perturbation fixing two genes."""
    rng = np.random.default_rng(seed)
    model = Equilibrium(TRUE, np.zeros(8), np.full(8, np.nan))
    targets = np.zeros((n + 1, 8), bool)
    for r in range(1, n + 1):
        targets[r, rng.choice(8, 2, replace=False)] = True
    value = np.where(targets, rng.uniform(0.8, 1.6, targets.shape), 0)
    means = steady_states(model, targets, np.ones(n + 1, bool), value).values
    genes = pd.Index([f"g{i}" for i in range(8)])
    labels = ["control"] + ["+".join(genes[t]) for t in targets[1:]]
    x = 3 + np.repeat(means, cells, axis=0)
    x = x + noise * rng.normal(size=x.shape)
    screen = parse_screen(np.repeat(labels, cells), genes)
    fold = assign_folds(screen, 5, np.random.default_rng(0))
    return perturbation_statistics(x, screen, fold)


def test_a_known_network_is_recovered_with_signs():
    fit = fit_equilibrium(exact_screen())
    strongest = np.argsort(-np.abs(fit.score), axis=None)[:6]
    assert set(strongest) == set(np.flatnonzero(TRUE))
    assert (np.sign(fit.score) == np.sign(TRUE))[TRUE != 0].all()
    np.testing.assert_allclose(fit.model.weights[TRUE != 0], TRUE[TRUE != 0], rtol=0.15)
    assert fit.cv["held_out_r2"].max() > 0.9
    assert not fit.settings.nonnegative  # two edges repress: held-out perturbations must see that


def test_subsamples_select_the_true_edges():
    stats = exact_screen()
    fit = fit_equilibrium(stats)
    frequency = selections(stats, chosen_of(fit), 4, np.random.default_rng(0)).frequency
    assert frequency[TRUE != 0].min() >= 0.5  # a half-sample may lack the perturbations that separate two regulators
    assert frequency[TRUE == 0].mean() < 0.05


def test_targets_of_a_perturbation_do_not_teach_their_own_equation():
    """A gene that is fixed by interventions wherever its regulator moves must not seem regulated the other way."""
    stats = exact_screen()
    changed = stats.y.copy()
    changed[stats.screen.targets] += 5.0
    from dataclasses import replace

    other = replace(stats, y=changed)
    used = stats.counts > 0
    np.testing.assert_allclose(
        solve_problem(build_problem(stats, used, 0.1), [0.05]),
        solve_problem(build_problem(other, used, 0.1), [0.05]),
        atol=1e-6,
    )


def test_equations_in_units_of_the_states_give_the_standardised_fit():
    stats = exact_screen()
    problem, path = solve(stats, stats.counts > 0, Settings(0.1))
    weights, constant = to_equations(path[-1], problem)
    weight = np.full(len(stats.counts), 1.0) * stats.counts / (stats.counts + np.median(stats.counts))
    residual = stats.y - constant - stats.f @ weights
    np.testing.assert_allclose((weight[:, None] * stats.free * residual).sum(0), 0, atol=1e-9)  # the free constant


def test_hub_penalty_favours_regulators_with_many_targets():
    score = np.zeros((10, 10))
    score[0, 1:9] = 1
    score[1, 9] = 1
    factor = hub_penalty(score)
    assert factor[0, 0] < factor[1, 0] < factor[2, 0]
    even = np.zeros((10, 10))
    even[np.arange(10), (np.arange(10) + 1) % 10] = 1
    np.testing.assert_allclose(hub_penalty(even), hub_penalty(even)[0, 0])


def test_hubs_of_single_precision_paths_are_those_of_double():
    """Screens of more than 1,400 genes are matched in single precision, and genes without any edge are common there."""
    score = np.random.default_rng(0).normal(size=(12, 12)) * (np.random.default_rng(1).random((12, 12)) < 0.2)
    score[:, :3] = 0
    with np.errstate(all="raise"):
        np.testing.assert_allclose(hub_penalty(score.astype(np.float32)), hub_penalty(score), rtol=1e-5)
        shares = relative_contribution(score.T.astype(np.float32))
    np.testing.assert_allclose(shares.sum(1)[3:][score.any(0)[3:]], 1, rtol=1e-6)
    np.testing.assert_array_equal(shares[:3], 0)


def test_steady_states_solve_the_equations_also_with_feedback():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(5, 5)) * (1 - np.eye(5))
    model = Equilibrium(w, rng.normal(size=5), np.zeros(5))
    targets = np.eye(5, dtype=bool)
    perfect = np.array([True, False, True, False, True])
    effect = np.full((5, 5), 0.7)
    y, converged = steady_states(model, targets, perfect, effect)
    assert converged.all()
    expected = model.constant + sigmoid_feature(y) @ w + np.where(targets & ~perfect[:, None], 0.7, 0)
    expected[targets & perfect[:, None]] = 0.7
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_held_out_scores_have_their_closed_forms():
    rng = np.random.default_rng(0)
    observed, reference, sd = rng.normal(size=(4, 6)), np.broadcast_to(rng.normal(size=6), (4, 6)), np.full(6, 0.5)
    free = np.ones((4, 6), bool)
    perfect = score_changes(observed, observed, reference, free, sd)
    assert perfect.wr2 == 1 and perfect.pearson == pytest.approx(1) and perfect.rmse == 0
    assert score_changes(reference, observed, reference, free, sd).wr2 == 0
    wrong = observed.copy()
    wrong[0, 0] += 100
    free[0, 0] = False
    assert score_changes(wrong, observed, reference, free, sd).wr2 == 1  # targets do not count


def test_unseen_targets_take_the_median_strength_and_knockouts_zero_expression():
    effect = np.array([1.0, np.nan, 3.0, 2.0])
    np.testing.assert_allclose(fill_unseen(effect, "overexpression", -np.ones(4)), [1, 2, 3, 2])
    np.testing.assert_allclose(fill_unseen(effect, "knockout", np.full(4, -4.0)), [1, -4, 3, 2])


def test_combinations_are_predicted_from_the_network():
    stats = exact_screen()
    model = fit_equilibrium(stats).model
    targets = np.zeros((1, 8), bool)
    targets[0, [0, 6]] = True
    truth = Equilibrium(TRUE, np.zeros(8), model.effect)
    kinds = ("overexpression",)
    np.testing.assert_allclose(
        predict_changes(model, stats.silent, targets, kinds).values,
        predict_changes(truth, stats.silent, targets, kinds).values,
        atol=0.12,
    )
    assert mean_of_others(stats, stats.counts > 0).shape == (8,)


def best_share(stats, refit):
    tried = _Tried.empty(stats)
    for fold in range(stats.fold.max() + 1):
        tried.predict(refit(stats.fold != fold), stats, stats.fold == fold)
    return tried.best(stats, np.ones(len(stats.centre)))[0]


@pytest.mark.parametrize(("factor", "expected"), [(2.0, 0.5), (4.0, 0.25), (1.0, 1.0)])
def test_regulators_that_were_never_perturbed_are_believed_as_far_as_held_out_perturbations_say(factor, expected):
    """Networks of refits overstate what genes do that their perturbations do not perturb: the share undoes just that."""
    rng = np.random.default_rng(0)
    genes = pd.Index([f"g{i}" for i in range(8)])
    weights = np.zeros((8, 8))
    weights[[0, 1, 2, 3], [4, 5, 6, 7]] = [1.0, -1.5, 0.7, 2.0]
    labels = ["control", "g0", "g1", "g2", "g3"]
    screen = parse_screen(np.repeat(labels, 10), genes)
    targets = screen.targets[screen.cells]
    x = 5 + targets + targets @ weights + 1e-3 * rng.normal(size=targets.shape)
    stats = perturbation_statistics(x, screen, np.array([-1, 0, 0, 1, 1]), slope=None)

    def refit(used):
        tried = screen.targets[used].any(axis=0)
        effect = np.where(tried, 1.0, np.nan)
        return Equilibrium(np.where(tried[:, None], weights, factor * weights), np.zeros(8), effect, None)

    share = best_share(stats, refit)
    assert share == expected
    model = replace(refit(np.array([True, True, True, False, False])), untried=share)
    np.testing.assert_allclose(
        predict_changes(model, stats.silent, screen.targets[1:], ("overexpression",) * 4).values, stats.y[1:], atol=5e-3
    )


def test_without_untried_genes_everything_is_believed():
    stats = exact_screen()
    assert best_share(stats, lambda used: Equilibrium(5 * TRUE, np.zeros(8), np.ones(8))) == 1.0


@pytest.mark.parametrize(
    ("errors", "risen"),
    [
        ([1.0, 1.0, 1.0], False),  # empty networks: a tie is no rise
        ([1.0, 1.0, 1.004], False),  # the first edges may cost a little
        ([1.0, 1.0, 1.1], True),
        ([1.0, 0.9, 0.9001], True),
        ([1.0, 0.9, 0.8], False),
    ],
)
def test_a_path_is_left_only_where_its_error_has_risen(errors, risen):
    assert has_risen(errors) is risen
