"""Predictors of cells without a network, and their errors beside that of a network."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from scdash._data import TimeSeries
from scdash.dynamics.options import FitOptions
from scdash.dynamics.predictors import Floats, Predictor, rollout_errors
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.reporting.cell_baselines import no_network, trajectory_predictors, trivial


def predictors_of_cells(series: TimeSeries, lineage: NDArray[np.intp] | None) -> dict[str, Predictor]:
    """Return every predictor of cells without a network, its own settings chosen by validation states."""
    problem = FitProblem(series, lineage=lineage)
    return trajectory_predictors(problem) | trivial(problem, no_network(problem, FitOptions(cells=True)))


def validation_errors(series: TimeSeries, predictors: Mapping[str, Predictor]) -> dict[str, float]:
    """Return the mean squared error of whole validation windows, smallest first; infinite where one diverges."""
    own = series.originals()
    found = {}
    for name, predict in predictors.items():
        errors = rollout_errors(own, predict, "validation")
        mean = float(errors.mean()) if len(errors) else np.nan
        found[name] = mean if np.isfinite(mean) else np.inf
    return dict(sorted(found.items(), key=lambda item: item[1]))


def nearest_training(series: TimeSeries, start: Floats) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the time and the trajectory of the training state that is nearest to each start (b, genes)."""
    rows = series.originals()
    train = rows.select(rows.rows_of("train"))
    distance = (train.states**2).sum(axis=1) - 2 * start @ train.states.T
    nearest = distance.argmin(axis=1)
    return train.times[nearest], train.trajectory[nearest]
