"""Trajectories as padded arrays, and the transitions between their states."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scdash._core.types import Floats, Index
from scdash._data import SPLITS, TimeSeries


@dataclass(frozen=True)
class Trajectories:
    """States (trajectories, times, genes), padded by repeating the last state and time."""

    states: Floats  # (B, T, n)
    times: NDArray[np.float64]  # (B, T)
    length: Index  # (B,)
    weights: NDArray[np.float64]  # (B, T), relative precision of the states
    code: Index  # (B,), the series' codes of the trajectories

    @classmethod
    def from_series(cls, series: TimeSeries, splits: tuple[str, ...]) -> Self:
        """Read the rows of some splits; a trajectory interrupted by others becomes several."""
        wanted = np.isin(series.split, [SPLITS.index(name) for name in splits])
        new = np.ones(len(series), dtype=bool)
        new[1:] = (series.trajectory[1:] != series.trajectory[:-1]) | (wanted[1:] != wanted[:-1])
        runs = [rows for rows in np.split(np.arange(len(series)), np.flatnonzero(new)[1:]) if wanted[rows[:1]].all()]
        runs = [rows for rows in runs if len(rows) > 1]
        if not runs:
            raise ValueError(
                f"series has no transition within splits {splits}: two states of one trajectory are needed."
            )
        length = np.array([len(rows) for rows in runs])
        index = np.stack([np.pad(rows, (0, length.max() - len(rows)), mode="edge") for rows in runs])
        weights = np.ones(len(series)) if series.weights is None else series.weights
        return cls(
            series.states[index].astype(np.float64),
            series.times[index],
            length,
            weights[index] / weights[np.concatenate(runs)].mean(),
            series.trajectory[index[:, 0]],
        )

    @property
    def real(self) -> NDArray[np.bool_]:
        """Which entries (trajectories, times) are observations rather than padding."""
        result: NDArray[np.bool_] = np.arange(self.times.shape[1]) < self.length[:, None]
        return result


@dataclass(frozen=True)
class Transitions:
    """Pairs of states `lag` observations apart."""

    trajectory: Index  # (m,)
    first: Index  # (m,), index of the earlier state in time
    lag: int

    @classmethod
    def of(cls, trajectories: Trajectories, lag: int = 1) -> Self:
        """Return all transitions of one lag."""
        steps = np.arange(max(trajectories.times.shape[1] - lag, 0))
        trajectory, first = np.nonzero(steps + lag < trajectories.length[:, None])
        if not len(first):
            raise ValueError(f"lags: no trajectory has {lag + 1} states, needed for lag {lag}.")
        return cls(trajectory, first, lag)

    def at(self, values: NDArray[Any], step: int) -> NDArray[Any]:
        """Return the values (trajectories, times, ...) found `step` observations after the start, (m, ...)."""
        result: NDArray[Any] = values[self.trajectory, self.first + step]
        return result


def units(data: Trajectories, number: int, groups: NDArray[Any] | None) -> Index:
    """Return a code (trajectories, times - 1) of the independent unit of every interval between observations.

    Units are groups of trajectories if given, else whole trajectories, or where these are fewer than `number` (at
    least as many) windows of them.
    """
    intervals = np.arange(data.times.shape[1] - 1)
    if groups is not None:
        code = np.unique(groups[data.code], return_inverse=True)[1]
    else:
        code = np.arange(len(data.length))
    present = int(code.max()) + 1
    if present >= number:
        return np.broadcast_to(code[:, None], (len(code), len(intervals)))
    windows = -(-number // present)
    place = np.minimum(intervals * windows // np.maximum(data.length[:, None] - 1, 1), windows - 1)
    window: Index = code[:, None] * windows + place
    return window
