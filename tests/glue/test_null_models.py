"""Null models are alive: each changes where it is given something obviously wrong, and none is counted that did not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scdash.fitting._controls import REFERENCE, _match, matched_predictor, null_problems, refits
from scdash.fitting._verdict import MARGIN, compare, judge

from scdash.fitting import FitOptions
from scdash.fitting._match import transition_settings
from scdash.fitting._predictors import rollout_errors
from scdash.matching import settings_of
from scdash.tl._inputs import read_inputs

from .data import PRIOR, cells_of

OPTIONS = FitOptions(cells=True)


@pytest.fixture(scope="module")
def problem():
    nothing = dict.fromkeys(("layer", "mask_var", "trajectory_key", "split_key", "coregulation"))
    keys = {"time_key": "time", "batch_key": "batch", "observations": "cells", "regulators": "is_tf"}
    return read_inputs(cells_of(4), **nothing, **keys, prior=PRIOR, n_bins=10, seed=0, controls=True).problem


@pytest.fixture(scope="module")
def fit(problem):
    settings = replace(transition_settings(OPTIONS, problem.n_genes), half_samples=0)
    return _match(problem, settings, 0)


def error(problem, settings, fitted_to):
    """Return the held-out error of a fit of another problem on the states of this one."""
    predict = matched_predictor(_match(fitted_to, settings, 0))
    return float(rollout_errors(problem.series.originals(), predict, "test").mean())


def test_the_weight_of_a_shuffled_prior_is_chosen_anew_where_the_fit_chose_one(problem, fit):
    """With the weight fixed at 1, which is no prior, five shuffled priors gave one fit to ten digits."""
    settings = settings_of(replace(fit, prior_weight=1.0), problem.series)
    assert settings.prior_weights == fit.settings.prior_weights
    nulls = null_problems(problem, np.random.default_rng(0))
    errors = [error(problem, settings, null) for name, null in nulls.items() if name.startswith("shuffled prior")]
    assert len({round(value, 10) for value in errors}) == 5


def test_wrong_regulators_prior_and_time_change_the_fit(problem, fit):
    settings = settings_of(fit, problem.series)
    own = error(problem, settings, problem)
    noise = replace(problem, series=replace(problem.series, states=problem.series.states.copy()), prior=None)
    train = np.flatnonzero(noise.series.split == 0)
    noise.series.states[train, 0] = np.random.default_rng(0).random(len(train))
    assert error(problem, settings, replace(noise, regulators=np.array([0]))) > 1.5 * own  # one gene of noise
    wrong = np.zeros((problem.n_genes, problem.n_genes))
    wrong[0, 1:4] = 1  # nothing but edges into one gene
    assert error(problem, settings, replace(problem, prior=sp.csr_matrix(wrong))) != pytest.approx(own, rel=1e-6)
    shuffled = null_problems(problem, np.random.default_rng(0))["shuffled time"]
    assert error(problem, settings, shuffled) > 1.5 * own


def test_the_reference_is_the_fit_that_null_models_are_made_like(problem, fit):
    found = refits(problem, OPTIONS, fit)
    settings = settings_of(fit, problem.series)
    series = problem.series.originals()
    shown = float(rollout_errors(series, found[REFERENCE], "test").mean())
    assert shown == pytest.approx(error(problem, settings, problem), rel=1e-9)


def test_a_prior_that_lists_every_pair_cannot_be_shuffled(problem):
    every = np.ones((problem.n_genes, problem.n_genes))
    nulls = null_problems(replace(problem, prior=sp.csr_matrix(every)), np.random.default_rng(0))
    assert not [name for name in nulls if name.startswith("shuffled prior")]


@pytest.mark.parametrize(
    ("ours", "nulls", "outcome"),
    [
        (0.1, [], "not tested"),
        (0.1, [0.2, np.nan], "not tested"),
        (np.nan, [0.2], "not tested"),
        (0.1, [0.1, 0.1, 0.1], "not tested"),  # the same fit
        (0.1, [0.1006], "not distinguished"),  # 0.6 % flips with the seed
        (0.1, [0.2, 0.2, 0.101], "not distinguished"),
        (0.1, [0.11, 0.3, 0.9], "not distinguished"),  # within two standard deviations of the null models
        (0.1, [0.05], "not distinguished"),
        (0.1, [0.2], "better"),
        (0.1, [0.2, 0.21, 0.22], "better"),
    ],
)
def test_an_error_is_better_only_if_it_is_clearly_so(ours, nulls, outcome):
    assert compare(ours, np.array(nulls)) == outcome
    assert MARGIN >= 0.05


def table_of(**errors):
    rows = {"phoenix": 0.1, "no network": 0.3, "shuffled time": 0.4} | errors
    return pd.DataFrame({"predictor": list(rows), "rollout_mse": list(rows.values())})


def test_null_models_are_compared_with_their_reference_and_not_with_the_model():
    """The model was trained on, its null models were not: what it gained by that says nothing about regulators."""
    sets = {f"random regulators {k}": 0.2 + 0.001 * k for k in range(1, 5)}
    assert judge(table_of(**sets), {}).regulators == "better"
    assert judge(table_of(**sets, **{REFERENCE: 0.2}), {}).regulators == "not distinguished"
    assert judge(table_of(**sets, **{REFERENCE: 0.1}), {}).regulators == "better"


def test_a_gain_over_forecasts_has_to_hold_over_held_out_trajectories():
    sets = {f"random regulators {k}": 0.2 + 0.001 * k for k in range(1, 5)}
    rows = [("phoenix", f"t{k}", 0.1) for k in range(4)]
    steady = pd.DataFrame(
        rows + [("no network", f"t{k}", 0.3 + 0.01 * k) for k in range(4)],
        columns=["predictor", "trajectory", "rollout_mse"],
    )
    assert judge(table_of(**sets), {}, steady).supports_network
    one = pd.DataFrame(
        rows + [("no network", f"t{k}", value) for k, value in enumerate([0.9, 0.1, 0.1, 0.1])], columns=list(steady)
    )
    verdict = judge(table_of(**sets), {}, one)
    assert verdict.network == "not distinguished" and not verdict.supports_network


def test_priors_without_influence_are_not_counted_as_beaten():
    same = {f"shuffled prior {k}": 0.15 for k in range(1, 6)}
    verdict = judge(table_of(**same, **{REFERENCE: 0.15}), {})
    assert verdict.prior == "not tested"
    assert "Not tested: whether the prior helps, because it has no influence on this fit" in verdict.text
    none = judge(table_of(), {})
    assert "Not tested: whether a prior helps, because there is none that could be shuffled" in none.text
