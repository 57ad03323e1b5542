"""The neighbour graph of cells, through scanpy, in a way that works with every version of its dependencies."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

if TYPE_CHECKING:
    from anndata import AnnData

MOST_EXACT = 30_000  # cells up to which neighbours are searched exactly: about 45 s on one core with 50 dimensions


def add_neighbors(
    adata: "AnnData", *, n_neighbors: int, use_rep: str, seed: int, method: Literal["gauss", "umap"] = "umap"
) -> None:
    """Write scanpy's neighbour graph of `adata.obsm[use_rep]` to `adata`, with at most one neighbour fewer than cells.

    scanpy itself searches approximately from 8,192 cells on. Its version 1.11 cannot read what pynndescent 0.7 returns
    (a sparse array instead of a sparse matrix), and to compile pynndescent takes minutes. So the search is exact up to
    `MOST_EXACT` cells here, and what pynndescent returns for more cells is converted.
    """
    import scanpy as sc

    k = min(n_neighbors, adata.n_obs - 1)
    search = _Search(k, seed)
    sc.pp.neighbors(adata, n_neighbors=k, use_rep=use_rep, method=method, transformer=search, random_state=seed)


@dataclass(frozen=True)
class _Search:
    """A transformer as scanpy expects it: coordinates to distances, (cells, cells), of every cell's nearest others.

    scanpy counts a cell as one of its own `n_neighbors`, so that every row has one entry fewer. The cell itself is left
    out by its number and not by its place, since a distance to oneself of 1e-4 (rounding) would count as the nearest.
    """

    n_neighbors: int
    seed: int

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - the signature of scikit-learn
        """Return the settings, which scanpy stores."""
        return {"n_neighbors": self.n_neighbors, "seed": self.seed}

    def fit_transform(self, X: Any, y: Any = None) -> sp.csr_matrix:
        """Return the distances, sorted within each row."""
        n, others = len(X), self.n_neighbors - 1
        indices, distances = (_exact if n <= MOST_EXACT else self._approximate)(X, others)
        starts = np.arange(0, n * others + 1, others)
        return sp.csr_matrix((distances.ravel(), indices.ravel(), starts), shape=(n, n))

    def _approximate(self, X: Any, others: int) -> tuple[NDArray[Any], NDArray[Any]]:
        from pynndescent import NNDescent

        # numbers of trees and iterations as scanpy and UMAP choose them
        trees, iterations = min(64, 5 + round(len(X) ** 0.5 / 20)), max(5, len(X).bit_length())
        index = NNDescent(X, n_neighbors=others + 1, random_state=self.seed, n_trees=trees, n_iters=iterations)
        indices, distances = index.neighbor_graph
        own = indices == np.arange(len(X))[:, None]
        own[~own.any(1), -1] = True  # not found among its own nearest: the farthest is left out instead
        return indices[~own].reshape(len(X), others), distances[~own].reshape(len(X), others)


def _exact(X: Any, others: int) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.neighbors import NearestNeighbors

    distances, indices = NearestNeighbors(n_neighbors=others, algorithm="brute").fit(X).kneighbors()
    return indices, distances
