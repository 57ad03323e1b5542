"""Kernel means of one group of cells, which the tests of bins and of cells have in common."""

import numpy as np

from scdash._data import as_expression
from scdash._data.time_series.bins import binned_means, fit_kernels


def kernel_bins(X, position, *, n_bins=20, bandwidth=2.0, min_cells=5, weights=None, disjoint=False):
    """Return the means of one group of cells, (bins, genes), and the effective number of cells behind each."""
    kernels = fit_kernels(
        position, n_bins=n_bins, bandwidth=bandwidth, min_cells=min_cells, weights=weights, disjoint=disjoint
    )
    draws = np.ones((1, len(position))) if weights is None else weights[None]
    means, cells = binned_means(as_expression(X), np.zeros(len(position), np.int64), position, [kernels], draws)
    return means[0, 0], cells[0, 0]
