"""Kernel means of the cells along their ranks: what a model of the mean trajectory is evaluated against."""

import numpy as np
from numpy.typing import NDArray

from scdash._data.expression_matrix import Expression
from scdash._data.time_series.placed import Placed

KERNEL_WIDTH = 0.05  # of the ranks of the cells of a trajectory
FEWEST = 3  # effective cells behind every mean; kernels are widened where there are fewer


def kernel_means(values: Expression, placed: Placed, n_bins: int) -> NDArray[np.float64]:
    """Return means of all cells at the centres of the bins, (trajectories, bins, genes), in units of the data.

    `values` (cells, genes) are log expression and read in blocks. The kernel is Gaussian, with a standard deviation of
    `KERNEL_WIDTH` of the ranks.
    """
    plain = np.ones(len(placed.code)) if placed.weights is None else placed.weights
    widths = [KERNEL_WIDTH * n_bins] * len(placed.groups)
    return placed.smoothed(values, n_bins, widths, plain[None], lambda effective: min(FEWEST, effective / 2))[:, 0]
