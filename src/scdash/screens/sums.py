"""Sums over the cells of a screen, which are added up in blocks of cells."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.types import Floats


@dataclass(frozen=True)
class Sums:
    """Sums over cells: of states and features by replicate, of products by the fold that holds a perturbation out."""

    y: Floats  # (replicates, genes)
    f: Floats  # (replicates, sources)
    yy: Floats  # (folds, genes)
    ff: Floats  # (folds, sources, sources)
    fy: Floats  # (folds, sources, genes)
    lowest: Floats  # (genes,), lowest value

    @classmethod
    def zeros(cls, replicates: int, folds: int, genes: int, sources: int) -> Self:
        """Return the sums over no cell."""
        of_rows = np.zeros((replicates, genes)), np.zeros((replicates, sources))
        ff, fy = (np.zeros((folds, sources, n)) for n in (sources, genes))
        return cls(*of_rows, np.zeros((folds, genes)), ff, fy, np.full(genes, np.inf))

    def add(self, y: Floats, f: Floats, unit: NDArray[np.int64]) -> None:
        """Add states and features of cells, which belong to replicates."""
        member = sparse.csr_matrix(
            (np.ones(len(unit), y.dtype), (unit, np.arange(len(unit)))), shape=(len(self.y), len(unit))
        )
        self.y[...] += member @ y
        self.f[...] += member @ f

    def add_products(self, y: Floats, f: Floats, group: NDArray[np.int64]) -> None:
        """Add products of cells, whose `group` is a fold, or -1 for those that take no part."""
        for g in np.unique(group[group >= 0]):
            at = group == g
            own_f, own_y = f[at], y[at]
            self.yy[g] += (own_y**2).sum(axis=0)
            self.ff[g] += own_f.T @ own_f
            self.fy[g] += own_f.T @ own_y

    def centre(self, sizes: NDArray[np.int64], targets: NDArray[np.bool_], group: NDArray[np.int64]) -> None:
        """Turn sums of replicates into means, and products into those about the means; `targets` are those of replicates."""
        for total in (self.y, self.f):
            total /= np.maximum(sizes, 1)[:, None]
        for g in range(len(self.yy)):
            of = np.flatnonzero((group == g) & (sizes > 1))
            n, means = sizes[of, None], self.f[of]
            kept = np.where(targets[of], 0, self.y[of])
            self.ff[g] -= (n * means).T @ means
            self.fy[g] -= (n * means).T @ kept
            self.yy[g] -= (n * kept**2).sum(axis=0)
