"""Baselines without a model: what predicts held-out trajectories from their start and the training trajectories alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scdash.dynamics.comparisons.predictions_without_network import (
    LineagePredictor,
    mean_trajectory,
    nearest_neighbours,
    shifted_mean_trajectory,
)
from scdash.dynamics.comparisons.predictions_without_network import Trajectories as CommonTimes
from scdash.dynamics.whole_trajectories.folds import LEFT_OUT, TEST_TRAJECTORIES, TIME_POINTS, Fold
from scdash.dynamics.whole_trajectories.selection import Errors, best
from scdash.training.rollouts import Trajectories, mean_squared_errors

CONSTANT, PERSISTENCE = "constant", "persistence"
MEAN, SHIFTED, ALIGNED = (
    "mean trajectory",
    "mean trajectory shifted to the start",
    "mean trajectory aligned to the start",
)
NEIGHBOURS = "nearest neighbours"
INTERPOLATION = "linear interpolation of the neighbours"  # in time, of a time point that was left out
BASELINES = (CONSTANT, PERSISTENCE, MEAN, SHIFTED, ALIGNED, NEIGHBOURS)  # of trajectories
BASELINES_OF_TIMES = (CONSTANT, PERSISTENCE, INTERPOLATION)
WIDTHS = (0.25, 0.5, 1.0, 2.0)  # of the neighbourhood, in distances of the nearest neighbour
DECAYS = (0.0, 0.25, 1.0, 4.0, 16.0)  # of the shift, per length of a trajectory


def baseline_errors(folds: Sequence[Fold]) -> dict[str, Errors]:
    """Return the relative errors of every baseline, (folds,) each.

    A baseline that has a setting (how fast the shift decays, how wide the neighbourhood is) takes the one that is best on
    these folds, as the model's settings are chosen by them. The other half of the cells has the trajectory of the cells
    that were learned from, which the baselines that follow training trajectories repeat instead of predicting it: they
    are for whole trajectories that were left out.
    """
    found = {
        CONSTANT: np.array([1.0 for _ in folds]),
        PERSISTENCE: np.array(
            [relative_error(np.broadcast_to(fold.start[:, None], fold.held.states.shape), fold) for fold in folds]
        ),
    }
    if folds[0].kind == TIME_POINTS:
        means = [fold.train.states.mean(axis=(0, 1), dtype=np.float64) for fold in folds]
        found[CONSTANT] = np.array([relative_error(mean, fold) for mean, fold in zip(means, folds, strict=True)])
        found[INTERPOLATION] = np.array([relative_error(_between(fold), fold) for fold in folds])
        return found
    if folds[0].kind not in (LEFT_OUT, TEST_TRAJECTORIES):
        return found
    length = float(np.mean([times_of(fold.held).max() for fold in folds]))
    tried: dict[str, list[list[LineagePredictor]]] = {name: [] for name in (MEAN, SHIFTED, ALIGNED, NEIGHBOURS)}
    for fold in folds:
        seen = common_times(fold.train, fold.train_lineage)
        tried[MEAN].append([mean_trajectory(seen)])
        tried[SHIFTED].append([mean_trajectory(seen, decay / length) for decay in DECAYS])
        tried[ALIGNED].append([shifted_mean_trajectory(seen)])
        tried[NEIGHBOURS].append([nearest_neighbours(seen, width) for width in WIDTHS])
    for name, settings in tried.items():
        errors = [[_error(one, fold) for one in of_fold] for of_fold, fold in zip(settings, folds, strict=True)]
        table = np.array(errors).T
        found[name] = table[best(table)]
    return found


def times_of(trajectories: Trajectories) -> NDArray[np.float64]:
    """Return times that agree where trajectories have a time in common, (trajectories, times)."""
    return trajectories.times.round(6)


def common_times(trajectories: Trajectories, lineage: NDArray[np.intp]) -> CommonTimes:
    """Return trajectories at the times of all of them, states between two observed ones by straight lines."""
    known = times_of(trajectories)
    times = np.unique(known)
    states = np.empty((len(trajectories), len(times), trajectories.states.shape[2]))
    for k, length in enumerate(trajectories.lengths):
        at = np.interp(times, known[k, :length], np.arange(length))
        left = np.minimum(at.astype(np.int64), length - 2)
        part = (at - left)[:, None]
        states[k] = (1 - part) * trajectories.states[k, left] + part * trajectories.states[k, left + 1]
    return CommonTimes(states, times, lineage)


def relative_error(predicted: NDArray[np.floating], fold: Fold) -> float:
    """Return the error of predictions (trajectories, times, genes) of the held-out states, over that of their mean."""
    return float(mean_squared_errors(predicted, fold.held, fold.weights).mean() / fold.constant_error)


def _between(fold: Fold) -> NDArray[np.floating]:
    """Return the straight line between the times before and after as (trajectories, times, genes)."""
    assert fold.interpolated is not None  # of left-out times
    return np.concatenate([fold.start[:, None], fold.interpolated], axis=1)


def _error(predict: LineagePredictor, fold: Fold) -> float:
    later = predict(fold.start, times_of(fold.held), fold.held_lineage)  # (times - 1, trajectories, genes)
    return relative_error(np.concatenate([fold.start[None], later]).transpose(1, 0, 2), fold)
