"""Matching finds a known network, its rates and its constants, and is honest about priors."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from scdash.regression import TransitionSettings, fit_transitions, simulate
from scdash.regression.held_out_trajectories import pooled, validation_folds
from scdash.regression.transitions import check_prior

from .errors import next_step_error, rollout_error

QUICK = TransitionSettings.for_time_courses(rounds=2, half_samples=6, gene_rates=(1.0,))


@pytest.fixture(scope="module")
def truth(system):
    return system.network()


@pytest.fixture(scope="module")
def series(system, truth):
    return system.observe(truth)


@pytest.fixture(scope="module")
def fit(series):
    return fit_transitions(series, rng=0)


def test_edges_are_ranked_above_all_others(fit, truth):
    real = truth.effects.toarray() != 0
    for ranking in (fit.contribution, fit.stability):
        values = ranking.toarray()
        assert values[real].min() > values[~real].max()


def test_effects_biases_and_rates_are_those_of_the_system(fit, truth, system):
    effects, real = fit.effects.toarray(), truth.effects.toarray()
    assert np.all(np.sign(effects[real != 0]) == np.sign(real[real != 0]))
    moving = ~fit.constant
    np.testing.assert_allclose(fit.rates[moving], system.rate, rtol=0.1)
    assert np.all(fit.rates[fit.constant] == 0)
    assert np.array_equal(np.flatnonzero(fit.constant), np.arange(5))
    assert fit.noise_variance == pytest.approx(1e-4, rel=0.2)


def test_predictions_are_near_the_noise(fit, series, system, truth):
    clean = system.observe(truth, noise=0.0, seed=9)
    assert next_step_error(fit, clean) < 5e-5  # half the noise variance
    assert next_step_error(fit, series) < 2.2e-4  # noise of the start and of the end at most
    assert rollout_error(fit, clean) < 1e-4


def test_shares_and_frequencies_are_shares(fit):
    rows = fit.contribution.sum(axis=1)
    np.testing.assert_allclose(rows[~fit.constant], 1)
    np.testing.assert_allclose(rows[fit.constant], 0)
    for matrix in (fit.contribution, fit.frequency, fit.stability):
        assert matrix.diagonal().max() == 0
        assert 0 <= matrix.min() and matrix.max() <= 1 + 1e-9
    assert np.all((fit.stability.toarray() > 0) == (fit.frequency.toarray() > 0))


def test_the_table_tells_what_was_tried(fit):
    assert {"stage", "rate", "slope", "prior_weight", "cv_error", "seconds"} <= set(fit.table.columns)
    rounds = fit.table.set_index("stage")["cv_error"].filter(like="round")
    assert len(rounds) == 3
    assert rounds.iloc[-1] < rounds.iloc[0]


def test_equal_seeds_give_equal_fits(series):
    a, b = (fit_transitions(series, settings=QUICK, rng=3) for _ in range(2))
    for name in ("effects", "frequency", "stability"):
        assert (getattr(a, name) != getattr(b, name)).nnz == 0
    np.testing.assert_array_equal(a.bias, b.bias)


def test_relabelling_genes_relabels_the_network(series):
    order = np.random.default_rng(0).permutation(20)
    other = dataclasses.replace(series, states=series.states[:, order], genes=series.genes[order])
    a, b = (fit_transitions(s, settings=QUICK, rng=0) for s in (series, other))
    np.testing.assert_allclose(b.effects.toarray(), a.effects.toarray()[np.ix_(order, order)], atol=1e-4)
    np.testing.assert_allclose(b.bias, a.bias[order], atol=1e-4)


def test_a_true_prior_is_trusted_and_a_random_one_is_not(system):
    field = system.network(30, 5)
    series = system.observe(field, 25, noise=0.08)
    true = field.effects.toarray() != 0
    rng = np.random.default_rng(0)
    random = rng.permuted(rng.permuted(true, axis=0), axis=1)
    chosen = [fit_transitions(series, prior=sp.csr_array(p * 1.0), settings=QUICK, rng=0) for p in (true, random)]
    assert chosen[0].prior_weight == 20
    assert chosen[1].prior_weight == 1
    off = ~np.eye(30, dtype=bool)

    def above(fit):  # chance that a true edge ranks above another pair
        values = fit.contribution.toarray()
        return (values[true & off][:, None] > values[~true & off]).mean()

    assert above(chosen[0]) > above(fit_transitions(series, settings=QUICK, rng=0))


def test_only_regulators_regulate(series):
    fit = fit_transitions(series, regulators=np.array([7, 1, 2, 3]), settings=QUICK)
    for matrix in (fit.effects, fit.contribution, fit.frequency):
        assert set(matrix.tocoo().coords[1]) <= {1, 2, 3, 7}
    assert fit.products is None or set(fit.products.ravel()) <= {1, 2, 3, 7}


def test_products_are_found_where_they_act(system):
    field = system.network(12, 4, products=True)
    series = system.observe(field, 60)
    fit = fit_transitions(series, settings=dataclasses.replace(QUICK, products=4), rng=0)
    without = fit_transitions(series, settings=dataclasses.replace(QUICK, products=0), rng=0)
    strongest = np.abs(fit.product_effects.toarray()[4]).argmax()
    assert set(fit.products[strongest]) == set(field.pairs[0])
    clean = system.observe(field, noise=0.0, seed=5)
    assert next_step_error(fit, clean) < 0.7 * next_step_error(without, clean)
    assert without.products is None


def test_genes_of_another_rate_get_their_own(system, truth):
    rates = truth.rates.copy()
    rates[10] = 0.4
    field = dataclasses.replace(truth, rates=rates)
    fit = fit_transitions(
        system.observe(field, 60), settings=dataclasses.replace(QUICK, gene_rates=(0.3, 0.5, 1.0, 2.0))
    )
    assert fit.rates[10] < 0.7
    np.testing.assert_allclose(np.delete(fit.rates, [*range(5), 10]), 1.3, rtol=0.15)


def test_one_long_trajectory_and_trajectories_of_unequal_length(system, truth):
    long = system.observe(truth, 1, times=np.arange(0, 9, 0.3))
    fit = fit_transitions(long, settings=QUICK)
    assert next_step_error(fit, long) < np.mean(np.diff(long.states, axis=0) ** 2)
    ragged = system.observe(truth, 12).select(np.setdiff1d(np.arange(48), [3, 6, 7, 46, 47]))
    assert np.isfinite(simulate(fit_transitions(ragged, settings=QUICK), ragged.states[0], np.arange(4))).all()


def test_who_evaluates_cells(system, truth):
    series = system.observe(truth, 5, split=np.array([0, 1, 2, 2, 0]))
    series = replace(series, names=("a", "b", "c", "a#1", "d"), origin=np.array([0, 1, 2, 0, 4]))
    folds = validation_folds(series)
    held = [{series.names[k] for k in np.unique(f.trajectory[f.split == 1])} for f in folds]
    assert held == [{"a"}, {"b"}, {"d"}]  # a trajectory for test evaluates nothing
    assert all((f.split[series.split == 2] == 2).all() for f in folds)
    drawn = replace(series, split=np.where(series.trajectory == 3, 0, series.split).astype(np.int8))
    assert {drawn.names[k] for k in np.unique(drawn.trajectory[validation_folds(drawn)[0].split == 1])} == {"a", "a#1"}
    window = series.split.copy()
    window[1] = 1
    for alone in (replace(series, split=window), series.select(series.trajectory < 3)):
        assert validation_folds(alone) == [alone]


def test_noisy_batches_do_not_outvote_others():
    errors, flat = np.array([[1.0, 2.0], [60.0, 50.0]]), np.array([2.0, 100.0])
    assert pooled(errors, flat).argmin() == 0  # .5 + .6 < 1 + .5, though 61 > 52
    np.testing.assert_allclose(pooled(errors[:1], flat[:1]), errors[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prior": sp.eye_array(3)}, "prior has shape"),
        ({"regulators": np.array([30])}, "regulators"),
        ({"regulators": np.array([], dtype=int)}, "regulators"),
        ({"settings": TransitionSettings(splits=("test",))}, "no transition"),
    ],
)
def test_bad_input_is_named(series, arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_transitions(series, **arguments)


def test_nothing_but_noise_is_fitted_and_predicts_no_better_than_the_mean(system):
    states = np.random.default_rng(0).normal(0.5, 0.01, (80, 4, 6))
    fit = fit_transitions(system.series_of(states[:40], range(4)), settings=QUICK)
    assert not fit.constant.any()
    assert next_step_error(fit, system.series_of(states[40:], range(4))) > 0.95 * states[40:, 1:].var()


@pytest.mark.parametrize(
    "changes",
    [
        {"lambdas": (0.1, 0.2)},
        {"folds": 1},
        {"prior_weights": (0.5,)},
        {"prior_weights": ()},
        {"rounds": 0},
        {"rates": ()},
        {"driver": "linear"},
        {"lags": ()},
    ],
)
def test_bad_settings_are_refused(changes):
    with pytest.raises(ValueError, match="TransitionSettings"):
        TransitionSettings(**changes)


def test_self_edges_of_a_prior_are_ignored():
    prior = check_prior(sp.csr_array(np.ones((3, 3)) - 2 * np.eye(3)), 3)
    assert prior.diagonal().sum() == 0
    assert prior.sum() == 6
    assert prior.dtype == bool
