"""Folds of trajectories (or windows of them) as other splits of the same series, and all their examples in one stack."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scdash._core.errors import check_least
from scdash._data import SPLITS, TimeSeries
from scdash.training import Examples, examples_from

TRAIN, VALIDATION, TEST = range(len(SPLITS))


def make_folds(series: TimeSeries, n_folds: int, seed: int) -> list[TimeSeries]:
    """Return the series once per fold, the fold's fraction of the non-test states labelled validation, the rest train.

    One fold is the series as it is split already. Several are whole trajectories (or groups of them), where there are at least `n_folds`;
    else equal windows of every trajectory's length. Resampled trajectories ("name#k") take no part where their original is
    held out. Test states stay out of it.
    """
    check_least("n_folds", n_folds, 1)
    if n_folds == 1:
        return [series]
    usable = series.split != TEST
    of_row = series.together[series.trajectory]
    originals = np.unique(of_row[usable])
    if len(originals) >= n_folds:
        shuffled = np.random.default_rng([seed, 2]).permutation(originals)
        part = np.zeros(int(of_row.max()) + 1, np.int64)
        part[shuffled] = np.arange(len(shuffled)) % n_folds
        fold = part[of_row]
    else:
        fold = np.zeros(len(series), np.int64)
        for rows in series.each():
            place = (series.times[rows] - series.times[rows[0]]) / np.ptp(series.times[rows])
            fold[rows] = np.minimum((place * n_folds).astype(np.int64), n_folds - 1)
    resampled = series.parent[series.trajectory] != series.trajectory
    folds = []
    for k in range(n_folds):
        split = np.where(fold == k, np.where(resampled, TEST, VALIDATION), TRAIN)
        folds.append(replace(series, split=np.where(usable, split, TEST).astype(np.int8)))
    return folds


def stack_examples(
    folds: Sequence[TimeSeries], rows_of: Callable[[TimeSeries], NDArray[np.int64]], repeats: int
) -> Examples:
    """Return the examples of all folds once each, with who sees which: model r of the stack sees fold r % folds."""
    rows = [rows_of(fold) for fold in folds]
    width = min(r.shape[1] for r in rows)
    every, place = np.unique(np.concatenate([r[:, :width] for r in rows]), axis=0, return_inverse=True)
    member = np.zeros((len(folds), len(every)), bool)
    owner = np.repeat(np.arange(len(folds)), [len(r) for r in rows])
    member[owner, place.ravel()] = True
    return examples_from(folds[0], every, member=np.tile(member, (repeats, 1)))
