"""The model that every network has to beat: genes that relax, without any regulator."""

from dataclasses import dataclass

import numpy as np

from scdash._data import TimeSeries
from scdash.matching._activeset import Floats
from scdash.matching._drivers import productions
from scdash.matching._intervals import Trajectories, Transitions
from scdash.matching._settings import TransitionSettings

RATES = 40  # points of the grid, evenly spaced in the logarithm over the range of the settings' rates


@dataclass(frozen=True)
class NoNetwork:
    """dx/dt = rates * (bias - x)."""

    bias: Floats  # (n,)
    rates: Floats  # (n,)


def fit_no_network(series: TimeSeries, *, settings: TransitionSettings) -> NoNetwork:
    """Fit dx_i/dt = r_i (b_i - x_i) to the training transitions, by least squares over a grid of rates.

    Every gene has its own rate where time courses are replicated (`choose="cv"`). Cells share one, which is chosen by
    the error of whole held-out stretches, as it is for the network: next-step errors of smoothed bins prefer rates
    that lead nowhere.
    """
    data = Trajectories.from_series(series, ("train",))
    steps = Transitions.of(data, settings.lags[0])
    unit = 1 / float(np.median(np.diff(data.times, axis=1)[data.real[:, 1:]]))
    rates = unit * np.geomspace(min(settings.rates) / 4, max(settings.rates), RATES)
    bias, error = np.empty((RATES, data.states.shape[2])), np.empty((RATES, data.states.shape[2]))
    for k, rate in enumerate(rates):
        y, precision = productions(data, steps, rate)
        bias[k] = precision @ y / precision.sum()
        gain = -np.expm1(-rate * (steps.at(data.times, steps.lag) - steps.at(data.times, 0)))
        error[k] = (gain**2) @ (y - bias[k]) ** 2  # in units of the states, so that rates can be compared
    genes = np.arange(bias.shape[1])
    if settings.choose == "cv" or not series.rollouts("validation"):
        best = error.argmin(axis=0)
        return NoNetwork(bias[best, genes], rates[best])
    whole = [_rollout_error(series, b, rate) for b, rate in zip(bias, rates, strict=True)]
    k = int(np.argmin(whole))
    return NoNetwork(bias[k], np.full(len(genes), rates[k]))


def _rollout_error(series: TimeSeries, bias: Floats, rate: float) -> float:
    """Return the error of whole validation stretches; the solution is bias + (x(0) - bias) exp(-rate t)."""
    total, count = 0.0, 0
    for rows in series.rollouts("validation"):
        start = series.states[rows[0]]
        decay = np.exp(-rate * (series.times[rows[1:]] - series.times[rows[0]]))[:, None]
        total += float(((bias + (start - bias) * decay - series.states[rows[1:]]) ** 2).sum())
        count += (len(rows) - 1) * len(bias)
    return total / count
