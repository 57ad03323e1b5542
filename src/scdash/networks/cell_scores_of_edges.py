r"""The ranking of edges of cells: what earlier cells say of later ones, and what cells of one time say of each other.

Two path scores, both shares of penalties and of resamples at which an edge is selected: of the lagged regression
(`lagged_scores`: only means over time enter, so it has a direction, but all that follows one trajectory looks alike) and of
the regression within places of time (`within_scores`: only deviations from those means enter, so common trajectories do not
count, but a link has no direction). They share no information, and err differently: the score is their mean. The lagged score
counts as much as the lagged regression explains of cells that it has not seen: where earlier cells say nothing of later
ones, they rank no edges. Without a prior the absolute correlation of both genes over all cells counts like the score within.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.sparse as sp

from scdash._core.types import Floats, Index
from scdash._data import CellHalves, WithinMoments
from scdash.networks.lagged_edges import LAMBDAS, MAX_ACTIVE, edge_frequency, lagged_scores
from scdash.regression.l1_paths import l1_path

FLAT = 1e-16  # sum of squares below which a gene does not vary
ENTRIES_AT_ONCE = 10_000_000  # bound on the dense coefficients in memory together


def within_scores(moments: WithinMoments) -> sp.csr_matrix:
    r"""Return how often each edge (target, regulator) is selected over penalties and all pairs of parts, in [0, 1].

    Genes that deviate together from what is expected at one place in time: the deviation of a cell's gene from the mean
    of its place, :math:`\epsilon_i = x_i - E[x_i \mid t]`, is regressed on the deviations of all other genes. Noise that has
    entered a regulator has reached its targets, and direct links leave correlations that others do not explain; but a link
    has no direction, and technical noise has links of its own.
    """
    sources, genes = moments.sources, moments.squares.shape[1]
    pairs = [list(pair) for pair in combinations(range(len(moments.squares)), 2)] or [[0]]
    used = np.zeros((len(sources), genes))
    for pair in pairs:
        cross, squares = moments.cross[pair].sum(axis=0), moments.squares[pair].sum(axis=0)
        used += _selected(cross, squares, moments)
    return edge_frequency(used / len(pairs), sources)


def _selected(cross: Floats, squares: Floats, moments: WithinMoments) -> Floats:
    """Return the fraction of penalties that select each edge, (sources, genes)."""
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


@dataclass(frozen=True)
class CellScores:
    """Scores of edges (target, regulator), in [0, 1], and the held-out fraction of variance that earlier cells explain."""

    lagged: sp.csr_matrix
    within: sp.csr_matrix
    explained: float  # by the lagged regression, see `LaggedScores`

    @property
    def lagged_weight(self) -> float:
        """How much the score over time counts beside the score within time, in [0, 1]."""
        return min(max(self.explained, 0.0), 1.0)

    @property
    def frequency(self) -> sp.csr_matrix:
        """The ranking: weighted mean of the two path scores."""
        return sp.csr_matrix((self.lagged_weight * self.lagged + self.within) / (1 + self.lagged_weight))

    @property
    def association_weight(self) -> float:
        """Weight of the correlation over all cells beside `frequency`: it counts like the score within time."""
        return 1 / (2 + self.lagged_weight)


def cell_scores(halves: CellHalves, regulators: Index | None = None) -> CellScores:
    """Return the scores of all edges; with times shuffled in `halves`, the same scores of the control."""
    over_time = lagged_scores(halves, regulators)
    return CellScores(over_time.frequency, within_scores(halves.within), over_time.explained)
