"""Bin means of two disjoint halves of the cells: what links them over time is not the noise of shared cells."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._data._bins import binned_means, fit_kernels
from scdash._data._cells import _groups, _positions
from scdash._data._expression import Expression
from scdash._random import RNG, as_generator


@dataclass(frozen=True)
class CellHalves:
    """Smoothed bins of four disjoint quarters of the cells of every trajectory, for several random ways to deal them."""

    quarters: NDArray[np.float64]  # (4, draws, trajectories, bins, genes)

    @property
    def halves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The first two quarters together, and the last two, (draws, trajectories, bins, genes) each."""
        q = self.quarters
        return (q[0] + q[1]) / 2, (q[2] + q[3]) / 2


def halve_cells(
    values: Expression,
    time: Any,
    *,
    lineage: Any = None,
    batch: Any = None,
    n_bins: int = 20,
    bandwidth: float = 1.0,
    min_cells: float = 10,
    n_draws: int = 8,
    shuffled: bool = False,
    leave_out: NDArray[np.bool_] | None = None,
    rng: RNG = 0,
) -> CellHalves:
    """Return bins of disjoint parts of each trajectory's cells.

    Neighbours in time go to different quarters, so that each covers every bin.

    Parameters
    ----------
    values
        Log expression, (cells, genes); read in blocks, once.
    time, lineage, batch
        As for `cells_to_series`.
    n_bins, bandwidth, min_cells
        Kernels, as for `cells_to_series`; `min_cells` of all together.
    n_draws
        Ways to deal the cells.
    shuffled
        Permute the cells' times within each trajectory first: everything but the order in time is kept.
    leave_out
        Cells that take no part, whole trajectories.
    rng
        Seed or Generator.
    """
    generator = as_generator(rng)
    code = _groups(values.shape[0], lineage, batch).code
    if leave_out is not None:
        code = np.where(leave_out, -1, code)
    present = np.unique(code[code >= 0])
    code = np.where(code >= 0, np.searchsorted(present, code), -1)
    position = _positions(time, code, "rank")[0]
    side = np.full((n_draws, values.shape[0]), -1)
    kernels = []
    for g in range(len(present)):
        own = np.flatnonzero(code == g)
        if shuffled:
            position[own] = position[generator.permutation(own)]
        order = own[np.argsort(position[own], kind="stable")]
        for draw in side:
            hands = generator.permuted(np.tile(np.arange(4), (-(-len(own) // 4), 1)), axis=1)
            draw[order] = hands.ravel()[: len(own)]
        kernels.append(
            fit_kernels(position[own], n_bins=n_bins, bandwidth=bandwidth, min_cells=min(min_cells, len(own) / 2))
        )
    dealt = np.concatenate([side == part for part in range(4)]).astype(np.float64)  # (4 draws, cells)
    means, _ = binned_means(values, code, position, kernels, dealt)
    filled = np.where(np.isnan(means), np.nanmean(means, axis=2, keepdims=True), means).swapaxes(0, 1)
    return CellHalves(filled.reshape(4, n_draws, *filled.shape[1:]))
