"""Held-out trajectories that evaluate settings of cells: every one that may choose is left out in turn."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scdash._core.types import Floats
from scdash._data import SPLITS, TimeSeries

# starts (b, genes) and times (b, k) -> states (b, k - 1, genes)
Rollout: TypeAlias = Callable[[Floats, Floats], Floats]

TRAIN, VALIDATION, TEST = (SPLITS.index(name) for name in ("train", "validation", "test"))
MOST = 5  # folds; more trajectories than this are left out in groups
SHIFTS, DRAWS = (1.0, 2.0), 4  # sizes of the offsets of the copies of a single window, and copies of each size


def validation_folds(series: TimeSeries) -> list[TimeSeries]:
    """Return the series once for every trajectory that is left out, which its split then names "validation".

    One validation batch is a noisy measure: settings that differ little on it can differ twofold on other batches. So all
    trajectories but those of the test split are held out in turn, and the others learned from; resampled ones go with
    their origin, and the lineages of a batch with each other.
    Where trajectories are held out in part (windows), or there are fewer than three (with two, what is learned
    in the end would not be what was chosen), the series' own validation states are held out.
    """
    split = np.full(len(series.names), -1)
    for rows in series.each():
        kinds = np.unique(series.split[rows])
        if len(kinds) > 1:
            return [series]
        split[series.trajectory[rows[0]]] = kinds[0]
    together = series.together
    known = np.unique(together[(split == TRAIN) | (split == VALIDATION)])
    if len(known) < 3:
        return [series]
    group = np.full(int(together.max()) + 1, -1)
    group[known] = np.arange(len(known)) % MOST
    held = group[together][series.trajectory]
    mine = series.split != TEST
    return [
        replace(series, split=np.where(mine, np.where(held == k, VALIDATION, TRAIN), TEST).astype(np.int8))
        for k in range(min(MOST, len(known)))
    ]


@dataclass(frozen=True)
class HeldOutWindows:
    """Whole validation windows by which settings are chosen."""

    mean: Floats  # (n,), of the training states
    runs: tuple[tuple[NDArray[np.float64], Floats], ...]  # times (b, k) and states (b, k, n), one entry for every k
    shifts: Floats  # (copies, n), added to all states

    @classmethod
    def of(cls, series: TimeSeries, *, alone: bool = False) -> Self:
        """Return the windows of a series; `alone`: there is no other fold.

        Re-drawn trajectories are not among them: they are the same batch once more. A single whole trajectory comes in copies, shifted by `SHIFTS` times each gene's own mean offset from the training states, with
        random signs: batches differ by offsets of single genes that last, a single one shows how large they are but not
        which ones the next will have, and fits that forget a start state fast look good on a batch that has few.
        """
        train = series.rows_of("train")
        mean = series.states[train].mean(axis=0).astype(np.float64)
        own = series.parent == np.arange(len(series.names))
        rows = [run for run in series.rollouts("validation") if own[series.trajectory[run[0]]]]
        shifts = np.zeros((1, len(mean)))
        if alone and len(rows) == 1 and (series.split[rows[0]] == VALIDATION).all():
            offset = series.states[rows[0]].mean(axis=0) - mean
            sign = np.random.default_rng(0).choice([-1.0, 1.0], (len(SHIFTS) * DRAWS, len(mean)))
            shifts = np.repeat(SHIFTS, DRAWS)[:, None] * sign * offset
        groups = [np.stack([run for run in rows if len(run) == k]) for k in sorted({len(run) for run in rows})]
        runs = tuple((series.times[group], series.states[group].astype(np.float64)) for group in groups)
        return cls(mean, runs, shifts)

    def error(self, rollout: Rollout) -> tuple[float, float]:
        """Return the mean squared error of a prediction, and that of the training mean.

        Copies count equally, each relative to the training mean's error on it.
        """
        total, flat, count = np.zeros(len(self.shifts)), np.zeros(len(self.shifts)), 0
        for times, states in self.runs:
            shifted = (self.shifts[:, None, None] + states).reshape(-1, *states.shape[1:])
            with np.errstate(over="ignore", invalid="ignore"):
                predicted = rollout(shifted[:, 0], np.tile(times, (len(self.shifts), 1)))
                total += ((predicted - shifted[:, 1:]) ** 2).reshape(len(self.shifts), -1).sum(axis=1)
            flat += ((self.mean - shifted[:, 1:]) ** 2).reshape(len(self.shifts), -1).sum(axis=1)
            count += states[:, 1:].size
        if not count:
            return float("inf"), float("inf")
        if not np.isfinite(total).all():
            return float("inf"), float(flat.mean()) / count
        return float((total / np.maximum(flat, 1e-300)).mean() * flat.mean()) / count, float(flat.mean()) / count


def pooled(errors: Floats, flat: Floats) -> Floats:
    """Return errors (folds, settings) as one per setting, every fold relative to its training mean's error (folds,).

    So that noisy batches do not outvote the others; in units of the mean of these errors.
    """
    relative = errors / np.maximum(flat, 1e-300)[:, None]
    result: Floats = relative.mean(axis=0) * flat.mean()
    return result
