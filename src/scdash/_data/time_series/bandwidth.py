r"""The width of the kernels that smooth the cells of a trajectory, chosen by how well one half predicts the other.

Wide kernels flatten the trajectory, narrow ones keep the noise of few cells. For every width h the smoothed means of one
half of the cells are compared with the plain means of the bins of the other half,

.. math:: \sum_b \lVert \hat x^A_h(b) - \bar x^B(b) \rVert^2,

in the units of the data. The noise of the other half is the same for every width, so that the smallest error shows the
width whose means are nearest to the true ones. That width is the best one for half of the cells. The best width of a kernel
mean falls with the number of cells n as :math:`n^{-1/5}` (Wand and Jones, Kernel Smoothing, 1995, chapter 5), so that the
means of all cells have a kernel that is narrower by the factor :math:`2^{-1/5}`. Where a lineage has several batches the width
for half of the cells is kept: a model of all of them is to predict another batch, and the noise of one of them harms it more
than a flattened curve (measured on left-out batches of B cells, whose error rises from 0.44 to 0.46 with narrower kernels).
A kernel is never narrower than 0.75 bins: states that lie a bin apart cannot show faster changes, and a model that is trained
on them cannot follow these.

Cells are summed in fine intervals once, and all widths work on these sums.
"""

import numpy as np
from numpy.typing import NDArray

from scdash._data.expression_matrix import Expression
from scdash._data.interval_means import interval_sums, kernel_means_of_intervals
from scdash._data.time_series.bins import bin_grid
from scdash._data.time_series.placed import Placed

NARROWEST = 0.75  # bins
BANDWIDTHS = (NARROWEST, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)  # standard deviation of the kernel, in bins
ALL_CELLS = 2 ** (-1 / 5)  # the best width for all cells, over the best one for half of them
FINE = 5  # intervals of cells per bin
DRAWS = 2  # ways to deal the cells to halves


def choose_bandwidths(
    values: Expression,  # log expression, (cells, genes); read in blocks, once for each way to deal the cells
    placed: Placed,  # the trajectory of every cell and its place
    *,
    n_bins: int,  # bins per trajectory
    rng: np.random.Generator,  # deals the cells to halves
    alone: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the width of the kernel of every trajectory, in bins, (trajectories,).

    `alone`: whether a trajectory is the only one of its lineage, (trajectories,); None: all are.
    """
    errors, fine = np.zeros((len(placed.groups), len(BANDWIDTHS))), bin_grid(FINE * n_bins)
    for _ in range(DRAWS):
        sums, cells = interval_sums(values, placed, FINE * n_bins, placed.deal(2, rng), 2)
        for trajectory in range(len(errors)):
            for own, other in ((0, 1), (1, 0)):
                held_out, known = _plain_means(sums[trajectory, other], cells[trajectory, other], n_bins)
                for k, width in enumerate(BANDWIDTHS):
                    means = kernel_means_of_intervals(
                        sums[trajectory, own], cells[trajectory, own], fine, bin_grid(n_bins), width / n_bins
                    )
                    errors[trajectory, k] += ((means - held_out)[known] ** 2).sum()
    chosen = np.array([BANDWIDTHS[best] for best in errors.argmin(axis=1)], dtype=np.float64)
    narrow = np.maximum(ALL_CELLS * chosen, NARROWEST)
    return narrow if alone is None else np.where(alone, narrow, chosen)


def _plain_means(
    sums: NDArray[np.float64], cells: NDArray[np.float64], n_bins: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return means of the cells of every bin, (bins, genes), and which bins have a cell."""
    total, number = sums.reshape(n_bins, FINE, -1).sum(1), cells.reshape(n_bins, FINE).sum(1)
    return total / np.where(number > 0, number, 1)[:, None], number > 0
