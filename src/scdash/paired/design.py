"""Standardised X of a linear model, seen only through X'Y / n and the columns of X'X / n that are asked for."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash.paired.standardize import Scale

Floats = NDArray[np.float64]


class Design:
    """(X - mean) / scale of some rows; a CSR matrix stays sparse, its centring being a rank-one correction.

    Columns of the Gram matrix are computed once each. A sparse solution with a hundred genes tried needs a hundred of
    them, not all (genes x genes).
    """

    def __init__(self, matrix: Any, scale: Scale, rows: NDArray[np.intp] | None = None) -> None:
        part = matrix if rows is None else matrix[rows]
        self.scale = scale
        self.n, self.p = part.shape
        if sp.issparse(part):
            self.values: Any = part.astype(np.float64).tocsc()
        else:
            self.values = scale.apply(part)
        self._place = np.full(self.p, -1)
        self._gram = np.zeros((self.p, 0))

    def cross(self, y: Floats) -> Floats:
        """Return X'Y / n, (genes, features)."""
        return self._left(y)

    def gram(self, genes: NDArray[np.intp]) -> Floats:
        """Return columns of X'X / n, (genes, asked)."""
        new = genes[self._place[genes] < 0]
        if len(new):
            self._place[new] = self._gram.shape[1] + np.arange(len(new))
            self._gram = np.hstack([self._gram, self._left(self.columns(new))])
        return self._gram[:, self._place[genes]]

    def columns(self, genes: NDArray[np.intp]) -> Floats:
        """Return standardised columns, (rows, genes)."""
        if sp.issparse(self.values):
            raw = self.values[:, genes].toarray()
            return np.asarray((raw - self.scale.mean[genes]) / self.scale.scale[genes])
        return np.asarray(self.values[:, genes])

    def _left(self, right: Floats) -> Floats:
        if not sp.issparse(self.values):
            return np.asarray(self.values.T @ right / self.n)
        product = np.asarray(self.values.T @ right) / self.n
        return np.asarray((product - self.scale.mean[:, None] * right.mean(axis=0)) / self.scale.scale[:, None])
