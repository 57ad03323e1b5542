r"""Edges from cells at two times, with disjoint cells on the two sides and every lineage centred.

The later mean of half of the cells is regressed on the earlier mean of the other half,
:math:`x^B_i(t + D) \approx \sum_{j \neq i} S_{ij} x^A_j(t)`: the regression of transitions in the limit of fast genes, in which no
noise is shared. What remains of such a score when times are shuffled within lineages is not dynamics.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import rankdata

from scdash._core.types import Floats, Index
from scdash._data import CellHalves
from scdash.regression.gram import Moments
from scdash.regression.l1_paths import l1_path

LAGS = (1, 2, 3)
LAMBDAS = np.geomspace(0.9, 0.05, 12)
MAX_ACTIVE = 50  # regulators of a gene beyond which its path stops
FLAT = 1e-8  # spread below which a gene does not vary
JUDGED = 2  # dealings of the cells behind the share of variance explained


@dataclass(frozen=True)
class LaggedScores:
    """How often each edge is selected over penalties and halvings, and the held-out share of variance explained.

    Held out are cells: a regression on two quarters of them is evaluated on the other two.
    """

    frequency: sp.csr_matrix  # (target, regulator), in [0, 1]
    explained: float  # 1 - held-out error / variance around the lineage's mean, at the best penalty


def lagged_scores(halves: CellHalves, regulators: Index | None = None) -> LaggedScores:
    """Return selection frequencies over the whole path of penalties (which rank edges better than any one penalty)."""
    first, second = halves.halves
    genes = first.shape[3]
    sources = np.arange(genes) if regulators is None else np.asarray(regulators, dtype=np.intp)
    allowed = np.ones((len(sources), genes), dtype=bool)
    allowed[np.arange(len(sources)), sources] = False
    used = np.zeros((len(sources), genes))
    for early, late in zip(first, second, strict=True):
        moments = Moments.of(*(rows := _rows(early, late, sources)), np.ones(len(rows[0])))
        used += (_path(moments, allowed) != 0).sum(axis=0)
    frequency = edge_frequency(used / (len(first) * len(LAMBDAS)), sources)
    explained = [_explained(halves.quarters[:, draw], sources, allowed) for draw in range(min(JUDGED, len(first)))]
    return LaggedScores(frequency, float(np.mean(explained)))


def edge_frequency(share: Floats, sources: NDArray[np.int64]) -> sp.csr_matrix:
    """Return the shares (sources, genes) with which edges are selected as a matrix (target, regulator) of all genes."""
    source, target = np.nonzero(share)
    return sp.csr_matrix((share[source, target], (target, sources[source])), shape=(share.shape[1],) * 2)


def _rows(first: Floats, second: Floats, sources: Index) -> tuple[Floats, Floats]:
    """Return centred features (m, p) and targets (m, n) of all lags, in both directions."""
    bins = first.shape[1]
    features, targets = [], []
    for early, late in ((first, second), (second, first)):
        for lag in LAGS:
            if lag >= bins:
                continue
            x, y = early[:, : bins - lag, sources], late[:, lag:]
            features.append((x - x.mean(axis=1, keepdims=True)).reshape(-1, len(sources)))
            targets.append((y - y.mean(axis=1, keepdims=True)).reshape(-1, y.shape[2]))
    return np.concatenate(features), np.concatenate(targets)


def _path(moments: Moments, allowed: NDArray[np.bool_]) -> Floats:
    """Return coefficients (penalties, p, n); genes that do not vary have no edge."""
    usable = allowed & (moments.target_scale > FLAT) & (moments.scale > FLAT)[:, None]
    return l1_path(moments.gram, moments.cross(), LAMBDAS, allowed=usable, max_active=MAX_ACTIVE)


def _explained(quarters: Floats, sources: Index, allowed: NDArray[np.bool_]) -> float:
    """Return the fraction of variance explained among cells that the regression has not seen, at the best penalty."""
    x, y = _rows(quarters[0], quarters[2], sources)
    moments = Moments.of(x, y, np.ones(len(x)))
    x, y = _rows(quarters[1], quarters[3], sources)
    left = []
    for solution in _path(moments, allowed):
        raw, intercept = moments.unscale(solution, slice(None))
        left.append(float(((y - x @ raw - intercept) ** 2).sum()))
    return 1 - min(left) / float((y**2).sum())


def rank_correlation(a: sp.csr_matrix, b: sp.csr_matrix, regulators: Index | None = None) -> float:
    """Return Spearman's correlation of two scores over all pairs of different genes."""
    genes = a.shape[0]
    sources = np.arange(genes) if regulators is None else np.asarray(regulators)
    different = np.arange(genes)[:, None] != sources[None, :]
    ranks = [rankdata(m[:, sources].toarray()[different]) for m in (a, b)]
    if min(np.ptp(r) for r in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
