"""Kernel means of the cells along their ranks: what a model of the mean trajectory is judged against."""

import numpy as np
from numpy.typing import NDArray

from scdash._data.expression_matrix import Expression
from scdash._data.time_series.bins import binned_means, effective_cells, fit_kernels

KERNEL_WIDTH = 0.05  # of the ranks of the cells of a trajectory
FEWEST = 3  # effective cells behind every mean; kernels are widened where there are fewer


def kernel_means(
    values: Expression,
    position: NDArray[np.float64],
    group: NDArray[np.int64],
    n_bins: int,
    *,
    width: float = KERNEL_WIDTH,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return means of all cells at the centres of the bins, (trajectories, bins, genes), in units of the data.

    Parameters
    ----------
    values
        Log expression, (cells, genes); read in blocks.
    position
        Place of every cell in its trajectory, in [0, 1].
    group
        Number of the trajectory of every cell, -1 for cells that take no part.
    n_bins
        Number of bins.
    width
        Standard deviation of the Gaussian kernel, as a fraction of the ranks.
    weights
        Of the cells in their trajectories, (cells,); None: all 1.
    """
    present = np.unique(group[group >= 0])
    code = np.where(group >= 0, np.searchsorted(present, group), -1)
    plain = np.ones(len(position)) if weights is None else weights
    kernels = [
        fit_kernels(
            position[own],
            n_bins=n_bins,
            bandwidth=width * n_bins,
            min_cells=min(FEWEST, float(effective_cells(plain[own])) / 2),
            weights=None if weights is None else weights[own],
        )
        for own in (np.flatnonzero(code == g) for g in range(len(present)))
    ]
    means, _ = binned_means(values, code, np.where(code >= 0, position, 0), kernels, plain[None])
    return means[:, 0]
