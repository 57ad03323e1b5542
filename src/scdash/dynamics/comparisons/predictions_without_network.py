r"""Predictions of cells without any network: what a network has to beat before its edges mean anything.

All follow the mean curve b of the training trajectories, or the trajectories themselves; none has a regulator. A
predictor takes start states (b, genes), times (b, k + 1), the first being the start's, and the lineage of each start (b,),
and returns states (k, b, genes).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scdash._core.types import Floats, Index
from scdash._data import SPLITS, TimeSeries
from scdash.regression.held_out_trajectories import validation_folds

LineagePredictor: TypeAlias = Callable[[Floats, Floats, Index], Floats]

FINE = 5  # places per interval at which a start state is looked for on a mean curve


@dataclass(frozen=True)
class Trajectories:
    """Training trajectories at common times; gaps (held-out windows) are bridged by straight lines."""

    states: Floats  # (B, T, n)
    times: NDArray[np.float64]  # (T,), evenly spaced or not
    lineage: Index  # (B,)

    @classmethod
    def of(cls, series: TimeSeries, lineage: Index | None = None, split: str = "train") -> Self:
        """Return the trajectories that have states in `split`; `lineage` is the code of every name, None: all one."""
        known = np.zeros(len(series.names), np.intp) if lineage is None else np.asarray(lineage)
        times, found, kinds = np.unique(series.times), [], []
        for rows in series.each():
            mine = rows[series.split[rows] == SPLITS.index(split)]
            if len(mine):
                found.append(_interpolation(series.times[mine], times) @ series.states[mine])
                kinds.append(known[series.trajectory[mine[0]]])
        if not found:
            raise ValueError(f"series has no state in split {split!r}.")
        return cls(np.stack(found), times, np.array(kinds, dtype=np.intp))

    def mean(self, lineage: int) -> Floats:
        """Return the mean curve of a lineage, (T, n); of all trajectories where it was never seen."""
        mine = self.lineage == lineage
        result: Floats = (self.states[mine] if mine.any() else self.states).mean(axis=0)
        return result


def _interpolation(known: NDArray[np.float64], wanted: NDArray[np.float64]) -> Floats:
    """Return weights (wanted, known) of linear interpolation; constant beyond the ends."""
    if len(known) == 1:
        return np.ones((len(wanted), 1))
    left = np.clip(np.searchsorted(known, wanted, side="right") - 1, 0, len(known) - 2)
    fraction = np.clip((wanted - known[left]) / (known[left + 1] - known[left]), 0, 1)
    weights = np.zeros((len(wanted), len(known)))
    rows = np.arange(len(wanted))
    weights[rows, left], weights[rows, left + 1] = 1 - fraction, fraction
    return weights


def mean_trajectory(trajectories: Trajectories, rates: Floats | float = np.inf) -> LineagePredictor:
    r"""Return b(t) + (x(0) - b(0)) exp(-r t), b being the mean curve of the lineage.

    r = inf is the mean trajectory itself, r = 0 carries the start's offset along, and a rate per gene (n,) is the second model
    without a network: with :math:`\beta = b + b'/r` it solves :math:`dx/dt = r (\beta(t) - x)`.
    """
    rate = np.asarray(rates, dtype=np.float64)

    def predict(start: Floats, times: Floats, lineage: Index) -> Floats:
        curve = _along(trajectories, times, lineage)  # (k + 1, b, n)
        passed = (times[:, 1:] - times[:, :1]).T[:, :, None]
        with np.errstate(invalid="ignore"):
            left = np.where(np.isinf(rate), 0.0, np.exp(-np.where(np.isinf(rate), 0.0, rate) * passed))
        result: Floats = curve[1:] + (start - curve[0]) * left
        return result

    return predict


def shifted_mean_trajectory(trajectories: Trajectories) -> LineagePredictor:
    """Return the mean curve from the place on it that is nearest to the start state; it rests at its end."""

    def predict(start: Floats, times: Floats, lineage: Index) -> Floats:
        begin, end = trajectories.times[0], trajectories.times[-1]
        fine = np.linspace(begin, end, FINE * (len(trajectories.times) - 1) + 1)
        weights = _interpolation(trajectories.times, fine)
        place = np.empty(len(start))
        for kind in np.unique(lineage):
            mine = lineage == kind
            curve = weights @ trajectories.mean(kind)
            distance = (curve**2).sum(axis=1) - 2 * start[mine] @ curve.T
            place[mine] = fine[distance.argmin(axis=1)]
        return _along(trajectories, np.minimum(place[:, None] + times - times[:, :1], end), lineage)[1:]

    return predict


def _along(trajectories: Trajectories, times: Floats, lineage: Index) -> Floats:
    """Return the mean curves at times (b, k), (k, b, n)."""
    out = np.empty((times.shape[1], len(times), trajectories.states.shape[2]))
    for kind in np.unique(lineage):
        mine = lineage == kind
        at = _interpolation(trajectories.times, times[mine].ravel()) @ trajectories.mean(kind)
        out[:, mine] = at.reshape(int(mine.sum()), times.shape[1], -1).transpose(1, 0, 2)
    return out


def nearest_neighbours(trajectories: Trajectories, width: float = 1.0) -> LineagePredictor:
    """Return the weighted mean of what followed the training states most similar to the start.

    Weights are exp(-d^2 / (2 width^2 d_0^2)), d_0 being the distance of the nearest such state (times of the states do
    not matter); a trajectory that ends rests at its end.
    """
    flat = trajectories.states.reshape(-1, trajectories.states.shape[2])
    trajectory, at = np.divmod(np.arange(len(flat)), len(trajectories.times))

    def predict(start: Floats, times: Floats, lineage: Index) -> Floats:
        out = np.empty((times.shape[1] - 1, len(start), flat.shape[1]))
        for i, x in enumerate(start):
            same = trajectories.lineage[trajectory] == lineage[i]
            usable = np.flatnonzero(same) if same.any() else np.arange(len(flat))
            distance2 = np.maximum(((flat[usable] - x) ** 2).sum(axis=1), 1e-12)
            nearest = distance2.min()
            weight = np.exp(-(distance2 - nearest) / (2 * width**2 * nearest))
            weight /= weight.sum()
            for k, passed in enumerate(times[i, 1:] - times[i, 0]):
                then = np.minimum(trajectories.times[at[usable]] + passed, trajectories.times[-1])
                fraction = _interpolation(trajectories.times, then) * weight[:, None]  # (states, T)
                per_trajectory = np.zeros((len(trajectories.states), len(trajectories.times)))
                np.add.at(per_trajectory, trajectory[usable], fraction)
                out[k, i] = per_trajectory.ravel() @ flat
        return out

    return predict


def choose_shift_rates(series: TimeSeries, lineage: Index, grid: Floats) -> Floats:
    """Return the decay of the start's offset for every gene, by the error of whole held-out windows.

    A gene's own curve of errors is noisy, so the mean curve of all genes counts as much (as for penalties).
    """
    from scdash.regression.penalty_choice import choose

    def of(fold: TimeSeries) -> list[LineagePredictor]:
        trajectories = Trajectories.of(fold.originals(), lineage)
        return [mean_trajectory(trajectories, rate) for rate in grid]

    best = choose(_gene_errors(series, lineage, of), sharing=1.0)
    return np.asarray(grid, dtype=np.float64)[best]


def choose_width(series: TimeSeries, lineage: Index, grid: Floats) -> float:
    """Return the width of the nearest-neighbours prediction with the smallest error of whole held-out windows."""

    def of(fold: TimeSeries) -> list[LineagePredictor]:
        trajectories = Trajectories.of(fold, lineage)
        return [nearest_neighbours(trajectories, width) for width in grid]

    errors = _gene_errors(series, lineage, of).mean(axis=(0, 2))
    return float(grid[int(np.argmin(errors))])


def _gene_errors(series: TimeSeries, lineage: Index, of: Callable[[TimeSeries], list[LineagePredictor]]) -> Floats:
    """Return every gene's error over held-out windows, relative to the fold's training mean, (folds, settings, n).

    `of` makes the predictors to choose among from a fold's training states; all trajectories that a model may be evaluated on are left out
    in turn (`validation_folds`).
    """
    found = []
    for fold in validation_folds(series):
        own = fold.originals()
        mean = own.states[own.rows_of("train")].mean(axis=0)
        runs, errors = own.rollouts("validation"), []
        flat = sum(float(((mean - own.states[rows[1:]]) ** 2).mean(axis=1).sum()) for rows in runs)
        for predict in of(fold):
            total: Any = np.zeros(own.states.shape[1])
            for rows in runs:
                kind = lineage[own.trajectory[rows[:1]]]
                predicted = predict(own.states[rows[:1]], own.times[None, rows], kind)[:, 0]
                total += ((predicted - own.states[rows[1:]]) ** 2).sum(axis=0)
            errors.append(total)
        found.append(np.stack(errors) / max(flat, 1e-300))
    result: Floats = np.stack(found)
    return result
