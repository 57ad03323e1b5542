"""What a fit is printed beside: forecasts that know no network, and null models that are fitted as the reference is."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from scdash.fitting._controls import (
    NO_NETWORK,
    RANDOM_SETS,
    REFERENCE,
    SHUFFLED_PRIORS,
    data_figures,
    forecasts,
    matched_predictor,
    no_network,
    null_problems,
    refits,
    trivial,
)

from scdash.fitting import FitOptions, _controls
from scdash.matching import CellScores, TransitionSettings

from .data import series_of

OPTIONS = FitOptions(cells=True, seed=7)
TIMES = np.arange(8.0)


def problem_of(lineages=None, genes=3, **changes):
    """Return six trajectories of smooth curves: four of training, one of validation, one of test."""
    rng = np.random.default_rng(0)
    curves = np.stack([np.sin(TIMES[:, None] / 3 + np.arange(genes)) + 0.1 * rng.normal(size=genes) for _ in range(6)])
    curves += 0.01 * rng.normal(size=curves.shape)
    if lineages is not None:
        curves += np.asarray(lineages)[:, None, None] * (TIMES[:, None] + 1)
    split = np.repeat([[0], [0], [0], [0], [1], [2]], 8, axis=1)
    problem = _controls.FitProblem(series_of(curves, split), lineage=None if lineages is None else np.array(lineages))
    return replace(problem, **changes)


def prior_of(genes):
    """Return a prior of two regulators, each with its own targets."""
    dense = np.zeros((genes, genes))
    dense[2:5, 0] = dense[5, 1] = 1
    return sp.csr_matrix(dense)


# Null models.


def test_null_problems_have_names_and_change_one_thing_each():
    problem = problem_of(genes=9, prior=prior_of(9), regulators=np.arange(2))
    found = null_problems(problem, np.random.default_rng(0))
    assert (RANDOM_SETS, SHUFFLED_PRIORS) == (4, 5)
    assert list(found) == [
        *(f"random regulators {k}" for k in range(1, 5)),
        *(f"shuffled prior {k}" for k in range(1, 6)),
        "shuffled time",
    ]
    for name, null in found.items():
        own = name.startswith("random")
        assert (null.prior is None) == own
        assert (null.regulators is not problem.regulators) == own
        assert (null.series is not problem.series) == (name == "shuffled time")
        assert null.lineage is problem.lineage
    assert found["shuffled time"].prior is problem.prior
    assert not set(np.concatenate([found[f"random regulators {k}"].regulators for k in range(1, 5)])) & {0, 1}
    assert len({found[f"shuffled prior {k}"].prior.toarray().tobytes() for k in range(1, 6)}) == 5
    again = null_problems(problem, np.random.default_rng(0))
    for name, null in found.items():  # the same random numbers, the same null models
        np.testing.assert_array_equal(again[name].series.states, null.series.states)
        np.testing.assert_array_equal(again[name].regulators, null.regulators)


def test_shuffled_priors_keep_the_regulators_that_are_named():
    dense = np.zeros((9, 9))
    dense[3:, 0] = 1  # one of three regulators has all edges
    problem = problem_of(genes=9, prior=sp.csr_matrix(dense), regulators=np.arange(3))
    found = null_problems(problem, np.random.default_rng(0))
    owners = {int(found[f"shuffled prior {k}"].prior.indices[0]) for k in range(1, 6)}
    assert owners == {1, 2}


def test_the_number_of_null_models_is_set_in_one_place(monkeypatch):
    monkeypatch.setattr(_controls, "RANDOM_SETS", 2)
    monkeypatch.setattr(_controls, "SHUFFLED_PRIORS", 3)
    problem = problem_of(genes=9, prior=prior_of(9), regulators=np.arange(2))
    assert len(null_problems(problem, np.random.default_rng(0))) == 2 + 3 + 1


def test_null_models_that_cannot_be_drawn_are_left_out():
    rng = np.random.default_rng(0)
    assert list(null_problems(problem_of(), rng)) == ["shuffled time"]
    assert list(null_problems(problem_of(regulators=np.arange(3)), rng)) == ["shuffled time"]
    assert len(null_problems(problem_of(genes=9, prior=prior_of(9)), rng)) == 6
    assert len(null_problems(problem_of(regulators=np.arange(1)), rng)) == 5


@pytest.fixture
def fits(monkeypatch):
    """Record what is fitted; a fit is the number of the call, and so is its predictor."""
    calls = []

    def record(series, *, prior, regulators, settings, rng):
        calls.append(SimpleNamespace(series=series, prior=prior, regulators=regulators, settings=settings, rng=rng))
        return SimpleNamespace(number=len(calls))

    monkeypatch.setattr(_controls, "fit_transitions", record)
    monkeypatch.setattr(_controls, "matched_predictor", lambda fit: fit.number)
    monkeypatch.setattr(_controls, "settings_of", lambda fit, series: ("settings of", fit, series))
    return calls


def test_null_models_are_fitted_with_everything_of_their_problem(fits):
    problem = problem_of(genes=9, prior=prior_of(9), regulators=np.arange(2))
    fit = SimpleNamespace(number="the fit")
    found = refits(problem, OPTIONS, fit)
    nulls = null_problems(problem, np.random.default_rng([7, 3]))
    assert found == {name: k for k, name in enumerate([REFERENCE, *nulls], 1)}
    for call, expected in zip(fits, [problem, *nulls.values()], strict=True):
        assert call.settings == ("settings of", fit, problem.series)
        assert call.rng == 7
        np.testing.assert_array_equal(call.series.states, expected.series.states)
        np.testing.assert_array_equal(call.regulators, expected.regulators)
        assert (call.prior is None) == (expected.prior is None)
        if call.prior is not None:
            assert (call.prior != expected.prior).nnz == 0
    assert fits[0].prior is problem.prior and fits[0].series is problem.series


def test_a_full_search_is_the_same_for_every_null_model(fits):
    refits(problem_of(), replace(OPTIONS, controls="full"), SimpleNamespace())
    assert len(fits) == 2
    for call in fits:
        assert call.settings == TransitionSettings.for_cells(half_samples=0)


def test_without_a_matched_start_the_regression_is_run_once_and_shown(fits):
    problem = problem_of()
    found = refits(problem, OPTIONS, None)
    assert found == {"matching": 1, REFERENCE: 2, "shuffled time": 3}
    assert fits[0].settings == TransitionSettings.for_cells(half_samples=0)
    assert fits[0].series is problem.series and fits[0].rng == 7
    for call in fits[1:]:
        name, fit, series = call.settings
        assert (name, fit.number) == ("settings of", 1) and series is problem.series


def test_the_settings_of_the_regression_follow_from_options_and_number_of_genes(fits, monkeypatch):
    seen = []
    monkeypatch.setattr(
        _controls, "transition_settings", lambda *given: seen.append(given) or TransitionSettings(half_samples=3)
    )
    refits(problem_of(), OPTIONS, None)
    assert seen == [(OPTIONS, 3)]
    assert fits[0].settings == TransitionSettings(half_samples=0)


# Predictors.


def test_a_fit_predicts_from_the_time_of_its_start(monkeypatch):
    seen = []

    def simulate(fit, start, times):
        seen.append((fit, start, times))
        return np.arange(2 * 3 * 4.0).reshape(2, 3, 4)  # (trajectories, times, genes), the start first

    monkeypatch.setattr(_controls, "simulate", simulate)
    start, times = np.ones((2, 4)), np.array([[2.0, 3.0, 5.0], [1.0, 1.5, 4.0]])
    found = matched_predictor("fit")(start, times, np.zeros(2, int))
    assert found.shape == (2, 2, 4)
    np.testing.assert_array_equal(found[0], np.arange(24.0).reshape(2, 3, 4)[:, 1])
    ((fit, given, from_start),) = seen
    assert fit == "fit" and given is start
    np.testing.assert_array_equal(from_start, [[0, 1, 3], [0, 0.5, 3]])


def test_trivial_predictors():
    problem = problem_of()
    alone = SimpleNamespace(bias=np.array([1.0, 2.0, 3.0]), rates=np.array([0.5, 1.0, 2.0]))
    found = trivial(problem, alone)
    assert list(found) == ["no network", "constant", "no change"]
    start, times, code = np.zeros((1, 3)), np.array([[1.0, 2.0]]), np.array([0])
    np.testing.assert_allclose(found["no network"](start, times, code)[0, 0], alone.bias * -np.expm1(-alone.rates))
    mean = problem.series.states[problem.series.split == 0].mean(axis=0)
    np.testing.assert_allclose(found["constant"](start, times, code)[0, 0], mean)
    np.testing.assert_allclose(found["no change"](start, times, code)[0, 0], 0)


def test_genes_without_a_network_are_fitted_with_the_settings_of_the_network(monkeypatch):
    seen = []
    monkeypatch.setattr(
        _controls, "fit_no_network", lambda series, *, settings: seen.append((series, settings)) or "fit"
    )
    problem = problem_of()
    assert no_network(problem, OPTIONS) == "fit"
    assert no_network(problem, FitOptions()) == "fit"
    assert seen[0][0] is problem.series and seen[0][1] == TransitionSettings.for_cells()
    assert seen[1][1] == TransitionSettings.for_time_courses()
    monkeypatch.setattr(_controls, "transition_settings", lambda options, genes: (options, genes))
    no_network(problem, OPTIONS)
    assert seen[2][1] == (OPTIONS, 3)


def test_forecasts_follow_training_trajectories_of_the_same_lineage():
    lineages = [0, 0, 1, 1, 1, 0]
    problem = problem_of(lineages)
    found = forecasts(problem)
    assert list(found) == ["template", "template + start offset", "aligned template", "analogue"]
    assert set(found) < set(NO_NETWORK)
    states = problem.series.states.reshape(6, 8, 3)
    for code, own in ((5, [0, 1]), (4, [2, 3])):
        mean = states[own].mean(axis=0)
        start, times = states[[code], 0], TIMES[None]
        predicted = {name: predict(start, times, np.array([code]))[:, 0] for name, predict in found.items()}
        np.testing.assert_allclose(predicted["template"], mean[1:])
        for name in ("template + start offset", "aligned template", "analogue"):
            assert np.abs(predicted[name] - states[code, 1:]).max() < 0.5  # lineages differ by 2 and more
        begun = predicted["template + start offset"] - mean[1:]
        assert (np.abs(begun) <= np.abs(states[code, 0] - mean[0]) + 1e-12).all()
    alone = forecasts(problem_of())
    mean = problem_of().series.states.reshape(6, 8, 3)[:4].mean(axis=0)
    np.testing.assert_allclose(alone["template"](mean[:1], TIMES[None], np.array([5]))[:, 0], mean[1:])


def test_settings_of_forecasts_are_chosen_from_grids_in_units_of_the_span(monkeypatch):
    problem, seen = problem_of(), {}

    def rates(series, lineage, grid):
        seen["rates"] = (series, lineage, grid)
        return np.array([0.0, np.inf, 0.1])

    def width(series, lineage, grid):
        seen["width"] = (series, lineage, grid)
        return 0.25

    monkeypatch.setattr(_controls, "choose_template_rates", rates)
    monkeypatch.setattr(_controls, "choose_width", width)
    for name in ("template", "aligned_template", "analogue"):
        monkeypatch.setattr(_controls, name, lambda *given, name=name: seen.setdefault(f"{name} {len(given)}", given))
    forecasts(problem)
    for name in ("rates", "width"):
        assert seen[name][0] is problem.series
        assert seen[name][1].tolist() == [0] * 6 and seen[name][1].dtype == np.intp
    grid = seen["rates"][2]
    assert grid[0] == 0 and np.isinf(grid[-1]) and len(grid) == 11
    np.testing.assert_allclose(grid[1:-1] * 7, 2.0 ** np.arange(-2, 7))  # the span is 7
    np.testing.assert_array_equal(seen["width"][2], [0.25, 0.5, 1.0, 2.0])
    assert seen["template 2"][1].tolist() == [0.0, np.inf, 0.1]
    assert seen["analogue 2"][1] == 0.25
    assert seen["template 1"][0] is seen["aligned_template 1"][0] is seen["template 2"][0]


def test_redrawn_trajectories_are_in_no_mean_curve_and_among_analogues(monkeypatch):
    problem = problem_of()
    series = replace(problem.series, origin=np.array([0, 0, 2, 3, 4, 5]))  # the second is the first, drawn again
    seen = []
    monkeypatch.setattr(
        _controls.Courses, "of", lambda series, lineage: seen.append((len(series), lineage)) or "courses"
    )
    monkeypatch.setattr(_controls, "choose_template_rates", lambda *given: 0.0)
    monkeypatch.setattr(_controls, "choose_width", lambda *given: 1.0)
    lineage = np.array([0, 0, 1, 1, 1, 0])
    for name in ("template", "aligned_template", "analogue"):
        monkeypatch.setattr(_controls, name, lambda *given: None)
    forecasts(replace(problem, series=series, lineage=lineage))
    assert [length for length, _ in seen] == [40, 48]
    assert all(given is lineage for _, given in seen)


# Figures of the data.


def test_figures_of_the_data(monkeypatch):
    seen = []
    monkeypatch.setattr(_controls, "noise_floor", lambda series, split: seen.append((series, split)) or 0.125)
    problem = problem_of()
    figures = data_figures(problem, None)
    assert list(figures) == ["noise_floor", "held_out_stretches", "cells_per_bin"]
    assert figures["noise_floor"] == 0.125 and figures["held_out_stretches"] == 1.0
    assert np.isnan(figures["cells_per_bin"]) and isinstance(figures["held_out_stretches"], float)
    assert seen == [(problem.series, "test")]
    weights = np.arange(48.0) + 3
    weights[8:16] = 0.5  # of a trajectory that was drawn again
    series = replace(problem.series, weights=weights, origin=np.array([0, 0, 2, 3, 4, 5]))
    assert data_figures(replace(problem, series=series), None)["cells_per_bin"] == 3.0
    redrawn = replace(problem.series, origin=np.array([0, 1, 2, 3, 4, 4]))  # the only test trajectory is a copy
    assert data_figures(replace(problem, series=redrawn), None)["held_out_stretches"] == 0.0


def test_figures_of_real_and_of_shuffled_time(monkeypatch):
    dense = np.arange(9.0).reshape(3, 3)
    real, shuffled = CellScores(*[sp.csr_matrix(dense)] * 2, 0.4), CellScores(*[sp.csr_matrix(dense.T)] * 2, 0.1)
    seen = []
    monkeypatch.setattr(_controls, "cell_scores", lambda *given: seen.append(given) or shuffled)
    monkeypatch.setattr(_controls, "rank_correlation", lambda a, b, regulators: (a.toarray(), b.toarray(), regulators))
    regulators = np.arange(2)
    problem = problem_of(halves="real", shuffled_halves="shuffled", regulators=regulators)
    figures = data_figures(problem, real)
    assert seen == [("shuffled", regulators)]
    assert (figures["explained_by_real_time"], figures["explained_by_shuffled_time"]) == (0.4, 0.1)
    first, second, given = figures["edges_like_shuffled_time"]
    np.testing.assert_array_equal(first, dense)
    np.testing.assert_array_equal(second, dense.T)
    assert given is regulators
    assert "explained_by_real_time" not in data_figures(replace(problem, shuffled_halves=None), real)
    assert "explained_by_real_time" not in data_figures(problem, None)
