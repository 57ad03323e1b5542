"""Errors of single held-out batches, of a stored fit and of predictors without a network, and what noise leaves of them."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._data import SPLITS, TimeSeries


def trajectory_table(entry: Any) -> pd.DataFrame:
    """Return `predictor`, `trajectory`, `rollout_mse` and `five_bins_mse` of every test trajectory, the fit first."""
    from scdash.dynamics.predictions import predictors_of_cells, stored_series
    from scdash.dynamics.predictors import field_predictor, long_horizon_errors, rollout_errors
    from scdash.networks import module_from_entry

    model = module_from_entry(entry)
    series, lineage = stored_series(entry, model)
    slope = float(entry["params"].get("slope", 1.0))
    predictors = {"fit": field_predictor(model.field, dict(model.weights))} | predictors_of_cells(series, lineage)
    own, rows = series.originals(), []
    for code in np.unique(own.trajectory[own.rows_of("test")]):
        one = own.select(own.trajectory == code)
        for name, predict in predictors.items():
            whole, ahead = (
                errors(one, predict, "test").mean() / slope**2 for errors in (rollout_errors, long_horizon_errors)
            )
            rows.append((name, series.names[code], whole, ahead))
    return pd.DataFrame(rows, columns=["predictor", "trajectory", "rollout_mse", "five_bins_mse"])


def noise_floor(series: TimeSeries, split: str) -> float:
    """Return the mean squared deviation of re-drawn from original states of a split: what no predictor can explain.

    NaN without re-drawn trajectories.
    """
    parent, total, count = series.parent, 0.0, 0
    rows_of = {int(series.trajectory[rows[0]]): rows for rows in series.each()}
    for code, rows in rows_of.items():
        if parent[code] == code or int(parent[code]) not in rows_of:
            continue
        origin = rows_of[int(parent[code])]
        wanted = _predicted(series, split, origin)
        mine, theirs = series.times[rows], series.times[origin[wanted]]
        common: NDArray[np.bool_] = np.isin(mine, theirs)
        both = origin[wanted][np.isin(theirs, mine)]
        difference: NDArray[np.float64] = series.states[rows[common]] - series.states[both]
        total, count = total + float((difference**2).sum()), count + difference.size
    return total / count if count else np.nan


def _predicted(series: TimeSeries, split: str, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows of one trajectory are predicted in rollouts: those of the split, but not the first row."""
    wanted = series.split[rows] == SPLITS.index(split)
    wanted[0] = False
    return np.asarray(wanted)
