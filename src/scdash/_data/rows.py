"""Cells by number, for training on random ones: dense where they are few, sparse or on disk where they are many."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data.dense import as_dense
from scdash._data.expression_matrix import Expression

DENSE = 1e9  # bytes of a float32 matrix that is made dense, because dense rows are found fastest


@dataclass(frozen=True)
class Cells:
    """Rows of the chosen genes as dense blocks, read when they are asked for; only those are ever dense."""

    values: Expression

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        return self.values.dense_rows(rows)


def loaded(values: Expression, *, most: float | None = None) -> Any:
    """Return x such that x[rows] is as quick as memory allows, for a training that draws cells again and again.

    A float32 array of at most `most` bytes (`DENSE`); beyond that float32 CSR where the data are sparse (a million cells
    with 5 % of 2,000 genes take 0.8 GB), and otherwise the data where they lie: dense rows are read as they are drawn.
    """
    most = DENSE if most is None else most
    matrix, float32 = values.matrix, np.dtype(np.float32)
    as_they_are = values.columns is None and values.offsets is None and matrix.dtype == float32
    if as_they_are and (isinstance(matrix, np.ndarray) or sp.issparse(matrix)):
        return matrix if isinstance(matrix, np.ndarray) or 4 * np.prod(values.shape) > most else matrix.toarray()
    if 4 * np.prod(values.shape) <= most:
        return dense32(values)
    first = next(block for _, block in values.blocks(1))
    return sparse32(values) if sp.issparse(first) else Cells(values)


def dense32(values: Expression) -> NDArray[np.float32]:
    """Return all cells as float32, filled block by block so that no second copy exists."""
    out = np.empty(values.shape, np.float32)
    for rows, block in values.blocks():
        out[rows] = as_dense(block)
    return out


def sparse32(values: Expression) -> sp.csr_matrix:
    """Return all cells as float32 CSR, read block by block."""
    data, indices, counts = [], [], [np.zeros(1, np.int64)]
    for _, block in values.blocks():
        rows = block.tocsr()
        data.append(rows.data.astype(np.float32))
        indices.append(rows.indices.astype(np.int32))
        counts.append(np.diff(rows.indptr))
    flat = np.concatenate(data)
    data.clear()  # at no time are both the blocks and the whole in memory, but for one of the two arrays
    return sp.csr_matrix((flat, np.concatenate(indices), np.cumsum(np.concatenate(counts))), shape=values.shape)
