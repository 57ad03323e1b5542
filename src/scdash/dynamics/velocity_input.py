"""The argument `velocity` of a fit: measured velocities of cells, and where in the trajectories every cell belongs."""

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import unused
from scdash._data import SPLITS, group_cells, read_velocity
from scdash._data.time_series.observed import Observed, Rows
from scdash.dynamics.problem import VelocityOfCells

TEST = SPLITS.index("test")


def velocity_of_cells(
    adata: AnnData,
    velocity: str | tuple[str, str] | None,
    rows: Rows,
    observed: Observed,
    columns: NDArray[np.int64],
    *,
    cells: bool,
    by_folds: bool,
    seed: int,
) -> VelocityOfCells | None:
    """Return measured velocities, or None where none are given; those that have no use are refused."""
    if velocity is None:
        return None
    if not cells or observed.cell_position is None:
        raise unused("velocity", "it is for single cells, and the rows of adata are bins or states")
    if not by_folds:
        raise unused("velocity", "it is for fits that start from the regression and are trained on whole trajectories")
    values = rows.values if rows.cell is None else rows.values.every_row()
    of_rows = _places(rows, observed)
    inside = np.zeros((adata.n_obs, len(observed.series.names)), dtype=bool)
    cell = np.arange(len(of_rows)) if rows.cell is None else rows.cell
    inside[cell[of_rows >= 0], of_rows[of_rows >= 0]] = True
    times = observed.standard.apply(observed.cell_position)
    return VelocityOfCells(
        read_velocity(adata, velocity, values, columns),
        inside.any(axis=1) & ~_near_test(observed, inside, times),
        inside,
        times,
        tuple(_of_cells(half.held, cell, adata.n_obs) for half in observed.learning_halves if half.held is not None),
        seed,
    )


def _places(rows: Rows, observed: Observed) -> NDArray[np.int64]:
    """Return the number of the trajectory of every row; -1: the row takes no part."""
    groups = group_cells(len(rows.time.values), rows.group, rows.batch)
    numbers = {name: number for number, name in enumerate(observed.series.names)}
    of_group = np.array([numbers.get(name, -1) for name in groups.names] + [-1])
    return np.where(rows.left_out, -1, of_group[groups.code])


def _of_cells(held: NDArray[np.bool_], cell: NDArray[np.int64], n_cells: int) -> NDArray[np.bool_]:
    found = np.zeros(n_cells, dtype=bool)
    found[cell[held]] = True
    return found


def _near_test(observed: Observed, inside: NDArray[np.bool_], times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the cells whose nearest state in time, in any of their trajectories, is for test."""
    series = observed.series
    found = np.zeros(len(times), dtype=bool)
    for rows in series.each():
        test = series.split[rows] == TEST
        own = np.flatnonzero(inside[:, series.trajectory[rows[0]]])
        if test.any() and len(own):
            near = np.abs(times[own, None] - series.times[rows][None]).argmin(axis=1)
            found[own] |= test[near]
    return found
