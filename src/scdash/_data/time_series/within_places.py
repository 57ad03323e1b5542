"""How genes vary together among cells of one place in time, when each place's mean is taken away, and among all cells."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data.dense import as_dense
from scdash._data.expression_matrix import Expression

MOST_CELLS = 20_000  # second moments of a random sample of this size are known well enough


@dataclass(frozen=True)
class WithinMoments:
    """Sums of products of deviations from the mean of a cell's group, for disjoint parts of the cells.

    Sums, so that those of several parts together are their sums.
    """

    cross: NDArray[np.float64]  # (parts, sources, genes)
    squares: NDArray[np.float64]  # (parts, genes)
    sources: NDArray[np.intp]  # (sources,), the genes of the second axis
    correlation: NDArray[np.float64]  # (sources, genes), over all these cells; 0 for a gene that does not vary


def within_moments(
    values: Expression,  # log expression, (cells, genes); read in blocks
    group: NDArray[np.int64],
    part: NDArray[np.int64],
    *,
    sources: NDArray[np.integer[Any]] | None = None,  # genes on the first side of the products; None: all
    weights: NDArray[np.float64] | None = None,  # of the cells, (cells,); None: all 1
) -> WithinMoments:
    r"""Return :math:`\sum_c (x_c - m_{g(c)}) (x_c - m_{g(c)})^T` of every part q of the cells, in one pass over X.

    The means m are of all cells of a group, so with sums s_qg and numbers n_qg of a part's cells in each group it is
    :math:`\sum_c x_c x_c^T - \sum_g (s_{qg} m_g^T + m_g s_{qg}^T - n_{qg} m_g m_g^T)`.

    `group`, `part`: code of the group and of the part of each cell; a cell with -1 in either takes no part.
    """
    genes, parts = values.shape[1], int(part.max(initial=0)) + 1
    chosen = np.arange(genes) if sources is None else np.asarray(sources, dtype=np.intp)
    group = np.where((group >= 0) & (part >= 0), group, -1)
    number = int(group.max(initial=0)) + 1
    cross, squares = np.zeros((parts, len(chosen), genes)), np.zeros((parts, genes))
    total, count = np.zeros((parts, number, genes)), np.zeros((parts, number))
    for rows, block in values.blocks():
        for q in range(parts):
            own = np.flatnonzero((part[rows] == q) & (group[rows] >= 0))
            if not len(own):
                continue
            x = as_dense(block[own], np.float64)
            w = np.ones(len(own)) if weights is None else weights[rows][own]
            weighted = x if weights is None else w[:, None] * x
            cross[q] += x[:, chosen].T @ weighted
            squares[q] += (x * weighted).sum(axis=0)
            code = group[rows][own]
            member = sp.csr_matrix((w, (code, np.arange(len(own)))), shape=(number, len(own)))
            total[q] += member @ x
            count[q] += np.bincount(code, weights=w, minlength=number)
    correlation = _correlation(cross.sum(axis=0), squares.sum(axis=0), total.sum(axis=(0, 1)), count.sum(), chosen)
    known = count.sum(axis=0)
    mean = total.sum(axis=0) / np.where(known > 0, known, 1)[:, None]
    for q in range(parts):
        moved = total[q] - count[q][:, None] * mean
        cross[q] -= total[q][:, chosen].T @ mean + mean[:, chosen].T @ moved
        squares[q] -= (total[q] * mean + mean * moved).sum(axis=0)
    return WithinMoments(cross, np.maximum(squares, 0), chosen, correlation)


def _correlation(
    cross: NDArray[np.float64],
    squares: NDArray[np.float64],
    total: NDArray[np.float64],
    count: float,
    sources: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Return correlations from sums of products, of squares and of values."""
    mean = total / max(count, 1.0)
    spread = np.sqrt(np.maximum(squares - total * mean, 0))
    varies = spread > 1e-6 * np.sqrt(squares)
    size = np.where(varies, spread, np.inf)
    return np.asarray((cross - np.outer(total[sources], mean)) / np.outer(size[sources], size))
