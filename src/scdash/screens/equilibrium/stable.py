"""Networks that are at rest where the control is: the linearised response must not feed on itself."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigs

from scdash.screens.statistics import Floats

LARGEST_RADIUS = 0.95  # of the linearised response at the control state
MOST_DENSE = 200  # genes of a loop up to which all eigenvalues are computed
STEEPEST = 0.25  # slope of sigmoid at the control, times alpha


def response(weights: Floats, slope: float | None) -> Floats:
    """Return d next(y) / d y at the control (regulator, target) of y = constant + weights' f(y)."""
    return weights * (1.0 if slope is None else STEEPEST * slope)


def spectral_radius(weights: Floats, slope: float | None) -> float:
    """Return the largest absolute eigenvalue of the linearised response; below 1 the control state is stable."""
    found = [_radius(response(weights, slope)[np.ix_(genes, genes)]) for genes in loops(weights)]
    return max(found, default=0.0)


def loops(weights: Floats) -> list[NDArray[np.int64]]:
    """Return the groups of genes that act on themselves through one another; only these can be unstable."""
    number, group = connected_components(sp.csr_matrix(weights != 0), directed=True, connection="strong")
    sizes = np.bincount(group, minlength=number)
    return [np.flatnonzero(group == k) for k in np.flatnonzero(sizes > 1)]


def stabilised(weights: Floats, slope: float | None) -> Floats:
    """Return the weights with the edges of unstable loops made weaker, by one factor each, to `LARGEST_RADIUS`.

    Edges that lie on no loop cannot make a network unstable and stay as they are.
    """
    weaker: Floats = weights.copy()
    for genes in loops(weights):
        inner = np.ix_(genes, genes)
        radius = _radius(response(weights, slope)[inner])
        if radius > LARGEST_RADIUS:
            weaker[inner] *= LARGEST_RADIUS / radius
    return weaker


def _radius(matrix: Floats) -> float:
    if len(matrix) <= MOST_DENSE:
        return float(np.abs(np.linalg.eigvals(matrix)).max())
    start = np.ones(len(matrix))  # the same result in every run
    return float(np.abs(eigs(sp.csr_matrix(matrix), k=1, v0=start, return_eigenvectors=False)).max())
