"""Offsets of batches from one another, measured on control cells and taken away block by block."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._data.dense import as_dense

ROWS = 4096  # control cells read at once


@dataclass(frozen=True)
class BatchOffsets:
    """What each batch adds to every gene, relative to all control cells together."""

    offsets: NDArray[np.float64]  # (batches, genes)
    batch: NDArray[np.int64]  # (cells,), -1 for cells without a batch, which take no part

    def removed(self, block: Any, rows: Any) -> NDArray[np.floating[Any]]:
        """Return the rows `rows` of the cells, given as `block` (rows, genes), without the offsets of their batches."""
        values = as_dense(block)
        batch = self.batch[rows]
        taken = self.offsets[batch].astype(values.dtype)
        taken[batch < 0] = 0
        centred: NDArray[np.floating[Any]] = values - taken
        return centred


def batch_offsets(values: Any, control: NDArray[np.int64], batch: NDArray[np.int64]) -> BatchOffsets:
    """Return the mean of each batch's control cells minus the mean of all control cells, gene by gene.

    `values`: the cells, a `scdash._data.Expression`; only control cells are read, in blocks. `control`: numbers of the
    control cells that have a batch. `batch`: (cells,), batch of each cell; every batch has a control cell.
    """
    n_batches = int(batch.max()) + 1
    sums, counts = np.zeros((n_batches, len(values.genes))), np.zeros(n_batches)
    for first in range(0, len(control), ROWS):
        rows = control[first : first + ROWS]
        np.add.at(counts, batch[rows], 1)
        np.add.at(sums, batch[rows], values.dense_rows(rows).astype(np.float64))
    means = sums / counts[:, None]
    return BatchOffsets(means - sums.sum(axis=0) / counts.sum(), batch)
