r"""Genes that a regulator is believed to have in common: whether a gene follows the regulator's other targets.

The activity of a regulator is often not seen in its own mRNA, but targets of one regulator change together. For a regulator
with the targets :math:`T` of the prior and a gene :math:`i`,

.. math:: z_i = \sqrt{\frac{|T|\,(n - |T|)}{n}}\;\frac{\mathrm{mean}_{k \in T} c_{ik} - \mathrm{mean}_{k \notin T} c_{ik}}{\mathrm{sd}_k\, c_{ik}},

with :math:`c` the correlation of genes over all states (each trajectory centred) and :math:`k \ne i`: a gene's own entry in the
prior does not count for it. A regulator of nearly all genes says nothing about any of them. Whether this orders edges is
measured on edges of the prior that are hidden from :math:`T`.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import rankdata

from scdash._core.decisions import clearly_above
from scdash.networks.hidden_edges import area

FOLDS = 5  # parts of the prior that are hidden in turn
PERMUTATIONS = 20  # of genes, for the spread of the area by chance: co-expressed genes are not independent
DRAWS = 20_000  # pairs outside the prior, for comparison
MIN_TARGETS = 3  # fewer say nothing
MIN_EDGES = 50  # of the prior, for a measurement
CHANCE = 0.5


class Coregulation(NamedTuple):
    """How far every gene follows the other targets of every regulator of the prior."""

    regulators: NDArray[np.int64]  # (regulators,), places of genes
    percentile: NDArray[np.float64]  # (regulators, genes) in [0, 1]: rank among all pairs
    auc: float  # how often a hidden edge of the prior exceeds a pair outside it
    error: float

    @property
    def clear(self) -> bool:
        """Whether hidden edges were found by more than two standard errors."""
        return bool(np.isfinite(self.auc)) and clearly_above(self.auc, self.error, CHANCE)

    def at(self, row: NDArray[Any], col: NDArray[Any]) -> NDArray[np.float64]:
        """Return the percentile of edges into genes `row` from genes `col`; 0 where the prior names no such regulator."""
        place = np.full(self.percentile.shape[1], -1)
        place[self.regulators] = np.arange(len(self.regulators))
        known = place[col] >= 0
        return np.where(known, self.percentile[place[col], row], 0.0)


def coregulation(
    states: NDArray[np.floating[Any]], trajectory: NDArray[Any], prior: sp.csr_matrix, *, seed: int = 0
) -> Coregulation | None:
    """Measure co-regulation of all pairs of a regulator of the prior and a gene; `prior` is (target, regulator).

    None where there are too few edges or states.
    """
    regulators, edges, targets = _edges(prior)
    if len(edges[0]) < MIN_EDGES or len(states) < 2 * MIN_TARGETS:
        return None
    auc, error = _measured(standardised(states, trajectory), targets, edges, seed)
    return followers(states, trajectory, prior)._replace(auc=auc, error=error)


def followers(states: NDArray[np.floating[Any]], trajectory: NDArray[Any], prior: sp.csr_matrix) -> Coregulation:
    """Return co-regulation of all pairs, without a measurement of what it says."""
    regulators, _, targets = _edges(prior)
    values = follows(standardised(states, trajectory), targets)
    percentile = np.asarray(rankdata(values).reshape(values.shape) / values.size)
    return Coregulation(regulators, percentile, float("nan"), float("nan"))


def _edges(
    prior: sp.csr_matrix,
) -> tuple[NDArray[np.int64], tuple[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]:
    """Return the regulators of a prior, its edges (place of the regulator, gene), and both as flags; no self edges."""
    entries = sp.coo_matrix(prior)
    other = (entries.row != entries.col) & (entries.data != 0)
    regulators, place = np.unique(entries.col[other], return_inverse=True)
    targets = np.zeros((len(regulators), entries.shape[0]), dtype=bool)
    targets[place, entries.row[other]] = True
    row, column = np.nonzero(targets)
    return regulators.astype(np.int64), (row, column), targets


def standardised(states: NDArray[np.floating[Any]], trajectory: NDArray[Any]) -> NDArray[np.float64]:
    """Return states centred in every trajectory, with columns of length 1 (0 of genes that do not change)."""
    z = np.array(states, dtype=np.float64)
    for one in np.unique(trajectory):
        z[trajectory == one] -= z[trajectory == one].mean(axis=0)
    size = np.linalg.norm(z, axis=0)
    return z / np.where(size > 1e-9 * max(size.max(initial=0), 1e-300), size, np.inf)


def follows(z: NDArray[np.float64], targets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how far every gene follows the targets of every regulator, (regulators, genes); see the module's formula.

    Correlations are never stored: sums of them over genes are products of `z` with sums of its columns.
    """
    n = targets.shape[1]
    member = targets.astype(np.float64)
    own = (z**2).sum(axis=0)  # 1, or 0 of a constant gene
    inside = (member @ z.T) @ z - member * own
    total = z.sum(axis=1) @ z - own
    squares = np.einsum("ri,rs,si->i", z, z @ z.T, z, optimize=True) - own
    count = member.sum(axis=1, keepdims=True) - member
    rest = n - 1 - count
    difference = inside / np.maximum(count, 1) - (total - inside) / np.maximum(rest, 1)
    spread = np.sqrt(np.maximum(squares / (n - 1) - (total / (n - 1)) ** 2, 0))
    scale = np.sqrt(count * rest / (n - 1)) / np.where(spread > 1e-9, spread, np.inf)
    found: NDArray[np.float64] = np.where(count >= MIN_TARGETS, difference * scale, 0.0)
    return found


def _measured(
    z: NDArray[np.float64], targets: NDArray[np.bool_], edges: tuple[NDArray[Any], NDArray[Any]], seed: int
) -> tuple[float, float]:
    """Return the area for hidden edges, and its standard error: that by chance, with genes permuted, if it is larger."""
    rng = np.random.default_rng([seed, 2])
    fold = rng.permutation(len(edges[0])) % FOLDS
    pairs = [_matched(targets, (edges[0][fold == part], edges[1][fold == part]), rng) for part in range(FOLDS)]

    def measured(z: NDArray[np.float64]) -> tuple[float, float]:
        inside, outside = [], []
        for part, pair in enumerate(pairs):
            gone, shown = fold == part, targets.copy()
            shown[edges[0][gone], edges[1][gone]] = False
            found = follows(z, shown)
            inside.append(found[edges[0][gone], edges[1][gone]])
            outside.append(found[pair])
        if not sum(map(len, outside)):
            return float("nan"), float("nan")
        return area(np.concatenate(inside), np.concatenate(outside))

    auc, error = measured(z)
    by_chance = [measured(z[:, rng.permutation(z.shape[1])])[0] for _ in range(PERMUTATIONS)]
    return auc, max(error, float(np.std(by_chance, ddof=1)))


def _matched(
    targets: NDArray[np.bool_], hidden: tuple[NDArray[Any], NDArray[Any]], rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return pairs outside the prior whose regulators and targets are as frequent as those of the hidden edges."""
    regulator, gene = (rng.choice(ends, DRAWS // FOLDS) for ends in hidden)
    free = ~targets[regulator, gene]
    return regulator[free], gene[free]
