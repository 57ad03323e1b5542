"""Smoothed trajectories of one half of the cells, to learn from, and of the other half, to judge by."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._data._bins import bin_grid, binned_means, fit_kernels
from scdash._data._cells import positions_in_groups
from scdash._data._expression import Expression
from scdash._data._groups import group_cells
from scdash._random import RNG, as_generator


@dataclass(frozen=True)
class HalfOfCells:
    """Bins of one half of the cells of every trajectory, in units of the data."""

    states: NDArray[np.float64]  # (1 + re-drawings, trajectories, bins, genes)
    others: NDArray[np.float64]  # (trajectories, bins, genes), of the cells of the other half
    times: NDArray[np.float64]  # (bins,)


def halves_to_learn_from(
    values: Expression,
    time: Any,
    *,
    lineage: Any = None,
    batch: Any = None,
    n_bins: int = 20,
    bandwidth: float = 2.0,
    judging_bandwidth: float = 1.0,
    min_cells: float = 5,
    horizon: float = 10.0,
    n_draws: int = 2,
    n_bootstrap: int = 8,
    leave_out: NDArray[np.bool_] | None = None,
    rng: RNG = 0,
) -> list[HalfOfCells]:
    """Return each half of the cells with its counterpart, for several ways to deal the cells to halves.

    Neighbours in time go to different halves. The half to learn from is smoothed and re-drawn as `cells_to_series` does
    with all cells; the half to judge by is smoothed less, since a judge need not be smooth.

    Parameters
    ----------
    values
        Log expression, (cells, genes).
    time, lineage, batch, n_bins, bandwidth, min_cells, horizon, n_bootstrap
        As for `cells_to_series`.
    judging_bandwidth
        Kernel width, in bins, of the half to judge by.
    n_draws
        Ways to deal the cells; each gives two results.
    leave_out
        Cells that take no part.
    rng
        Seed or Generator.
    """
    generator = as_generator(rng)
    code = group_cells(values.shape[0], lineage, batch).code
    if leave_out is not None:
        code = np.where(leave_out, -1, code)
    present = np.unique(code[code >= 0])
    code = np.where(code >= 0, np.searchsorted(present, code), -1)
    position = positions_in_groups(time, code, "rank")[0]
    groups = [np.flatnonzero(code == g) for g in range(len(present))]

    def means(width: float, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        least = [min(min_cells, len(own) / 4) for own in groups]
        kernels = [
            fit_kernels(position[own], n_bins=n_bins, bandwidth=width, min_cells=2 * few)
            for own, few in zip(groups, least, strict=True)
        ]
        found, _ = binned_means(values, code, position, kernels, draws)
        return np.where(np.isnan(found), np.nanmean(found, axis=2, keepdims=True), found).swapaxes(0, 1)

    sides = np.stack([_deal(position, groups, generator) for _ in range(n_draws)])
    parts = np.concatenate([sides == 0, sides == 1]).astype(np.float64)  # (2 draws, cells)
    weights = np.ones((1 + n_bootstrap, 1, parts.shape[1]))
    weights[1:] = generator.exponential(size=(n_bootstrap, 1, parts.shape[1]))
    learned = means(bandwidth, (weights * parts).reshape(-1, parts.shape[1]))
    learned = learned.reshape(1 + n_bootstrap, len(parts), *learned.shape[1:])
    judged = means(judging_bandwidth, np.roll(parts, n_draws, axis=0))
    times = horizon * bin_grid(n_bins)
    return [HalfOfCells(learned[:, k], judged[k], times) for k in range(len(parts))]


def _deal(
    position: NDArray[np.float64], groups: list[NDArray[np.int64]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the half of every cell, 0 or 1: of two neighbours in time one each."""
    side = np.full(len(position), -1)
    for own in groups:
        order = own[np.argsort(position[own], kind="stable")]
        hands = rng.permuted(np.tile(np.arange(2), (-(-len(own) // 2), 1)), axis=1)
        side[order] = hands.ravel()[: len(own)]
    return side
