"""Measured velocities of cells beside their trajectories: in the same units, and split as the folds are."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._data import VelocityRows
from scdash.dynamics.problem import FitProblem
from scdash.training.rollouts import Trajectories

Floats = NDArray[np.floating[Any]]
FEWEST_CELLS = 24  # with a velocity: fewer are no rows to learn from or to evaluate by


def learned_and_held(
    problem: FitProblem, trajectories: Trajectories, away: NDArray[np.bool_] | None
) -> tuple[Trajectories, VelocityRows | None]:
    """Return trajectories with the velocities of the cells that may be learned from, and those of the cells left out.

    `away` (cells,) are the cells that are left out; None: no velocity was measured.
    """
    if away is None or problem.velocity is None:
        return trajectories, None
    rows, held = _rows(problem, ~away), _rows(problem, away)
    if rows is None:
        return trajectories, None
    scale, weight = calibration(rows, trajectories)
    train = replace(trajectories, velocity=rows.calibrated(scale, weight))
    return train, None if held is None else held.calibrated(scale, np.ones(len(scale)))


def trajectories_with_velocity(problem: FitProblem, trajectories: Trajectories) -> Trajectories:
    """Return trajectories with the measured velocities of all cells that are not for test, in their unit of time."""
    rows = None if problem.velocity is None else _rows(problem, np.ones(len(problem.velocity.usable), dtype=bool))
    return (
        trajectories
        if rows is None
        else replace(trajectories, velocity=rows.calibrated(*calibration(rows, trajectories)))
    )


def _rows(problem: FitProblem, among: NDArray[np.bool_]) -> VelocityRows | None:
    """Return the velocities of some cells that are not for test, in units of the series; None where they are too few."""
    assert problem.velocity is not None and problem.units is not None  # cells have units
    cells = np.flatnonzero(problem.velocity.usable & among)
    if len(cells) < FEWEST_CELLS:
        return None
    rng = np.random.default_rng([problem.velocity.seed, 8])
    return problem.velocity.cells.rows(cells, rng).in_units(problem.units.minimum, problem.units.range)


def calibration(rows: VelocityRows, trajectories: Trajectories) -> tuple[Floats, Floats]:
    """Return the factor that takes every gene's velocity to the time of the trajectories, and its weight.

    Velocities have a unit of time of their own for every gene (its rate of splicing, which no model of counts knows).
    Compared are the velocity of every row and the slope of the trajectories at the state nearest to it: the factor is the
    ratio of their root mean squares over rows; the weight is 0 instead of 1 where they point in opposite directions.
    """
    slopes = slopes_at(rows.states, trajectories)
    seen, own = (np.sqrt((part**2).mean(axis=0)) for part in (slopes, rows.velocities))
    product = (slopes * rows.velocities).mean(axis=0)
    scale = np.divide(seen, own, out=np.zeros(len(own)), where=own > 0)
    return scale, (product > 0).astype(np.float64)


def slopes_at(points: Floats, trajectories: Trajectories) -> Floats:
    """Return the slope of the trajectories at the state nearest to every point, (points, genes)."""
    states, slopes = _slopes(trajectories)
    return np.asarray(slopes[_nearest(points, states)])


def _slopes(trajectories: Trajectories) -> tuple[Floats, Floats]:
    """Return all states of the trajectories, (states, genes), and their slopes by differences of their neighbours."""
    states, slopes = [], []
    for path, times, length in zip(trajectories.states, trajectories.times, trajectories.lengths, strict=True):
        own, clock = path[:length].astype(np.float64), times[:length]
        states.append(own)
        slopes.append(np.gradient(own, clock, axis=0))
    return np.concatenate(states), np.concatenate(slopes)


def _nearest(points: Floats, states: Floats) -> NDArray[np.int64]:
    """Return the number of the state nearest to every point."""
    distance = (states**2).sum(axis=1) - 2 * points @ states.T
    return np.asarray(distance.argmin(axis=1), dtype=np.int64)
