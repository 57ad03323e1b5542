r"""The ranking of edges of cells: what earlier cells say of later ones, and what cells of one time say of each other.

Two path scores, both shares of penalties and of resamples at which an edge is selected: of the lagged regression
(`lagged_scores`: only means over time enter, so it has a direction, but all that follows one trajectory looks alike) and of
the regression within places of time (`within_scores`: only deviations from those means enter, so common trajectories do not
count, but a link has no direction). They share no information, and err differently: the score is their mean. The lagged score
counts as much as the lagged regression explains of cells that it has not seen: where earlier cells say nothing of later
ones, they rank no edges. Without a prior the absolute correlation of both genes over all cells counts like the score within.
"""

from dataclasses import dataclass

import scipy.sparse as sp

from scdash._core.types import Index
from scdash._data import CellHalves
from scdash.networks.edges_within_places import within_scores
from scdash.networks.lagged_edges import lagged_scores


@dataclass(frozen=True)
class CellScores:
    """Scores of edges (target, regulator), in [0, 1], and the held-out share of variance that earlier cells explain."""

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
