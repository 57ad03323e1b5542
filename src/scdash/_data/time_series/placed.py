"""Trajectories of cells that take part, and cells dealt to disjoint parts of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.errors import check_choice
from scdash._data.expression_matrix import Expression
from scdash._data.groups import group_cells
from scdash._data.time import read_time
from scdash._data.time_series.bins import (
    binned_means,
    effective_cells,
    fit_kernels,
    range_align,
    rank_align,
    weighted_rank_align,
)


def positions_in_groups(
    time: Any, code: NDArray[np.int64], align: str, weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the place of each cell in [0, 1] and its time; both 0 for cells that take no part.

    `weights` (cells,): a cell takes as much of the path as it weighs in its group.
    """
    check_choice("align", align, ("rank", "range", "none"))
    inside = code >= 0
    seconds = np.zeros(len(code))
    seconds[inside] = read_time(np.asarray(time)[inside], "time").values
    position = np.zeros(len(code))
    if align == "rank" and weights is not None:
        position[inside] = weighted_rank_align(seconds[inside], code[inside], weights[inside])
    elif align == "rank":
        position[inside] = rank_align(seconds[inside], code[inside])
    else:
        position[inside] = range_align(seconds[inside], code[inside] if align == "range" else None)
    return position, seconds


def filled(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means (trajectories, draws, bins, genes) as (draws, trajectories, ...), bins without a cell as the mean of the others."""
    return np.where(np.isnan(means), np.nanmean(means, axis=2, keepdims=True), means).swapaxes(0, 1)


@dataclass(frozen=True)
class Placed:
    """Where every cell lies: its trajectory, and its place in it."""

    code: NDArray[np.int64]  # (cells,), number of the trajectory, without gaps; -1: the cell takes no part
    position: NDArray[np.float64]  # (cells,), on the time axis, in (0, 1); its rank, or what that is aligned to
    groups: list[NDArray[np.int64]]  # cells of every trajectory
    weights: NDArray[np.float64] | None = None  # (cells,), of each in its trajectory; None: all 1
    cell: NDArray[np.int64] | None = None  # (cells,), number of the cell where one is in several trajectories

    @classmethod
    def of(
        cls,
        time: Any,
        lineage: Any = None,
        batch: Any = None,
        leave_out: NDArray[np.bool_] | None = None,
        weights: NDArray[np.float64] | None = None,
        cell: NDArray[np.int64] | None = None,
        position: NDArray[np.float64] | None = None,
    ) -> "Placed":
        """Place the cells of every lineage and batch by the ranks of their times, or where their `position` says."""
        code = group_cells(len(time), lineage, batch).code
        if leave_out is not None:
            code = np.where(leave_out, -1, code)
        present = np.unique(code[code >= 0])
        code = np.where(code >= 0, np.searchsorted(present, code), -1)
        groups = [np.flatnonzero(code == g) for g in range(len(present))]
        if position is None:
            position = positions_in_groups(time, code, "rank", weights)[0]
        return cls(code, np.where(code >= 0, position, 0.0), groups, weights, cell)

    def shuffled(self, rng: np.random.Generator) -> "Placed":
        """Return the same cells with their places permuted within each trajectory."""
        position = self.position.copy()
        for own in self.groups:
            position[own] = self.position[rng.permutation(own)]
        return replace(self, position=position)

    def deal(self, parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the part of every cell, (cells,): neighbours in time go to different parts. -1: the cell takes no part.

        A cell that is in several trajectories is in the same part of all of them.
        """
        cell = np.arange(len(self.code)) if self.cell is None else self.cell
        dealt, part = np.full(int(cell.max(initial=-1)) + 1, -1), np.full(len(self.code), -1)
        for own in self.groups:
            new = own[dealt[cell[own]] < 0]
            order = new[np.argsort(self.position[new], kind="stable")]
            hands = rng.permuted(np.tile(np.arange(parts), (-(-len(new) // parts), 1)), axis=1)
            dealt[cell[order]] = hands.ravel()[: len(new)]
            part[own] = dealt[cell[own]]
        return part

    def effective(self, own: NDArray[np.int64]) -> float:
        """Return the effective number of some cells."""
        return float(len(own)) if self.weights is None else float(effective_cells(self.weights[own]))

    def smoothed(
        self,
        values: Expression,
        n_bins: int,
        bandwidths: Iterable[float],
        draws: NDArray[np.float64],
        least: Callable[[float], float],
    ) -> NDArray[np.float64]:
        """Return kernel means of the cells at the centres of the bins, (trajectories, draws, bins, genes).

        `bandwidths` are in bins, one a trajectory; `draws` (draws, cells) are what cells count; kernels are widened to
        `least` effective cells, a function of all effective cells of a trajectory. NaN where a draw has no cell.
        """
        kernels = [
            fit_kernels(
                self.position[own],
                n_bins=n_bins,
                bandwidth=width,
                min_cells=least(self.effective(own)),
                weights=None if self.weights is None else self.weights[own],
            )
            for own, width in zip(self.groups, bandwidths, strict=True)
        ]
        return binned_means(values, self.code, self.position, kernels, draws)[0]

    def resampled(self, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return weights of a Bayesian bootstrap, (draws, cells): a cell has the same draw in all its trajectories."""
        return resampled_weights(draws, len(self.code), self.weights, self.cell, rng)


def resampled_weights(
    draws: int,
    cells: int,
    weights: NDArray[np.float64] | None,
    cell: NDArray[np.int64] | None,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return exponential weights (draws, cells), times the weights of the cells; see `Placed.resampled`."""
    if cell is None:
        drawn = rng.exponential(size=(draws, cells))
    else:
        drawn = rng.exponential(size=(draws, int(cell.max(initial=-1)) + 1))[:, cell]
    return drawn if weights is None else drawn * weights
