"""Held-out trajectories that judge settings of cells: every one that may choose is left out in turn."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from scdash._data import SPLITS, TimeSeries
from scdash.matching._types import Floats

# starts (b, genes) and times (b, k) -> states (b, k - 1, genes)
Rollout: TypeAlias = Callable[[Floats, Floats], Floats]

TRAIN, VALIDATION, TEST = (SPLITS.index(name) for name in ("train", "validation", "test"))
MOST = 5  # folds; more trajectories than this are left out in groups


def judging_folds(series: TimeSeries, most: int = MOST) -> list[TimeSeries]:
    """Return the series once for every trajectory that is left out, which its split then names "validation".

    One validation batch is a noisy judge: settings that differ little on it can differ twofold on other batches. So all
    trajectories but those of the test split judge in turn, learned from the others; re-drawn ones go with their origin.
    Where trajectories are held out in part (stretches), or there are fewer than three (the second of two would judge what
    is not learned from in the end), the series' own validation states judge.
    """
    split = np.full(len(series.names), -1)
    for rows in series.each():
        kinds = np.unique(series.split[rows])
        if len(kinds) > 1:
            return [series]
        split[series.trajectory[rows[0]]] = kinds[0]
    origin = np.asarray(series.parent)
    known = np.unique(origin[(split == TRAIN) | (split == VALIDATION)])
    if len(known) < 3:
        return [series]
    group = np.full(len(series.names), -1)
    group[known] = np.arange(len(known)) % most
    held = group[origin][series.trajectory]
    mine = series.split != TEST
    return [
        replace(series, split=np.where(mine, np.where(held == k, VALIDATION, TRAIN), TEST).astype(np.int8))
        for k in range(min(most, len(known)))
    ]


def held_error(series: TimeSeries, rollout: Rollout) -> tuple[float, float]:
    """Return the mean squared error of whole validation stretches, and that of the training mean on them."""
    mean = series.states[series.rows_of("train")].mean(axis=0)
    runs = series.rollouts("validation")
    total, flat, count = 0.0, 0.0, 0
    for length in {len(rows) for rows in runs}:
        rows = np.stack([one for one in runs if len(one) == length])
        observed = series.states[rows[:, 1:]]
        with np.errstate(over="ignore", invalid="ignore"):
            predicted = rollout(series.states[rows[:, 0]].astype(np.float64), series.times[rows])
            total += float(((predicted - observed) ** 2).sum())
        flat += float(((mean - observed) ** 2).sum())
        count += observed.size
    if not count:
        return float("inf"), float("inf")
    return (total / count if np.isfinite(total) else float("inf")), flat / count


def pooled(errors: Floats, flat: Floats) -> Floats:
    """Return errors (folds, settings) as one per setting, every fold relative to its training mean's error (folds,).

    So that noisy batches do not outvote the others; in units of the mean of these errors.
    """
    relative = errors / np.maximum(flat, 1e-300)[:, None]
    result: Floats = relative.mean(axis=0) * flat.mean()
    return result
