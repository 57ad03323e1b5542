"""Statistics of a signed network: degrees, hubs, correlations between regulators' effects.

Networks here are sparse (genes, genes) matrices as users see them: ROW REGULATES COLUMN.
"""

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse import csgraph


def as_network(matrix: Any) -> sp.csr_array:
    """Return a square sparse matrix without stored zeros."""
    network = sp.csr_array(matrix, dtype=np.float64, copy=True)
    if network.shape[0] != network.shape[1]:
        raise ValueError(f"A network must be square (row regulates column), found shape {network.shape}.")
    if not np.isfinite(network.data).all():
        raise ValueError("A network must be finite, found NaN or infinite weights.")
    network.sum_duplicates()
    network.eliminate_zeros()
    return network


def degrees(matrix: Any) -> pd.DataFrame:
    """Return a row per gene: edges in and out, by sign, and how much weight they carry.

    The result is a DataFrame with columns out_degree, in_degree, activates, represses (edges out by sign),
    out_strength, in_strength (sums of absolute weights), hub, authority (Kleinberg 1999 on absolute weights: hubs
    regulate genes that many hubs regulate; each sums to 1).
    """
    network = as_network(matrix)
    size, positive = abs(network), (network > 0).astype(float)
    out, into = _count(network, 1), _count(network, 0)
    activates = np.asarray(positive.sum(axis=1)).ravel().astype(np.int64)
    hub, authority = _hubs(size)
    return pd.DataFrame(
        {
            "out_degree": out,
            "in_degree": into,
            "activates": activates,
            "represses": out - activates,
            "out_strength": np.asarray(size.sum(axis=1)).ravel(),
            "in_strength": np.asarray(size.sum(axis=0)).ravel(),
            "hub": hub,
            "authority": authority,
        }
    )


def _count(network: sp.csr_array, axis: int) -> NDArray[np.int64]:
    filled = sp.csr_array((np.ones(network.nnz), network.indices, network.indptr), shape=network.shape)
    return np.asarray(filled.sum(axis=axis), dtype=np.int64).ravel()


def _hubs(size: sp.csr_array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return hub and authority scores by power iteration from equal scores."""
    hub = np.ones(size.shape[0])
    authority = hub
    for _ in range(100):
        authority = size.T @ hub
        hub = size @ authority
        if not hub.any():
            return np.zeros(len(hub)), np.zeros(len(hub))
        hub /= hub.sum()
    return hub, authority / authority.sum()


def summary(matrix: Any) -> dict[str, float | int]:
    """Return figures of the whole network; `average_out_degree` is over all genes, as in the DASH paper."""
    network = as_network(matrix)
    n, table = network.shape[0], degrees(network)
    loops = int(np.count_nonzero(network.diagonal()))
    pattern = (network != 0).astype(float)
    mutual = int(pattern.multiply(pattern.T).sum()) - loops
    fraction = np.sort(table["out_degree"].to_numpy())[::-1][: max(1, n // 100)].sum() / max(network.nnz, 1)
    return {
        "genes": n,
        "edges": int(network.nnz),
        "density": network.nnz / max(n * n, 1),
        "regulators": int((table["out_degree"] > 0).sum()),
        "targets": int((table["in_degree"] > 0).sum()),
        "average_out_degree": network.nnz / max(n, 1),
        "activating_share": float((network.data > 0).mean()) if network.nnz else float("nan"),
        "self_edges": loops,
        "mutual_edges": mutual // 2,
        "top_percent_share": float(fraction),  # of the edges, held by the 1 % of genes with most targets
    }


def effect_correlations(matrix: Any, *, min_targets: int = 2) -> sp.csr_array:
    """Return Pearson's correlation between the effects of every two regulators that share a target.

    Paper: "correlation between effects of causal variables" (DASH, Figure 2). Correlations run over all genes as
    targets, absent edges counting 0. Regulators with fewer than `min_targets` targets are left out: two with the same
    single target correlate perfectly, which says nothing.

    The result is a CSR matrix (genes, genes), symmetric, 1 on the diagonal of the regulators.
    """
    network = as_network(matrix)
    n = network.shape[1]
    keep = _count(network, 1) >= min_targets
    chosen = sp.diags_array(keep.astype(float)) @ network
    mean = np.asarray(chosen.sum(axis=1)).ravel() / n
    spread = np.sqrt(np.maximum(np.asarray(chosen.multiply(chosen).sum(axis=1)).ravel() / n - mean**2, 0))
    shared = sp.coo_array(chosen @ chosen.T)
    row, column = shared.coords
    scale = spread[row] * spread[column]
    usable = scale > 0
    value = (shared.data[usable] / n - mean[row[usable]] * mean[column[usable]]) / scale[usable]
    return sp.csr_array((np.clip(value, -1, 1), (row[usable], column[usable])), shape=network.shape)


def reachable(matrix: Any, start: NDArray[np.int64], *, depth: int, upstream: bool = False) -> NDArray[np.int64]:
    """Return how many steps each gene lies from `start` along the edges, -1 beyond `depth`."""
    network = as_network(matrix)
    edges = abs(sp.csr_array(network.T) if upstream else network)  # signs say nothing of a path
    found = csgraph.dijkstra(edges, unweighted=True, indices=start, min_only=True, limit=depth)
    return np.where(np.isfinite(found), found, -1).astype(np.int64)
