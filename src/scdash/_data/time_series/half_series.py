"""Smoothed trajectories of one half of the cells, to learn from, and of the other half, to judge by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scdash._core.random_streams import RNG, as_generator
from scdash._data.expression_matrix import Expression
from scdash._data.time_series.bandwidth import choose_bandwidths
from scdash._data.time_series.bins import bin_grid
from scdash._data.time_series.placed import Placed, filled

N_DRAWS = 2  # ways to deal the cells to halves; each gives two results
VALIDATION_BANDWIDTH = 1.0  # kernel width, in bins, of the half to measure errors on
MIN_CELLS = 5  # effective cells of a bin


@dataclass(frozen=True)
class HalfOfCells:
    """Bins of one half of the cells of every trajectory, in units of the data."""

    states: NDArray[np.float64]  # (1 + re-drawings, trajectories, bins, genes)
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

    Neighbours in time go to different halves. The half to learn from is smoothed and re-drawn as `cells_to_series` does
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
    drawn = np.concatenate([plain[None], placed.redrawn(n_bootstrap, generator)])
    learned = means(widths, (drawn[:, None] * parts).reshape(-1, parts.shape[1]))
    learned = learned.reshape(1 + n_bootstrap, len(parts), *learned.shape[1:])
    judged = means(np.full(len(widths), VALIDATION_BANDWIDTH), np.roll(parts, N_DRAWS, axis=0) * plain)
    times = horizon * bin_grid(n_bins)
    held = np.roll(parts, N_DRAWS, axis=0) > 0
    return [HalfOfCells(learned[:, k], judged[k], times, held[k]) for k in range(len(parts))]
