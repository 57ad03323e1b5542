"""Predictors without any network that a fit is printed beside, and what cells tell of the order of time."""

import numpy as np
from numpy.typing import NDArray

from scdash.dynamics.comparisons.no_network import NoNetwork, fit_no_network
from scdash.dynamics.comparisons.predictions_without_network import (
    LineagePredictor,
    Trajectories,
    choose_shift_rates,
    choose_width,
    mean_trajectory,
    nearest_neighbours,
    shifted_mean_trajectory,
)
from scdash.dynamics.options import FitOptions
from scdash.dynamics.predictors import (
    Predictor,
    constant,
    no_change,
    relaxation,
)
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.state_pairs.regression_fits import transition_settings
from scdash.dynamics.whole_trajectories.folds import lineage_codes
from scdash.networks.cell_scores_of_edges import CellScores, cell_scores
from scdash.networks.lagged_edges import rank_correlation
from scdash.regression import validation_folds

WIDTHS = np.array([0.25, 0.5, 1.0, 2.0])  # of the prediction by nearest neighbours


def no_network(problem: FitProblem, options: FitOptions) -> NoNetwork:
    """Return genes relaxing without any network, fitted as the network is."""
    return fit_no_network(problem.series, settings=transition_settings(options, problem.n_genes), cells=options.cells)


def trivial(problem: FitProblem, alone: NoNetwork) -> dict[str, Predictor]:
    """Return the predictors without any network that every fit is printed beside; `alone`: see `no_network`."""
    found = {"no network": relaxation(alone.bias, alone.rates)}
    return found | {"constant": constant(problem.series), "no change": no_change}


def trajectory_predictors(problem: FitProblem) -> dict[str, Predictor]:
    """Return the predictors that follow training trajectories of the same lineage."""
    series = problem.series
    lineage = lineage_codes(problem)
    mean = Trajectories.of(series.originals(), lineage)
    every = Trajectories.of(series, lineage)
    span = float(np.ptp(series.times))
    grid = np.concatenate([[0.0], np.geomspace(0.25, 64, 9) / span, [np.inf]])
    chosen = len(validation_folds(series)[0].pairs("validation")) > 0  # else there is nothing to choose settings by
    rates = choose_shift_rates(series, lineage, grid) if chosen else np.inf
    width = choose_width(series, lineage, WIDTHS) if chosen else 1.0
    found: dict[str, LineagePredictor] = {
        "mean trajectory": mean_trajectory(mean),
        "mean trajectory + start offset": mean_trajectory(mean, rates),
        "aligned mean trajectory": shifted_mean_trajectory(mean),
        "nearest neighbours": nearest_neighbours(every, width),
    }
    return {name: _of_lineage(predict, lineage) for name, predict in found.items()}


def _of_lineage(predict: LineagePredictor, lineage: NDArray[np.intp]) -> Predictor:
    return lambda start, times, code: predict(start, times, lineage[code])


def real_time_figures(problem: FitProblem, scores: CellScores | None) -> dict[str, float]:
    """Return what cells explain of later cells with time as observed and shuffled within trajectories.

    `scores`: those of the edges in real time; the same are computed with times shuffled.
    """
    if scores is None or problem.shuffled_halves is None:
        return {}
    shuffled = cell_scores(problem.shuffled_halves, problem.regulators)
    return {
        "explained_by_real_time": scores.explained,
        "explained_by_shuffled_time": shuffled.explained,
        "edges_like_shuffled_time": rank_correlation(scores.frequency, shuffled.frequency, problem.regulators),
    }
