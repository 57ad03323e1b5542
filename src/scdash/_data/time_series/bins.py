"""Smoothed time bins of cells: Gaussian kernels over positions in [0, 1], applied to X as weight matrices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.errors import check_least
from scdash._data.expression_matrix import Expression

WIDER = 1.25  # factor by which a kernel grows until enough cells stand behind its bin


def bin_grid(n_bins: int) -> NDArray[np.float64]:
    """Return the centres of `n_bins` equal bins of [0, 1]."""
    check_least("n_bins", n_bins, 2)
    return (np.arange(n_bins) + 0.5) / n_bins


def rank_align(time: Any, batch: Any = None) -> NDArray[np.float64]:
    """Return (rank + 1/2) / n of each cell's time within its batch, in (0, 1); ties get their mean rank.

    Pseudotime values are not comparable between batches, their order is.

    >>> rank_align([5.0, 1.0, 1.0, 30.0])
    array([0.625, 0.25 , 0.25 , 0.875])
    """
    column = pd.Series(np.asarray(time, dtype=np.float64))
    group = np.zeros(len(column), dtype=int) if batch is None else pd.factorize(np.asarray(batch))[0]
    ranks = column.groupby(group).rank(method="average")
    sizes = column.groupby(group).transform("size")
    return np.asarray((ranks - 0.5) / sizes, dtype=np.float64)


def weighted_rank_align(
    time: NDArray[np.float64], code: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the fraction of the weight of its group that lies before each cell, half of its own time counted.

    With equal weights this is `rank_align`.

    >>> weighted_rank_align(np.array([5.0, 1.0, 1.0, 30.0]), np.zeros(4, int), np.array([1.0, 0.5, 0.5, 2.0]))
    array([0.375, 0.125, 0.125, 0.75 ])
    """
    table = pd.DataFrame({"code": code, "time": time, "weight": weights})
    same = table.groupby(["code", "time"], sort=True)["weight"].sum()
    before = same.groupby(level="code").cumsum() - same / 2
    fraction = before / same.groupby(level="code").transform("sum")
    return np.asarray(fraction.reindex(pd.MultiIndex.from_frame(table[["code", "time"]])), dtype=np.float64)


def range_align(time: Any, batch: Any = None) -> NDArray[np.float64]:
    """Return time rescaled to [0, 1] within its batch; a batch with one time only sits at 1/2."""
    column = pd.Series(np.asarray(time, dtype=np.float64))
    group = np.zeros(len(column), dtype=int) if batch is None else pd.factorize(np.asarray(batch))[0]
    low = column.groupby(group).transform("min")
    width = column.groupby(group).transform("max") - low
    return np.asarray(((column - low) / width.where(width > 0)).fillna(0.5), dtype=np.float64)


