"""The model that every network has to beat: genes that relax, without any regulator."""

from dataclasses import dataclass

import numpy as np

from scdash._core.types import Floats
from scdash._data import TimeSeries
from scdash.regression.held_out_trajectories import HeldOutWindows, Rollout, pooled, validation_folds
from scdash.regression.intervals import Trajectories, Transitions
from scdash.regression.production import productions
from scdash.regression.settings import TransitionSettings

RATES = 40  # points of the grid, evenly spaced in the logarithm over the range of the settings' rates


@dataclass(frozen=True)
class NoNetwork:
    """dx/dt = rates * (bias - x)."""

    bias: Floats  # (n,)
    rates: Floats  # (n,)


def fit_no_network(series: TimeSeries, *, settings: TransitionSettings, cells: bool) -> NoNetwork:
    """Fit dx_i/dt = r_i (b_i - x_i) to the training transitions, by least squares over a grid of rates.

    Every gene has its own rate where time courses are replicated. Genes of `cells` share one, which is chosen by the error
    of whole held-out windows: next-step errors of smoothed bins prefer rates that lead nowhere.
    """
    bias, error, rates = _fits(series, settings)
    genes = np.arange(bias.shape[1])
    if not cells or not series.rollouts("validation"):
        best = error.argmin(axis=0)
        return NoNetwork(bias[best, genes], rates[best])
    folds = validation_folds(series)
    errors, flat = np.empty((len(folds), RATES)), np.empty(len(folds))
    for k, fold in enumerate(folds):
        windows = HeldOutWindows.of(fold, alone=len(folds) == 1)
        for at, b in enumerate(bias if fold is series else _fits(fold, settings)[0]):
            errors[k, at], flat[k] = windows.error(relaxing(b, rates[at]))
    at = int(np.argmin(pooled(errors, flat)))
    return NoNetwork(bias[at], np.full(len(genes), rates[at]))


def _fits(series: TimeSeries, settings: TransitionSettings) -> tuple[Floats, Floats, Floats]:
    """Return b of every gene at every rate of the grid, its squared error, (rates, n) each, and the rates."""
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
    return bias, error, rates


def relaxing(bias: Floats, rate: float | Floats) -> Rollout:
    """Return the solution bias + (x(0) - bias) exp(-rate t), with one rate or one for every gene."""

    def predict(start: Floats, times: Floats) -> Floats:
        left = np.exp(-rate * (times[:, 1:] - times[:, :1])[:, :, None])
        result: Floats = bias + (start - bias)[:, None] * left
        return result

    return predict
