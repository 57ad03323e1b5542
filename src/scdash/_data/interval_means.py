"""Sums of cells in fine intervals of their trajectory, and kernel means that are made of these sums."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data.expression_matrix import Expression
from scdash._data.time_series.bins import own_bin
from scdash._data.time_series.placed import Placed


def interval_sums(
    values: Expression, placed: Placed, intervals: int, part: NDArray[np.int64] | None = None, parts: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums (trajectories, parts, intervals, genes) and weights (trajectories, parts, intervals) of cells.

    `values`: log expression, (cells, genes); read in blocks, once. `placed`: the trajectory of every cell and its
    place. `intervals`: equal intervals of [0, 1]. `part`, `parts`: the part of every cell, (cells,), and their number;
    None: all cells are in one part.
    """
    shape = (len(placed.groups), parts, intervals)
    own = np.zeros_like(placed.code) if part is None else part
    row = (placed.code * parts + own) * intervals + own_bin(placed.position, intervals)
    total = np.zeros((int(np.prod(shape)), values.shape[1]))
    for block_part, block in values.blocks():
        inside = np.flatnonzero(placed.code[block_part] >= 0)
        rows = row[block_part][inside]
        weights = np.ones(len(rows)) if placed.weights is None else placed.weights[block_part][inside]
        indicator = sp.csr_array((weights, (rows, inside)), shape=(len(total), block.shape[0]))
        added = indicator @ block
        total += added.toarray() if sp.issparse(added) else np.asarray(added)
    within = placed.code >= 0
    known = None if placed.weights is None else placed.weights[within]
    cells = np.bincount(row[within], weights=known, minlength=len(total)).astype(np.float64)
    return total.reshape(*shape, -1), cells.reshape(shape)


def kernel_means_of_intervals(
    sums: NDArray[Any], cells: NDArray[Any], places: NDArray[Any], centres: NDArray[Any], width: float
) -> NDArray[np.float64]:
    """Return Gaussian kernel means at some places, (centres, genes), from sums of cells in intervals.

    `sums`, `cells`: sums (intervals, genes) and weights (intervals,) of the cells. `places`: where every interval
    lies, (intervals,). `centres`: where means are wanted, (centres,). `width`: standard deviation of the kernel, in
    the unit of the places.
    """
    distance = (centres[:, None] - places[None]) / width
    nearest = np.where(cells > 0, distance**2, np.inf).min(axis=1, keepdims=True)  # no underflow far from any cell
    kernel = np.exp(-0.5 * np.maximum(distance**2 - nearest, 0))
    return np.asarray((kernel @ sums) / (kernel @ cells)[:, None])
