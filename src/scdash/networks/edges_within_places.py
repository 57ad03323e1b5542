r"""Edges from cells of one place in time: genes that deviate together from what is expected there.

The deviation of a cell's gene from the mean of its place, :math:`\epsilon_i = x_i - E[x_i \mid t]`, is regressed on the
deviations of all other genes. Noise that has entered a regulator has reached its targets, and direct links leave
correlations that others do not explain; but a link has no direction, and technical noise has links of its own.
"""

from itertools import combinations

import numpy as np
import scipy.sparse as sp

from scdash._core.types import Floats
from scdash._data import WithinMoments
from scdash.networks.lagged_edges import LAMBDAS, MAX_ACTIVE, edge_frequency
from scdash.regression.l1_paths import l1_path

FLAT = 1e-16  # sum of squares below which a gene does not vary
ENTRIES_AT_ONCE = 10_000_000  # bound on the dense coefficients in memory together


def within_scores(moments: WithinMoments) -> sp.csr_matrix:
    """Return how often each edge (target, regulator) is selected over penalties and all pairs of parts, in [0, 1]."""
    sources, genes = moments.sources, moments.squares.shape[1]
    pairs = [list(pair) for pair in combinations(range(len(moments.squares)), 2)] or [[0]]
    used = np.zeros((len(sources), genes))
    for pair in pairs:
        cross, squares = moments.cross[pair].sum(axis=0), moments.squares[pair].sum(axis=0)
        used += _selected(cross, squares, moments)
    return edge_frequency(used / len(pairs), sources)


def _selected(cross: Floats, squares: Floats, moments: WithinMoments) -> Floats:
    """Return the share of penalties that select each edge, (sources, genes)."""
    sources, genes = moments.sources, len(squares)
    spread = np.sqrt(np.maximum(squares, 1e-300))
    correlation = cross / spread[sources][:, None] / spread
    allowed = (squares > FLAT)[sources][:, None] & (squares > FLAT)
    allowed[np.arange(len(sources)), sources] = False
    correlation[:, squares <= FLAT] = 0
    correlation[(squares <= FLAT)[sources]] = 0
    size = max(1, ENTRIES_AT_ONCE // (len(LAMBDAS) * max(1, len(sources))))
    share = np.zeros((len(sources), genes))
    for first in range(0, genes, size):
        part = slice(first, first + size)
        path = l1_path(
            correlation[:, sources],
            correlation[:, part],
            LAMBDAS,
            allowed=allowed[:, part],
            max_active=MAX_ACTIVE,
        )
        share[:, part] = (path != 0).mean(axis=0)
    return share
