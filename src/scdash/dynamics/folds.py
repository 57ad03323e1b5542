"""What every choice of a fit is made by: trajectories that are left out, or the other half of the cells."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._data import SPLITS, CellHalves, TimeSeries
from scdash.dynamics.problem import Units
from scdash.training.whole_trajectories import Courses

MOST = 5  # folds; more trajectories than this are left out in groups
DRAWS = 2  # ways to deal the cells of a single trajectory to halves, each judged both ways round
TEST = SPLITS.index("test")


@dataclass(frozen=True)
class Fold:
    """Trajectories to learn from, and others that judge what was learned."""

    train: Courses
    held: Courses
    name: str
    weights: NDArray[np.floating[Any]]  # (genes,), of squared errors: those of the data's units, squared

    @property
    def constant_error(self) -> float:
        """Mean squared error of predicting the mean training state."""
        mean = self.train.states.mean(axis=(0, 1), dtype=np.float64)
        seen = np.arange(self.held.states.shape[1]) < self.held.lengths[:, None]
        squares = np.average((self.held.states - mean) ** 2, axis=-1, weights=self.weights)
        return float((squares * seen)[:, 1:].sum() / (self.held.lengths - 1).sum())


def courses_of(series: TimeSeries, trajectories: NDArray[np.bool_], *, redrawn: bool = True) -> Courses:
    """Return some trajectories of a series (names,), with or without those that are re-drawn from their cells."""
    own = series.parent == np.arange(len(series.names))
    wanted = trajectories if redrawn else trajectories & own
    rows = [rows for rows in series.each() if wanted[series.trajectory[rows[0]]] and len(rows) > 1]
    return Courses.of([series.states[part] for part in rows], [series.times[part] for part in rows])


def is_test(series: TimeSeries) -> NDArray[np.bool_]:
    """Return which trajectories are wholly of the test split, (names,)."""
    found = np.zeros(len(series.names), dtype=bool)
    for rows in series.each():
        found[series.trajectory[rows[0]]] = bool((series.split[rows] == TEST).all())
    return found


def make_folds(series: TimeSeries, halves: CellHalves | None, units: Units | None) -> list[Fold]:
    """Return the folds by which a fit chooses.

    Where at least two trajectories are not for test, they are left out in turn (in groups where there are more than five),
    together with what was re-drawn from their cells. A single trajectory of cells is learned from one half of the cells
    and judged on the other. A single trajectory of states has no fold.
    """
    usable = ~is_test(series)
    origin = series.parent
    own = np.flatnonzero(usable & (origin == np.arange(len(series.names))))
    own = own[np.isin(own, series.trajectory)]
    if len(own) > 1:
        weights = np.ones(series.states.shape[1]) if units is None else units.range**2
        return list(_left_out(series, own, origin, usable, weights))
    if halves is not None and units is not None:
        return list(_other_half(halves, units, np.diff(series.times[series.trajectory == own[0]])))
    return []


def _left_out(
    series: TimeSeries,
    own: NDArray[np.int64],
    origin: NDArray[np.int64],
    usable: NDArray[np.bool_],
    weights: NDArray[np.floating[Any]],
) -> Iterator[Fold]:
    group = np.arange(len(own)) % MOST
    for fold in range(min(MOST, len(own))):
        held = np.isin(origin, own[group == fold])
        names = ", ".join(series.names[code] for code in own[group == fold][:3])
        yield Fold(courses_of(series, usable & ~held), courses_of(series, held & usable, redrawn=False), names, weights)


def _other_half(halves: CellHalves, units: Units, intervals: NDArray[np.float64]) -> Iterator[Fold]:
    both = [(part - units.minimum) / units.range for part in halves.halves]  # (draws, trajectories, bins, genes)
    bins = both[0].shape[2]
    times = np.concatenate([[0.0], np.cumsum(np.broadcast_to(np.median(intervals), bins - 1))])
    for draw in range(min(DRAWS, len(both[0]))):
        courses = [Courses.of(list(part[draw]), [times] * part.shape[1]) for part in both]
        yield Fold(courses[0], courses[1], f"first half of the cells, draw {draw + 1}", units.range**2)
        yield Fold(courses[1], courses[0], f"second half of the cells, draw {draw + 1}", units.range**2)
