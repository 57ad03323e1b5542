"""What every choice of a fit is made by: trajectories that are left out, or the other half of the cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._data import SPLITS, RelatedCells, TimeSeries, VelocityRows
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.whole_trajectories.batch_noise import starts_without_batch_noise
from scdash.dynamics.whole_trajectories.measured_velocity import learned_and_held, trajectories_with_velocity
from scdash.training.rollouts import Trajectories, mean_squared_errors

LEFT_OUT, OTHER_HALF = "left-out trajectories", "the other half of the cells"
TIME_POINTS = "left-out time points"
TEST_TRAJECTORIES, TEST_WINDOWS = "test trajectories", "test states inside trajectories"
MOST = 5  # folds; more trajectories than this are left out in groups
TEST = SPLITS.index("test")


@dataclass(frozen=True)
class Fold:
    """Trajectories to learn from, and others on which the model is evaluated."""

    train: Trajectories
    held: Trajectories
    start: NDArray[np.float32]  # (trajectories, genes), where predictions of the held-out ones begin
    kind: str  # what is left out, as a report says it
    weights: NDArray[np.floating[Any]]  # (genes,), of squared errors: those of the data's units, squared
    train_lineage: NDArray[np.intp]  # (trajectories,), code of the lineage of each
    held_lineage: NDArray[np.intp]
    spread: float | None = None  # of left-out times: mean squared distance of all states from their mean
    interpolated: NDArray[np.floating[Any]] | None = (
        None  # of left-out times: (trajectories, times - 1, genes), between their neighbours
    )
    held_velocity: VelocityRows | None = None  # of cells that are not learned from

    @property
    def constant_error(self) -> float:
        """Mean squared error of predicting the mean state; of a time that is left out the mean over all times.

        A single time may be near the mean state, and errors relative to that would make it outweigh all others.
        """
        if self.spread is not None:
            return self.spread
        mean = self.train.states.mean(axis=(0, 1), dtype=np.float64)
        errors = mean_squared_errors(mean, self.held, self.weights)
        return float(np.average(errors, weights=self.held.lengths - 1))


def trajectories_of(series: TimeSeries, trajectories: NDArray[np.bool_], *, resampled: bool = True) -> Trajectories:
    """Return some trajectories of a series (names,), with or without those that are resampled from their cells.

    States of the test split are left out of a trajectory that has others, too.
    """
    used = _rows_used(series, trajectories, resampled=resampled)
    return Trajectories.of([series.states[rows] for rows in used], [series.times[rows] for rows in used])


def _rows_used(
    series: TimeSeries, trajectories: NDArray[np.bool_], *, resampled: bool = True
) -> list[NDArray[np.int64]]:
    """Return the rows of every trajectory that `trajectories_of` takes."""
    own = series.parent == np.arange(len(series.names))
    wanted = trajectories if resampled else trajectories & own
    used = []
    for rows in series.each():
        if wanted[series.trajectory[rows[0]]]:
            learned = rows[series.split[rows] != TEST]
            used.append(learned if len(learned) else rows)
    return [rows for rows in used if len(rows) > 1]


def lineage_codes(problem: FitProblem) -> NDArray[np.intp]:
    """Return the code of the lineage of every trajectory, (names,)."""
    return np.zeros(len(problem.series.names), np.intp) if problem.lineage is None else problem.lineage


def lineages_of(problem: FitProblem, trajectories: NDArray[np.bool_], *, resampled: bool = True) -> NDArray[np.intp]:
    """Return the code of the lineage of every trajectory that `trajectories_of` takes."""
    used = _rows_used(problem.series, trajectories, resampled=resampled)
    return lineage_codes(problem)[[problem.series.trajectory[rows[0]] for rows in used]]


def is_test(series: TimeSeries) -> NDArray[np.bool_]:
    """Return which trajectories are wholly of the test split, (names,)."""
    found = np.zeros(len(series.names), dtype=bool)
    for rows in series.each():
        found[series.trajectory[rows[0]]] = bool((series.split[rows] == TEST).all())
    return found


def make_folds(problem: FitProblem) -> list[Fold]:
    """Return the folds by which a fit of cells chooses; test states take no part.

    Of cells at sampled times, times between others are left out in turn, in all trajectories, and predicted from the state
    before. Where every lineage has at least two trajectories that are not for test (batches, say), trajectories are left out in
    turn, in groups where there are more than five, together with their bootstraps and, of batches, with the
    other lineages of the batch: these hold the same progenitors. Otherwise models are learned from one half of the cells
    and evaluated on the other, if the problem has halves; else there is no fold.
    """
    if problem.left_out_times:
        return list(_left_out_times(problem))
    series, usable = problem.series, ~is_test(problem.series)
    present = np.isin(np.arange(len(series.names)), series.trajectory)
    own = np.flatnonzero(usable & present & (series.parent == np.arange(len(series.names))))
    together, lineage = series.together[own], lineage_codes(problem)[own]
    if min(len(np.unique(together[lineage == code])) for code in np.unique(lineage)) > 1:
        return [
            _left_out(problem, np.isin(series.together, left), usable) for left in _left_out_in_turn(together, lineage)
        ]
    return list(_other_half(problem)) if problem.learning_halves else []


def _left_out_in_turn(together: NDArray[np.int64], lineage: NDArray[np.intp]) -> list[NDArray[np.int64]]:
    """Return the groups of trajectories that each fold leaves out: at most `MOST` folds, unless one would leave out a lineage.

    `together`, `lineage` (trajectories,): codes of the group and of the lineage of every trajectory.
    """
    groups = np.array(list(dict.fromkeys(together.tolist())))
    for folds in range(min(MOST, len(groups)), len(groups) + 1):
        left = [groups[k::folds] for k in range(folds)]
        if all(len(np.unique(lineage[~np.isin(together, some)])) == len(np.unique(lineage)) for some in left):
            break
    return left


def _left_out(problem: FitProblem, held: NDArray[np.bool_], usable: NDArray[np.bool_]) -> Fold:
    """Return the fold that leaves some trajectories out, (names,)."""
    weights = gene_weights(problem)
    series = starts_without_batch_noise(problem.series, lineage_codes(problem), usable & ~held, weights)
    held_out = trajectories_of(series, held & usable, resampled=False)
    lineages = lineages_of(problem, usable & ~held), lineages_of(problem, held & usable, resampled=False)
    away = None if problem.velocity is None else np.asarray(problem.velocity.inside[:, held].any(axis=1))
    learned = replace(trajectories_of(series, usable & ~held), lineage=lineages[0])
    train, other = learned_and_held(problem, learned, away)
    return Fold(train, held_out, held_out.states[:, 0], LEFT_OUT, weights, *lineages, held_velocity=other)


def all_to_learn_from(problem: FitProblem) -> Trajectories:
    """Return every trajectory that is not for test, resampled ones and groups of related cells among them."""
    learned = ~is_test(problem.series)
    found = replace(trajectories_of(problem.series, learned), lineage=lineages_of(problem, learned))
    found = trajectories_with_velocity(problem, found)
    if not problem.related:
        return found
    states, times = _as_lists(found)
    more = _with_related(problem, problem.related)
    return Trajectories.of(states + more[0], times + more[1], velocity=found.velocity)


def _as_lists(trajectories: Trajectories) -> tuple[list[NDArray[Any]], list[NDArray[np.float64]]]:
    """Return states and times of every trajectory, without what pads them."""
    own = list(zip(trajectories.states, trajectories.times, trajectories.lengths, strict=True))
    return [states[:length] for states, _, length in own], [times[:length] for _, times, length in own]


def _with_related(
    problem: FitProblem, related: Sequence[RelatedCells]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]], list[int]]:
    """Return the states, in units of the series, the times and the trajectory of every group of related cells."""
    if not related:
        return [], [], []
    assert problem.units is not None  # cells have units
    states = [(group - problem.units.minimum) / problem.units.range for one in related for group in one.states]
    return (
        states,
        [times for one in related for times in one.times],
        [one.trajectory for one in related for _ in one.states],
    )


def _left_out_times(problem: FitProblem) -> Iterator[Fold]:
    """Return a fold for every time, or group of times, that is left out; states of the test split take no part."""
    series, weights, lineage = problem.series, gene_weights(problem), lineage_codes(problem)
    runs = _rows_used(series, ~is_test(series))
    own = [rows for rows in runs if series.parent[series.trajectory[rows[0]]] == series.trajectory[rows[0]]]
    seen = series.states[np.concatenate(own)]
    spread = float(np.average((seen - seen.mean(axis=0)) ** 2, axis=1, weights=weights).mean())
    for left in problem.left_out_times:
        away = [np.isclose(series.times[rows][:, None], left.times[None]).any(axis=1) for rows in runs]
        kept = [rows[~gone] for rows, gone in zip(runs, away, strict=True) if (~gone).sum() > 1]
        more = _with_related(problem, left.related)
        train = Trajectories.of(
            [series.states[rows] for rows in kept] + more[0], [series.times[rows] for rows in kept] + more[1]
        )
        of_train = [series.trajectory[rows[0]] for rows in kept] + more[2]
        runs_away = [run for rows in own for run in _between_known(rows, series.times, left.times)]
        held, line = _held_and_line(series, runs_away)
        cells = None if problem.velocity is None else _at_times(problem.velocity.times, series.times, left.times)
        train, other = learned_and_held(problem, train, cells)
        yield Fold(
            train,
            held,
            held.states[:, 0],
            TIME_POINTS,
            weights,
            lineage[of_train],
            lineage[[series.trajectory[run[0]] for run in runs_away]],
            spread=spread,
            interpolated=line,
            held_velocity=other,
        )


def _between_known(
    rows: NDArray[np.int64], times: NDArray[np.float64], left: NDArray[np.float64]
) -> list[NDArray[np.int64]]:
    """Return every run of rows of a trajectory at times that are left out, with the known rows before and after it."""
    away = np.isclose(times[rows][:, None], left[None]).any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], away, [False]]).astype(np.int8))).reshape(-1, 2)
    return [rows[first - 1 : stop + 1] for first, stop in edges if first > 0 and stop < len(rows)]


def _held_and_line(
    series: TimeSeries, runs: Sequence[NDArray[np.int64]]
) -> tuple[Trajectories, NDArray[np.floating[Any]]]:
    """Return what is left out from the known state before, and straight lines from there to the known state after.

    The lines are (trajectories, times - 1, genes), padded as trajectories are.
    """
    held = Trajectories.of([series.states[run[:-1]] for run in runs], [series.times[run[:-1]] for run in runs])
    span = np.array([np.ptp(series.times[run]) for run in runs])
    fraction = held.times[:, 1:, None] / span[:, None, None]
    first, last = (series.states[[run[at] for run in runs]][:, None] for at in (0, -1))
    return held, (1 - fraction) * first + fraction * last


def _at_times(
    cells: NDArray[np.floating[Any]], states: NDArray[np.float64], left: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return the cells whose nearest state in time is left out: the time of a cell in several lineages is a mean."""
    known = np.unique(states)
    after = np.clip(np.searchsorted(known, cells), 1, len(known) - 1)
    nearest = np.where(cells - known[after - 1] < known[after] - cells, known[after - 1], known[after])
    return np.asarray(np.isclose(nearest[:, None], left[None]).any(axis=1))


