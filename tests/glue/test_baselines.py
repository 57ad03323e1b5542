"""What a fit is printed beside: predictors that know no network."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp

from scdash.dynamics.options import FitOptions
from scdash.dynamics.reporting import cell_baselines as _baselines
from scdash.dynamics.reporting.cell_baselines import no_network, real_time_figures, trajectory_predictors, trivial
from scdash.networks.cell_scores_of_edges import CellScores
from scdash.regression import TransitionSettings

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
    problem = _baselines.FitProblem(series_of(curves, split), lineage=None if lineages is None else np.array(lineages))
    return replace(problem, **changes)


# Predictors.


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
        _baselines, "fit_no_network", lambda series, *, settings, cells: seen.append((series, settings, cells)) or "fit"
    )
    problem = problem_of()
    assert no_network(problem, OPTIONS) == "fit"
    assert no_network(problem, FitOptions()) == "fit"
    assert seen[0][0] is problem.series and seen[0][1] == TransitionSettings.for_cells()
    assert seen[1][1] == TransitionSettings.for_time_courses()
    assert [cells for _, _, cells in seen] == [True, False]
    monkeypatch.setattr(_baselines, "transition_settings", lambda options, genes: (options, genes))
    no_network(problem, OPTIONS)
    assert seen[2][1] == (OPTIONS, 3)


def test_predictors_follow_training_trajectories_of_the_same_lineage():
    lineages = [0, 0, 1, 1, 1, 0]
    problem = problem_of(lineages)
    found = trajectory_predictors(problem)
    assert list(found) == [
        "mean trajectory",
        "mean trajectory + start offset",
        "aligned mean trajectory",
        "nearest neighbours",
    ]
    states = problem.series.states.reshape(6, 8, 3)
    for code, own in ((5, [0, 1]), (4, [2, 3])):
        mean = states[own].mean(axis=0)
        start, times = states[[code], 0], TIMES[None]
        predicted = {name: predict(start, times, np.array([code]))[:, 0] for name, predict in found.items()}
        np.testing.assert_allclose(predicted["mean trajectory"], mean[1:])
        for name in ("mean trajectory + start offset", "aligned mean trajectory", "nearest neighbours"):
            assert np.abs(predicted[name] - states[code, 1:]).max() < 0.5  # lineages differ by 2 and more
        begun = predicted["mean trajectory + start offset"] - mean[1:]
        assert (np.abs(begun) <= np.abs(states[code, 0] - mean[0]) + 1e-12).all()
    alone = trajectory_predictors(problem_of())
    mean = problem_of().series.states.reshape(6, 8, 3)[:4].mean(axis=0)
    np.testing.assert_allclose(alone["mean trajectory"](mean[:1], TIMES[None], np.array([5]))[:, 0], mean[1:])


def test_settings_of_predictors_are_chosen_from_grids_in_units_of_the_span(monkeypatch):
    problem, seen = problem_of(), {}

    def rates(series, lineage, grid):
        seen["rates"] = (series, lineage, grid)
        return np.array([0.0, np.inf, 0.1])

    def width(series, lineage, grid):
        seen["width"] = (series, lineage, grid)
        return 0.25

    monkeypatch.setattr(_baselines, "choose_shift_rates", rates)
    monkeypatch.setattr(_baselines, "choose_width", width)
    for name in ("mean_trajectory", "shifted_mean_trajectory", "nearest_neighbours"):
        monkeypatch.setattr(_baselines, name, lambda *given, name=name: seen.setdefault(f"{name} {len(given)}", given))
    trajectory_predictors(problem)
    for name in ("rates", "width"):
        assert seen[name][0] is problem.series
        assert seen[name][1].tolist() == [0] * 6 and seen[name][1].dtype == np.intp
    grid = seen["rates"][2]
    assert grid[0] == 0 and np.isinf(grid[-1]) and len(grid) == 11
    np.testing.assert_allclose(grid[1:-1] * 7, 2.0 ** np.arange(-2, 7))  # the span is 7
    np.testing.assert_array_equal(seen["width"][2], [0.25, 0.5, 1.0, 2.0])
    assert seen["mean_trajectory 2"][1].tolist() == [0.0, np.inf, 0.1]
    assert seen["nearest_neighbours 2"][1] == 0.25
    assert seen["mean_trajectory 1"][0] is seen["shifted_mean_trajectory 1"][0] is seen["mean_trajectory 2"][0]


def test_resampled_trajectories_are_in_no_mean_curve_and_among_nearest_neighbours(monkeypatch):
    problem = problem_of()
    series = replace(problem.series, origin=np.array([0, 0, 2, 3, 4, 5]))  # the second is the first, drawn again
    seen = []
    monkeypatch.setattr(
        _baselines.Trajectories, "of", lambda series, lineage: seen.append((len(series), lineage)) or "trajectories"
    )
    monkeypatch.setattr(_baselines, "choose_shift_rates", lambda *given: 0.0)
    monkeypatch.setattr(_baselines, "choose_width", lambda *given: 1.0)
    lineage = np.array([0, 0, 1, 1, 1, 0])
    for name in ("mean_trajectory", "shifted_mean_trajectory", "nearest_neighbours"):
        monkeypatch.setattr(_baselines, name, lambda *given: None)
    trajectory_predictors(replace(problem, series=series, lineage=lineage))
    assert [length for length, _ in seen] == [40, 48]
    assert all(given is lineage for _, given in seen)


# Figures of the data.


def test_figures_of_real_and_of_shuffled_time(monkeypatch):
    dense = np.arange(9.0).reshape(3, 3)
    real, shuffled = CellScores(*[sp.csr_matrix(dense)] * 2, 0.4), CellScores(*[sp.csr_matrix(dense.T)] * 2, 0.1)
    seen = []
    monkeypatch.setattr(_baselines, "cell_scores", lambda *given: seen.append(given) or shuffled)
    monkeypatch.setattr(_baselines, "rank_correlation", lambda a, b, regulators: (a.toarray(), b.toarray(), regulators))
    regulators = np.arange(2)
    problem = problem_of(halves="real", shuffled_halves="shuffled", regulators=regulators)
    figures = real_time_figures(problem, real)
    assert seen == [("shuffled", regulators)]
    assert (figures["explained_by_real_time"], figures["explained_by_shuffled_time"]) == (0.4, 0.1)
    first, second, given = figures["edges_like_shuffled_time"]
    np.testing.assert_allclose(first, dense)
    np.testing.assert_allclose(second, dense.T)
    assert given is regulators
    assert real_time_figures(replace(problem, shuffled_halves=None), real) == {}
    assert real_time_figures(problem, None) == {}


def test_predictors_have_settings_of_their_own_where_nothing_was_held_out():
    problem = problem_of()
    two = problem.series.select(problem.series.trajectory < 2)
    found = trajectory_predictors(replace(problem, series=two))
    mean = two.states.reshape(2, 8, 3).mean(axis=0)
    start = two.states[:1]
    np.testing.assert_allclose(
        found["mean trajectory + start offset"](start, TIMES[None], np.array([0]))[:, 0], mean[1:]
    )
    assert np.isfinite(found["nearest neighbours"](start, TIMES[None], np.array([0]))).all()
