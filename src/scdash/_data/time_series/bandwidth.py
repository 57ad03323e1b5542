r"""The width of the kernels that smooth the cells of a trajectory, chosen by how well one half predicts the other.

Wide kernels flatten the trajectory, narrow ones keep the noise of few cells. For every width h the smoothed means of one
half of the cells are compared with the plain means of the bins of the other half,

.. math:: \sum_b \lVert \hat x^A_h(b) - \bar x^B(b) \rVert^2,

in the units of the data. The noise of the other half is the same for every width, so that the smallest error shows the
width whose means are nearest to the true ones. Cells are summed in fine intervals once, and all widths work on these sums.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data.expression_matrix import Expression
from scdash._data.time_series.bins import bin_grid, own_bin
from scdash._data.time_series.placed import Placed

BANDWIDTHS = (0.75, 1.0, 1.5, 2.0, 3.0)  # standard deviation of the kernel, in bins
FINE = 5  # intervals of cells per bin
DRAWS = 2  # ways to deal the cells to halves


def choose_bandwidths(
    values: Expression,
    placed: Placed,
    *,
    n_bins: int,
    candidates: Sequence[float] = BANDWIDTHS,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the width of the kernel of every trajectory, in bins, (trajectories,).

    Parameters
    ----------
    values
        Log expression, (cells, genes); read in blocks, once for each way to deal the cells.
    placed
        The trajectory of every cell and its place.
    n_bins
        Bins per trajectory.
    candidates
        Widths to choose among.
    rng
        Deals the cells to halves.
    """
    errors = np.zeros((len(placed.groups), len(candidates)))
    for _ in range(DRAWS):
        sums, cells = _fine_sums(values, placed, placed.deal(2, rng), FINE * n_bins)
        for trajectory in range(len(errors)):
            for own, other in ((0, 1), (1, 0)):
                held_out, known = _plain_means(sums[trajectory, other], cells[trajectory, other], n_bins)
                for k, width in enumerate(candidates):
                    means = _smooth(sums[trajectory, own], cells[trajectory, own], n_bins, width)
                    errors[trajectory, k] += ((means - held_out)[known] ** 2).sum()
    return np.array([candidates[best] for best in errors.argmin(axis=1)], dtype=np.float64)


def _fine_sums(
    values: Expression, placed: Placed, half: NDArray[np.int64], fine: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums (trajectories, halves, intervals, genes) and weights of cells in fine intervals of each half."""
    shape = (len(placed.groups), 2, fine)
    row = (placed.code * 2 + half) * fine + own_bin(placed.position, fine)
    total = np.zeros((int(np.prod(shape)), values.shape[1]))
    for part, block in values.blocks():
        inside = np.flatnonzero(placed.code[part] >= 0)
        rows = row[part][inside]
        weights = np.ones(len(rows)) if placed.weights is None else placed.weights[part][inside]
        indicator = sp.csr_array((weights, (rows, inside)), shape=(len(total), block.shape[0]))
        added = indicator @ block
        total += added.toarray() if sp.issparse(added) else np.asarray(added)
    within = placed.code >= 0
    known = None if placed.weights is None else placed.weights[within]
    cells = np.bincount(row[within], weights=known, minlength=len(total)).astype(np.float64)
    return total.reshape(*shape, -1), cells.reshape(shape)


def _smooth(
    sums: NDArray[np.float64], cells: NDArray[np.float64], n_bins: int, bandwidth: float
) -> NDArray[np.float64]:
    """Return kernel means at the centres of the bins, (bins, genes), from sums in fine intervals."""
    distance = (bin_grid(n_bins)[:, None] - bin_grid(len(cells))[None]) * n_bins / bandwidth
    nearest = np.where(cells > 0, distance**2, np.inf).min(axis=1, keepdims=True)  # no underflow far from any cell
    kernel = np.exp(-0.5 * np.maximum(distance**2 - nearest, 0))
    return np.asarray((kernel @ sums) / (kernel @ cells)[:, None])


def _plain_means(
    sums: NDArray[np.float64], cells: NDArray[np.float64], n_bins: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return means of the cells of every bin, (bins, genes), and which bins have a cell."""
    total, number = sums.reshape(n_bins, FINE, -1).sum(1), cells.reshape(n_bins, FINE).sum(1)
    return total / np.where(number > 0, number, 1)[:, None], number > 0
