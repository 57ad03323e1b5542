"""Errors of a regression's predictions on a series."""

import numpy as np

from scdash._data import TimeSeries
from scdash.regression import TransitionFit, simulate


def next_step_error(fit: TransitionFit, series: TimeSeries, split: str | None = None) -> float:
    """Return the mean squared error of predicting each state of a split from the one before; NaN without any."""
    pairs = series.pairs(split)
    if not len(pairs):
        return float("nan")
    times = series.times[pairs] - series.times[pairs[:, :1]]
    predicted = simulate(fit, series.states[pairs[:, 0]], times)[:, 1]
    return float(np.mean((predicted - series.states[pairs[:, 1]]) ** 2))


def rollout_error(fit: TransitionFit, series: TimeSeries, split: str | None = None) -> float:
    """Return the mean squared error of predicting whole windows of a split from the state before; NaN without any."""
    total, count = 0.0, 0
    for rows in series.rollouts(split):
        predicted = simulate(fit, series.states[rows[0]], series.times[rows])
        total += float(np.sum((predicted[1:] - series.states[rows[1:]]) ** 2))
        count += predicted[1:].size
    return total / count if count else float("nan")
