"""How much evidence the data hold: whether edges of a prior that were hidden from a fit are found again."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


class HiddenEvidence(NamedTuple):
    """Evidence that a fit gave to prior edges it was not shown; matrices are (target, regulator)."""

    hidden: sp.csr_matrix  # the edges hidden from it
    evidence: sp.csr_matrix  # non-negative


def evidence_auc(
    prior: sp.csr_matrix, hidden: Sequence[HiddenEvidence], *, seed: int = 0, draws: int = 20_000
) -> tuple[float, float]:
    """Return how often a hidden prior edge has more evidence than a pair outside the prior, and its standard error.

    The area under the ROC curve of the hidden edges of all fits together; ties count half. The standard error is
    Hanley and McNeil's (1982). Pairs outside the prior are drawn with the targets and regulators of hidden edges
    (degree-matched): against random pairs, knowing the hubs of the prior would already look like evidence.
    """
    rng = np.random.default_rng(seed)
    inside, outside = [], []
    for fit in hidden:
        edges = fit.hidden.astype(bool).tocsr()
        edges.eliminate_zeros()
        edges = edges.tocoo()
        if not len(edges.row):
            continue
        inside.append(entries_at(fit.evidence, edges.row, edges.col))
        rows = rng.choice(edges.row, draws // len(hidden))
        columns = rng.choice(edges.col, len(rows))
        free = (entries_at(prior, rows, columns) == 0) & (rows != columns)
        outside.append(entries_at(fit.evidence, rows[free], columns[free]))
    if not inside or not sum(map(len, outside)):
        return float("nan"), float("nan")
    return area(np.concatenate(inside), np.concatenate(outside))


def area(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> tuple[float, float]:
    """Return how often a value of `inside` exceeds one of `outside`, ties count half, and its standard error."""
    b = np.sort(outside)
    auc = float((np.searchsorted(b, inside, "left") + np.searchsorted(b, inside, "right")).mean() / 2 / len(b))
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (len(inside) - 1) * (q1 - auc**2) + (len(b) - 1) * (q2 - auc**2)
    return auc, float(np.sqrt(max(variance, 0) / (len(inside) * len(b))))


def entries_at(matrix: sp.csr_matrix, row: NDArray[Any], col: NDArray[Any]) -> NDArray[np.float64]:
    """Return entries of a sparse matrix, zeros where nothing is stored."""
    if not len(row):  # SciPy refuses empty index arrays
        return np.zeros(0)
    return np.asarray(sp.csr_matrix(matrix)[row, col], dtype=np.float64).ravel()
