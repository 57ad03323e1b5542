"""Expression along trajectories as a plain value: what every model of dynamics is trained on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class TimeSeries:
    """States of `n` genes observed along trajectories, sorted by trajectory, then time.

    One row is one state: a sample of a time course, or a smoothed bin of cells. Times are in the units of the data;
    within a trajectory they increase strictly.
    """

    states: NDArray[np.floating[Any]]  # (rows, genes)
    times: NDArray[np.float64]  # (rows,)
    trajectory: NDArray[np.int64]  # (rows,), codes into `names`
    names: tuple[str, ...]
    split: NDArray[np.int8]  # (rows,), codes into SPLITS
    genes: pd.Index
    weights: NDArray[np.float64] | None = None  # (rows,), effective number of cells behind each state
    origin: NDArray[np.int64] | None = None  # (names,), code of the trajectory whose cells were drawn again; None: own
    group: NDArray[np.int64] | None = None  # (names,), code of what is left out together; None: each trajectory alone

    def __post_init__(self) -> None:
        rows = len(self.times)
        if self.states.shape != (rows, len(self.genes)) or len(self.trajectory) != rows or len(self.split) != rows:
            raise ValueError(
                f"TimeSeries: states {self.states.shape}, times {rows}, trajectory {len(self.trajectory)}, split "
                f"{len(self.split)} and genes {len(self.genes)} do not fit together."
            )
        if self.origin is not None and len(self.origin) != len(self.names):
            raise ValueError(f"TimeSeries: {len(self.origin)} origins for {len(self.names)} trajectories.")
        if self.group is not None and len(self.group) != len(self.names):
            raise ValueError(f"TimeSeries: {len(self.group)} groups for {len(self.names)} trajectories.")
        same = self.trajectory[1:] == self.trajectory[:-1]
        if np.any(np.diff(self.trajectory) < 0) or np.any(np.diff(self.times)[same] <= 0):
            raise ValueError("TimeSeries: rows must be sorted by trajectory and strictly increasing in time.")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def parent(self) -> NDArray[np.int64]:
        """Code of the trajectory that each trajectory is a re-drawing of, or its own code, (names,)."""
        own = np.arange(len(self.names), dtype=np.int64)
        return own if self.origin is None else np.asarray(self.origin, dtype=np.int64)

    @property
    def together(self) -> NDArray[np.int64]:
        """Code of what every trajectory is left out with, (names,): its group, or what it was resampled from."""
        return self.parent if self.group is None else np.asarray(self.group, dtype=np.int64)[self.parent]

    def originals(self) -> Self:
        """Return the series without resampled trajectories."""
        own = self.parent == np.arange(len(self.names))
        return self if own.all() else self.select(own[self.trajectory])

    def rows_with_bootstraps(self, most: int) -> NDArray[np.bool_]:
        """Return which rows are of originals, or of the first so many bootstraps of one, (rows,)."""
        drawn = self.parent != np.arange(len(self.names))
        number = pd.Series(drawn).groupby(self.parent).cumsum().to_numpy()
        return np.asarray(~drawn | (number <= most))[self.trajectory]

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Return the rows of one split."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def select(self, rows: NDArray[Any]) -> Self:
        """Return the series of some rows (indices or a boolean mask), order kept."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else np.sort(rows)
        weights = None if self.weights is None else self.weights[rows]
        return replace(
            self,
            states=self.states[rows],
            times=self.times[rows],
            trajectory=self.trajectory[rows],
            split=self.split[rows],
            weights=weights,
        )

    def each(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of each trajectory present, in order of time."""
        for code in np.unique(self.trajectory):
            yield np.flatnonzero(self.trajectory == code)

    def windows(self, length: int = 1, split: str = "train") -> NDArray[np.int64]:
        """Return (windows, length + 1) rows: every run of consecutive states of `split` within a trajectory.

        States of other splits are skipped, never used: a window may step over a held-out window. Trajectories with
        fewer states than a window are left out.
        """
        found = [np.empty((0, length + 1), np.int64)]
        for rows in self.each():
            mine = rows[self.split[rows] == SPLITS.index(split)]
            if len(mine) > length:
                found.append(np.lib.stride_tricks.sliding_window_view(mine, length + 1))
        return np.concatenate(found).astype(np.int64)

    def pairs(self, split: str | None = None) -> NDArray[np.int64]:
        """Return (pairs, 2) rows of next-step predictions whose LATER state is in `split`.

        The earlier state may be of another split: a held-out window is predicted from the last state before it.
        Training pairs are the exception, see `windows`: both of their states are training states.
        """
        if split == "train":
            return self.windows(1)
        start = np.flatnonzero(self.trajectory[1:] == self.trajectory[:-1])
        found = np.column_stack([start, start + 1]).astype(np.int64)
        return found if split is None else found[self.split[found[:, 1]] == SPLITS.index(split)]

    def rollouts(self, split: str | None = None) -> list[NDArray[np.int64]]:
        """Return, for every contiguous window of `split`, the row to start from followed by the rows to predict.

        The start is the row before the window, or the trajectory's first row where the window begins there.
        """
        runs = []
        for rows in self.each():
            wanted = np.ones(len(rows), bool) if split is None else self.split[rows] == SPLITS.index(split)
            edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
            for first, stop in edges.reshape(-1, 2):
                run = rows[max(first - 1, 0) : stop]
                if len(run) > 1:
                    runs.append(run)
        return runs