@dataclass(frozen=True)
class Kernels:
    """The kernels of one group of cells: one per bin, of its own width, or the plain intervals (`disjoint`)."""

    centres: NDArray[np.float64]  # (bins,)
    sigma: NDArray[np.float64]  # (bins,), in units of position
    nearest: NDArray[np.float64]  # (bins,), squared distance of the nearest cell, which gets weight 1: no underflow
    disjoint: bool = False
    side: NDArray[np.int8] | None = None  # (bins,), split of each bin: a bin then uses cells of its own split only

    def weights(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight of each cell in each bin, (bins, cells)."""
        own = own_bin(position, len(self.centres))
        if self.disjoint:
            return np.asarray(own[None, :] == np.arange(len(self.centres))[:, None], dtype=np.float64)
        distance2 = (position[None, :] - self.centres[:, None]) ** 2 - self.nearest[:, None]
        if self.side is None:
            return np.asarray(np.exp(-0.5 * distance2 / self.sigma[:, None] ** 2))
        same = self.side[own][None, :] == self.side[:, None]
        return np.where(same, np.exp(-0.5 * np.where(same, distance2, 0) / self.sigma[:, None] ** 2), 0.0)


def own_bin(position: NDArray[np.float64], n_bins: int) -> NDArray[np.int64]:
    """Return the bin in whose interval each cell lies."""
    return np.minimum((position * n_bins).astype(np.int64), n_bins - 1)


def fit_kernels(
    position: NDArray[np.float64],
    *,
    n_bins: int,
    bandwidth: float,
    min_cells: float,
    weights: NDArray[np.float64] | None = None,
    disjoint: bool = False,
    side: NDArray[np.int8] | None = None,
) -> Kernels:
    """Return kernels of `bandwidth` bins, each widened until `min_cells` effective cells stand behind it.

    Effective cells of weights w are (sum w)^2 / sum w^2 (Kish 1965). With `side` (bins,) a bin uses the cells that lie
    in bins of its own side alone, so that a held-out window and its surroundings share no cell.
    """
    centres = bin_grid(n_bins)
    if not (bandwidth > 0 and np.isfinite(bandwidth)):
        raise ValueError(f"bandwidth must be positive (in bins), found {bandwidth}.")
    if position.size and (position.min() < 0 or position.max() > 1):
        raise ValueError(f"position must lie in [0, 1], found {position.min():g} to {position.max():g}.")
    cells = float(len(position)) if weights is None else float(effective_cells(weights))
    if cells < min_cells:
        raise ValueError(
            f"Only {cells:g} cells: fewer than min_cells={min_cells:g} per bin. Lower min_cells or n_bins, or add cells."
        )
    sigma, nearest = np.full(n_bins, bandwidth / n_bins), np.zeros(n_bins)
    if not disjoint:
        own = own_bin(position, n_bins)
        for b, centre in enumerate(centres):  # one bin at a time: (bins, cells) at once is large for a million cells
            mine = np.ones(len(position), bool) if side is None else side[own] == side[b]
            if not mine.any():
                raise ValueError(
                    f"The held-out window around bin {b} of {n_bins} has no cell of its own; use fewer n_bins, or hold "
                    "out whole trajectories."
                )
            w = None if weights is None else weights[mine]
            there = float(mine.sum()) if w is None else float(effective_cells(w))
            # every cell counting alike is reached only in the limit of an infinite kernel
            wanted = min(min_cells, 0.99 * there)
            sigma[b], nearest[b] = _widen((position[mine] - centre) ** 2, sigma[b], wanted, w)
    return Kernels(centres, sigma, nearest, disjoint, side)


def _widen(
    distance2: NDArray[np.float64], sigma: float, wanted: float, weights: NDArray[np.float64] | None
) -> tuple[float, float]:
    nearest = float(distance2.min())
    while True:
        w = np.exp(-0.5 * (distance2 - nearest) / sigma**2)
        if effective_cells(w if weights is None else w * weights) >= wanted:
            return sigma, nearest
        sigma *= WIDER


def effective_cells(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (sum w)^2 / sum w^2 over the last axis; 0 where all weights are 0."""
    squares = (weights**2).sum(-1)
    return np.asarray(np.divide(weights.sum(-1) ** 2, squares, out=np.zeros_like(squares), where=squares > 0))


def binned_means(
    X: Expression,
    group: NDArray[np.int64],
    position: NDArray[np.float64],
    kernels: Sequence[Kernels],
    draws: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means (groups, draws, bins, genes) and effective cells (groups, draws, bins) in one pass over X.

    `group` gives each cell's group (-1: in none) and `draws` (draws, cells) its weights. A bin without weight is NaN.
    """
    if not len(group) == len(position) == draws.shape[1] == X.shape[0]:
        raise ValueError(f"X has {X.shape[0]} cells, position {len(position)}, weights {draws.shape[1]}: not the same.")
    n_bins = len(kernels[0].centres)
    shape = (len(kernels), len(draws), n_bins)
    total, weight, square = np.zeros((*shape, X.shape[1])), np.zeros(shape), np.zeros(shape)
    for part, block in X.blocks():
        for g in np.unique(group[part]):
            if g < 0:
                continue
            rows = np.flatnonzero(group[part] == g)
            cells = rows + part.start
            kernel = kernels[g].weights(position[cells])
            w = draws[:, None, cells] * kernel[None]
            chosen = block if len(rows) == block.shape[0] else block[rows]
            total[g] += _products(w, draws[:, cells], kernel, chosen)
            weight[g] += w.sum(-1)
            square[g] += (w**2).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(weight[..., None] > 0, total / weight[..., None], np.nan)
        cells_behind = np.where(square > 0, weight**2 / square, 0.0)
    return means, cells_behind


def _products(
    w: NDArray[np.float64], draws: NDArray[np.float64], kernel: NDArray[np.float64], block: Any
) -> NDArray[np.float64]:
    """Return the sums (draws, bins, genes) of weights w (draws, bins, cells) = draws (draws, cells) x kernel (bins, cells).

    Draws of a sparse block that share no cell are multiplied at once: the genes of each are rows of their own of one
    matrix, so that a cell is read for its own draw only. The sums are equal to the last bit. A dense product of many rows of
    weights is faster than several of few.
    """
    if not sp.issparse(block) or (draws != 0).all():
        return np.asarray(w.reshape(-1, w.shape[2]) @ block).reshape(*w.shape[:2], -1)
    genes = block.shape[1]
    found = np.empty((*w.shape[:2], genes))
    for apart in _without_shared_cells(draws != 0):
        own = draws[apart]
        rows = np.flatnonzero(own.any(0))
        part, own = (block, own) if len(rows) == len(own[0]) else (block[rows], own[:, rows])
        shift = (own != 0).argmax(0) * genes
        index = part.indices + np.repeat(shift.astype(part.indices.dtype), np.diff(part.indptr))
        stacked = sp.csc_matrix((part.data, index, part.indptr), shape=(len(apart) * genes, len(rows)))
        sums = stacked @ (kernel[:, rows] * own.sum(0)).T
        found[apart] = sums.reshape(len(apart), genes, -1).swapaxes(1, 2)
    return found


def _without_shared_cells(counted: NDArray[np.bool_]) -> list[list[int]]:
    """Return groups of draws of which no two count the same cell; `counted`: (draws, cells)."""
    groups: list[tuple[list[int], NDArray[np.bool_]]] = []
    for draw, cells in enumerate(counted):
        for members, taken in groups:
            if not (taken & cells).any():
                members.append(draw)
                taken |= cells
                break
        else:
            groups.append(([draw], cells.copy()))
    return [members for members, _ in groups]
