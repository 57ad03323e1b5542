"""Bin means of disjoint halves of the cells, whose link over time is not the noise of shared cells; and what is left."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.random_streams import RNG, as_generator
from scdash._data.expression_matrix import Expression
from scdash._data.time_series.bandwidth import choose_bandwidths
from scdash._data.time_series.bins import bin_grid, own_bin
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


N_DRAWS = 2  # ways to deal the cells to halves; each gives two results
VALIDATION_BANDWIDTH = 1.0  # kernel width, in bins, of the half to measure errors on
MIN_CELLS = 5  # effective cells of a bin


@dataclass(frozen=True)
class HalfOfCells:
    """Bins of one half of the cells of every trajectory, in units of the data."""

    states: NDArray[np.float64]  # (1 + bootstraps, trajectories, bins, genes)
    others: NDArray[np.float64]  # (trajectories, bins, genes), of the cells of the other half
    times: NDArray[np.float64]  # (bins,)
    held: NDArray[np.bool_] | None = None  # (rows,), cells of the other half


def halves_to_learn_from(
    values: Expression,  # log expression, (cells, genes)
    placed: Placed,  # the trajectory of every cell and its place
    *,
    n_bins: int = 20,
    horizon: float = 10.0,
    n_bootstrap: int = 8,
    rng: RNG = 0,  # seed or Generator
) -> list[HalfOfCells]:
    """Return each half of the cells with its counterpart, for several ways to deal the cells to halves.

    Neighbours in time go to different halves. The half to learn from is smoothed and resampled as `cells_to_series` does
    with all cells, with a kernel width chosen for every trajectory; the half to measure errors on is smoothed less, since
    what errors are measured on need not be smooth.

    `n_bins`, `horizon`, `n_bootstrap`: as for `cells_to_series`.
    """
    generator = as_generator(rng)
    widths = choose_bandwidths(values, placed, n_bins=n_bins, rng=generator)

    def means(bandwidths: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.float64]:
        return filled(placed.smoothed(values, n_bins, bandwidths, draws, lambda cells: 2 * min(MIN_CELLS, cells / 4)))

    sides = np.stack([placed.deal(2, generator) for _ in range(N_DRAWS)])
    parts = np.concatenate([sides == 0, sides == 1]).astype(np.float64)  # (2 * N_DRAWS, cells)
    plain = np.ones(parts.shape[1]) if placed.weights is None else placed.weights
    drawn = np.concatenate([plain[None], placed.resampled(n_bootstrap, generator)])
    learned = means(widths, (drawn[:, None] * parts).reshape(-1, parts.shape[1]))
    learned = learned.reshape(1 + n_bootstrap, len(parts), *learned.shape[1:])
    held_out = means(np.full(len(widths), VALIDATION_BANDWIDTH), np.roll(parts, N_DRAWS, axis=0) * plain)
    times = horizon * bin_grid(n_bins)
    held = np.roll(parts, N_DRAWS, axis=0) > 0
    return [HalfOfCells(learned[:, k], held_out[k], times, held[k]) for k in range(len(parts))]
