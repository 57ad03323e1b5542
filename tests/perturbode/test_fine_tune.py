"""Fine-tuning of matched networks: weights translate, supports stay, and only held-out gains are kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import scdash
from scdash.fields._perturbode import PerturbODE
from scdash.fitting._screen_tune import _data, _equations, _verdict, stacked, tune_equilibrium
from scdash.matching._equilibrium_fit import fit_equilibrium, refit
from scdash.matching._regimes import assign_folds, regime_statistics
from scdash.matching._steady_states import steady_states
from scdash.sparsity import GeometricSchedule, Prior, as_sparsity
from scdash.tl._screen_inputs import ScreenRequest, read_screen
from scdash.training._fine_tune import TuneConfig, TuneResult, fine_tune
from scdash.training._flow import Flow


@pytest.fixture(scope="module")
def stats(small):
    inputs = read_screen(small, ScreenRequest())
    fold = assign_folds(inputs.screen.n_regimes, 3, np.random.default_rng(0))
    return regime_statistics(inputs.cells, inputs.screen, fold)


@pytest.fixture(scope="module")
def fit(stats):
    return fit_equilibrium(stats, refine=False)


def test_stacked_weights_rest_where_the_equations_do(stats, fit):
    field, params = PerturbODE(20), stacked([fit.model, fit.model], stats.centre)
    x = torch.as_tensor(stats.centre, dtype=torch.float32).expand(2, 1, 20)
    rest = Flow(60.0, 300).carry(field, params, x, torch.ones(1), torch.zeros(1)).numpy()[:, 0] - stats.centre
    none = np.zeros((1, 20), bool)
    expected = steady_states(fit.model, none, np.ones(1, bool), np.zeros((1, 20))).values[0]
    np.testing.assert_allclose(rest[0], expected, atol=1e-4)
    back = _equations(params, fit.model, stats)
    np.testing.assert_allclose(back.weights, fit.model.weights, atol=1e-6)
    np.testing.assert_allclose(back.constant, fit.model.constant, atol=1e-5)
    np.testing.assert_allclose(back.effect, fit.model.effect, atol=1e-5)


def test_training_lowers_its_loss_within_the_support(stats, fit):
    used = np.stack([stats.fold != 0, np.ones(len(stats.fold), bool)])
    weak = replace(fit.model, weights=0.6 * fit.model.weights)
    data = _data(stats, [weak, weak], used, replace(fit, lam=1e-6))
    field, rng = PerturbODE(20), np.random.default_rng(0)
    config = TuneConfig(steps=60, every=20, learning_rate=0.01, regimes=50)
    none = as_sparsity("none")
    found = fine_tune(field, stacked([weak, weak], stats.centre), data, config, sparsity=none, prior=None, rng=rng)
    assert found.train[-1] < 0.9 * found.train[1]
    assert np.isnan(found.held_out[:, 0, stats.fold != 0]).all() and np.isnan(found.held_out[:, 1]).all()
    assert ((found.rounds[0]["A"] != 0) | (found.rounds[-1]["A"] == 0)).all()
    method = as_sparsity("dash", schedule=GeometricSchedule(first=0.5, first_epoch=1, then=0.0))
    prior = Prior(np.ones((20, 20)))
    pruned = fine_tune(field, stacked([weak, weak], stats.centre), data, config, sparsity=method, prior=prior, rng=rng)
    edges = [int((r["A"][0] != 0).sum()) for r in (pruned.rounds[0], pruned.rounds[-1])]
    assert edges[1] <= edges[0] - round(0.5 * edges[0])


@pytest.mark.parametrize(("gain", "kept"), [(0.3, True), (0.001, False), (-0.1, False)])
def test_only_a_gain_beyond_two_standard_errors_is_kept(gain, kept):
    rng = np.random.default_rng(0)
    start = 1 + 0.1 * rng.random(40)
    held = np.full((2, 3, 41), np.nan)
    for r in range(40):
        held[:, r % 2, r + 1] = [start[r], start[r] - gain + 0.05 * rng.normal()]
    best, found, table, report = _verdict(TuneResult([], held, [np.nan, 1.0]), TuneConfig(steps=25, every=25))
    assert found is kept and ("not kept" in report) is not kept
    assert list(table["step"]) == [0, 25] and table["held_out_error"].iloc[0] == 1
    assert best == int(gain > 0 and table["held_out_error"].iloc[1] < 1)


def test_refit_on_all_regimes_is_the_fit(stats, fit):
    again = refit(stats, np.ones(len(stats.fold), bool), fit)
    np.testing.assert_allclose(again.weights, fit.model.weights, atol=1e-4)


def test_fine_tuning_is_reported_and_not_kept_where_it_does_not_help(small, matched):
    adata = scdash.tl.fit_perturbode(small, sparsity="none", copy=True, model=scdash.models.PerturbODE(fine_tune=25))
    entry = adata.uns["dynamics"]
    assert list(entry["fine_tuning"]["step"]) == [0, 25] and "ODE fine-tuning" in entry["report"]
    if entry["params"]["kept"] == "matching":
        np.testing.assert_allclose(adata.varp["dynamics_grn"].data, matched.varp["dynamics_grn"].data)


def test_fine_tuning_needs_folds(stats, fit):
    alone = replace(stats, fold=np.where(stats.fold < 0, -1, 0))
    with pytest.raises(ValueError, match="folds"):
        tune_equilibrium(
            alone, fit, TuneConfig(steps=5), sparsity=as_sparsity("none"), prior=None, rng=np.random.default_rng(0)
        )
