"""Standardisation of columns, learned on some rows."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scdash._data import as_dense
from scdash.resampling.folds import Fold

Standardize = Literal["train", "all", "none"]
ROWS = 1024  # rows read at once when moments are taken


@dataclass(frozen=True)
class Scale:
    """(x - mean) / scale of each column, learned on some rows; a constant column has scale 1."""

    mean: NDArray[np.float64]  # (columns,)
    scale: NDArray[np.float64]  # (columns,)

    @classmethod
    def learn(cls, matrix: Any, rows: NDArray[np.intp] | None = None, *, centre_only: bool = False) -> "Scale":
        """Mean and population standard deviation (ddof 0) of some rows, NaN ignored; dense or CSR."""
        mean, variance = _moments(matrix, np.arange(matrix.shape[0]) if rows is None else np.asarray(rows))
        constant = variance <= 1e-26 * mean**2  # rounding of a mean is all that varies
        scale = np.ones_like(mean) if centre_only else np.where(constant, 1.0, np.sqrt(variance))
        return cls(mean, scale)

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return standardised values."""
        return (np.asarray(values, dtype=np.float64) - self.mean) / self.scale

    def undo(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return values in the original units."""
        return np.asarray(values, dtype=np.float64) * self.scale + self.mean


def _moments(matrix: Any, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each column in one pass over blocks of rows, about the first block's mean."""
    shift: Any = None
    count, total, squares = (np.zeros(matrix.shape[1]) for _ in range(3))
    for first in range(0, len(rows), ROWS):
        block = matrix[rows[first : first + ROWS]]
        values = as_dense(block, np.float64)
        known = ~np.isnan(values)
        if shift is None:
            shift = np.where(known, values, 0).sum(0) / np.maximum(known.sum(0), 1)
        values = np.where(known, values - shift, 0)
        count += known.sum(0)
        total += values.sum(0)
        squares += np.einsum("cg,cg->g", values, values)
    count = np.maximum(count, 1)
    return shift + total / count, np.maximum(squares / count - (total / count) ** 2, 0)


def learn_scale(matrix: Any, fold: Fold, standardize: Standardize) -> Scale:
    """Return the scaling of one model.

    "train": mean and standard deviation of the training cells. "all": standard deviation of ALL cells, as the
    released code has it (test cells leak into it), mean of the training cells. "none": mean of the training cells.
    """
    trained = Scale.learn(matrix, fold.train, centre_only=standardize == "none")
    if standardize == "all" and len(fold.test):
        return Scale(trained.mean, Scale.learn(matrix).scale)
    return trained