def _other_half(problem: FitProblem) -> Iterator[Fold]:
    assert problem.units is not None  # cells have units
    test = np.unique(problem.series.times[problem.series.split == TEST])
    lineage = lineages_of(problem, ~is_test(problem.series), resampled=False)
    for number, half in enumerate(problem.learning_halves):
        kept = ~np.isin(half.times, test)
        train, held = (
            ((part - problem.units.minimum) / problem.units.range)[..., kept, :] for part in (half.states, half.others)
        )
        times = half.times[kept]
        trajectories = Trajectories.of(
            list(train.reshape(-1, *train.shape[2:])), [times] * (train.shape[0] * train.shape[1])
        )
        held_out = Trajectories.of(list(held), [times] * len(held))
        start = train[0, :, 0].astype(np.float32)
        lineages = np.tile(lineage, train.shape[0]), lineage
        away = None if problem.velocity is None else problem.velocity.other_halves[number]
        trajectories, other = learned_and_held(problem, trajectories, away)
        yield Fold(trajectories, held_out, start, OTHER_HALF, gene_weights(problem), *lineages, held_velocity=other)


def gene_weights(problem: FitProblem) -> NDArray[np.floating[Any]]:
    """Return the weight of every gene's squared error: states are in ranges of genes, errors count in the data's units."""
    return np.ones(problem.n_genes) if problem.units is None else problem.units.range**2
