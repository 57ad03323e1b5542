"""What every choice of a fit is made by: trajectories that are left out, or the other half of the cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._data import SPLITS, HalfOfCells, TimeSeries
from scdash.dynamics.problem import Units
from scdash.training.whole_trajectories import Courses

MOST = 5  # folds; more trajectories than this are left out in groups
TEST = SPLITS.index("test")


@dataclass(frozen=True)
class Fold:
    """Trajectories to learn from, and others that judge what was learned."""

    train: Courses
    held: Courses
    start: NDArray[np.float32]  # (trajectories, genes), where predictions of the held-out ones begin
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


def make_folds(series: TimeSeries, halves: Sequence[HalfOfCells] | None, units: Units | None) -> list[Fold]:
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
        return list(_other_half(halves, units))
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
        judged = courses_of(series, held & usable, redrawn=False)
        yield Fold(courses_of(series, usable & ~held), judged, judged.states[:, 0], names, weights)


def _other_half(halves: Sequence[HalfOfCells], units: Units) -> Iterator[Fold]:
    for number, half in enumerate(halves, start=1):
        train, held = ((part - units.minimum) / units.range for part in (half.states, half.others))
        times = half.times
        courses = Courses.of(list(train.reshape(-1, *train.shape[2:])), [times] * (train.shape[0] * train.shape[1]))
        judged = Courses.of(list(held), [times] * len(held))
        yield Fold(courses, judged, train[0, :, 0].astype(np.float32), f"half {number} of the cells", units.range**2)
