"""Orders of genes that let a sparse network be read, and what is kept of networks too large to draw."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist

MOST_CLUSTERED = 2000  # genes a side that are made dense and clustered


def strengths(matrices: list[sparse.csr_array], axis: int) -> NDArray[np.float64]:
    """Return the summed absolute effects of every regulator (axis 1) or on every target (axis 0), scaled by network."""
    total = np.zeros(matrices[0].shape[1 - axis])
    for matrix in matrices:
        sums = np.asarray(abs(matrix).sum(axis=axis)).ravel()
        total += sums / (sums.sum() or 1.0)
    return total


def strongest(strength: NDArray[np.float64], most: int | None) -> NDArray[np.int64]:
    """Return where strength is not zero, in the order given, at most the `most` strongest."""
    kept = np.flatnonzero(strength > 0)
    if most is not None and len(kept) > most:
        kept = np.sort(kept[np.argsort(-strength[kept], kind="stable")[:most]])
    return kept


def cluster_order(profiles: NDArray[Any]) -> NDArray[np.int64]:
    """Return an order of rows by hierarchical clustering (average linkage, cosine distance); rows of zeros last."""
    norm = np.linalg.norm(profiles, axis=1)
    filled = np.flatnonzero(norm > 0)
    if len(filled) < 3:
        return np.argsort(norm == 0, kind="stable")
    distance = np.clip(pdist(profiles[filled] / norm[filled, None], "cosine"), 0, None)
    tree = linkage(distance, "average", optimal_ordering=len(filled) <= 500)
    return np.concatenate([filled[leaves_list(tree)], np.flatnonzero(norm == 0)])


def staircase_order(effects: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return orders of regulators (rows) and targets (columns): hubs first, targets behind their main regulator."""
    size = np.abs(effects)
    rows = np.argsort(-np.count_nonzero(size, axis=1), kind="stable")
    rank = np.empty(len(rows), np.int64)
    rank[rows] = np.arange(len(rows))
    main = np.where(size.any(axis=0), rank[size.argmax(axis=0)], len(rows))
    sign = np.sign(np.take_along_axis(effects, size.argmax(axis=0)[None], axis=0)[0])
    return rows, np.lexsort((-size.max(axis=0, initial=0.0), -sign, main))


def strongest_in_blocks(effects: NDArray[Any], most: int) -> tuple[NDArray[Any], tuple[int, int]]:
    """Shrink a matrix to at most `most` rows and columns, each cell the entry of largest size in its block."""
    rows, columns = effects.shape
    block = (-(-rows // most), -(-columns // most))
    shape = (-(-rows // block[0]), -(-columns // block[1]))
    padded = np.zeros((shape[0] * block[0], shape[1] * block[1]))
    padded[:rows, :columns] = effects
    blocks = padded.reshape(shape[0], block[0], shape[1], block[1]).swapaxes(1, 2).reshape(*shape, -1)
    return np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)[..., 0], block
