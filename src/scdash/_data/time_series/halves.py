"""Bin means of disjoint halves of the cells, whose link over time is not the noise of shared cells; and what is left."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.random_streams import RNG, as_generator
from scdash._data.expression_matrix import Expression
from scdash._data.time_series.bins import own_bin
from scdash._data.time_series.placed import Placed, filled
from scdash._data.time_series.within_places import MOST_CELLS, WithinMoments, within_moments

BANDWIDTH = 1.0  # kernel width, in bins
MIN_CELLS = 10  # effective cells of a bin, of all quarters together


@dataclass(frozen=True)
class CellHalves:
    """Smoothed bins of four disjoint quarters of the cells of every trajectory, for several random ways to deal them.

    `within`: how cells of the same bin differ from its mean, for the quarters of the first way to deal them.
    """

    quarters: NDArray[np.float64]  # (4, draws, trajectories, bins, genes)
    within: WithinMoments

    @property
    def halves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The first two quarters together, and the last two, (draws, trajectories, bins, genes) each."""
        q = self.quarters
        return (q[0] + q[1]) / 2, (q[2] + q[3]) / 2


def halve_cells(
    values: Expression,  # log expression, (cells, genes); read in blocks, twice
    placed: Placed,  # the trajectory of every cell and its place
    *,
    n_bins: int = 20,  # bins of a trajectory
    n_draws: int = 8,  # ways to deal the cells
    shuffled: bool = False,
    sources: NDArray[np.integer[Any]] | None = None,  # genes that may regulate, for `within`; None: all
    rng: RNG = 0,  # seed or Generator
) -> CellHalves:
    """Return bins of disjoint parts of each trajectory's cells.

    Neighbours in time go to different quarters, so that each covers every bin.

    `shuffled`: permute the cells' times within each trajectory first: everything but the order in time is kept.
    """
    generator = as_generator(rng)
    if shuffled:
        placed = placed.shuffled(generator)
    side = np.stack([placed.deal(4, generator) for _ in range(n_draws)])
    dealt = np.concatenate([side == part for part in range(4)]).astype(np.float64)  # (4 draws, cells)
    dealt = dealt if placed.weights is None else dealt * placed.weights
    widths = [BANDWIDTH] * len(placed.groups)
    means = filled(placed.smoothed(values, n_bins, widths, dealt, lambda effective: min(MIN_CELLS, effective / 2)))
    place = np.where(placed.code >= 0, placed.code * n_bins + own_bin(placed.position, n_bins), -1)
    within = within_moments(values, place, _some(side[0], generator), sources=sources, weights=placed.weights)
    return CellHalves(means.reshape(4, n_draws, *means.shape[1:]), within)


def _some(side: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the quarters of as many cells as second moments need, -1 for the others."""
    inside = np.flatnonzero(side >= 0)
    if len(inside) <= MOST_CELLS:
        return side
    found = np.full_like(side, -1)
    kept = rng.choice(inside, MOST_CELLS, replace=False)
    found[kept] = side[kept]
    return found
