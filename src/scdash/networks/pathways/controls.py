"""Gene scores that know no dynamics, tested beside a fit: how well studied a gene is, and how much it changes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.fit_settings import FitSettings
from scdash._data import expression, parse_time, rank_align, read_labels

if TYPE_CHECKING:
    from anndata import AnnData


PRIOR, TIME = "prior out-degree", "correlation with time"
FEWEST = 3  # rows of a trajectory below which a correlation says nothing


def built_in_controls(
    adata: "AnnData", keys: Sequence[str], given: Mapping[str, pd.Series], *, signed: bool
) -> dict[str, pd.Series]:
    """Return the prior's out-degrees and the correlations with time, by name, once where fits share them."""
    found: dict[str, pd.Series] = {}
    for name, make in ((PRIOR, _out_degree), (TIME, _time_correlation)):
        same: dict[str, pd.Series] = {}
        for key in keys:
            genes = given[key].index[np.isfinite(given[key])]
            scores = make(adata, adata.uns.get(key, {}), key, genes)
            if scores is None or any(scores.equals(other) for other in same.values()):
                continue
            same[name if not same else f"{name} ({key})"] = scores
        found |= same
    return found if signed else {name: scores.abs() for name, scores in found.items()}


def _out_degree(adata: "AnnData", entry: Any, key: str, genes: pd.Index) -> pd.Series | None:
    """Return each gene's number of targets in the prior of a fit; None without a prior."""
    edges = entry.get("edges")
    if edges is None or not np.asarray(edges["in_prior"], dtype=bool).any():
        return None
    known: pd.DataFrame = edges[np.asarray(edges["in_prior"], dtype=bool)]
    return known["source"].astype(str).value_counts().reindex(genes, fill_value=0).astype(float)


def _time_correlation(adata: "AnnData", entry: Any, key: str, genes: pd.Index) -> pd.Series | None:
    """Correlate expression with the order of time within each trajectory, and average; None without a time.

    The rank of time, as pseudotime has no scale; bootstraps of the same cells are left out.
    """
    settings = FitSettings.of(entry, key)
    time = next((name for name in (settings.time_key, "time") if name in adata.obs), None)
    if time is None or "series" not in entry:
        return None
    labels = [settings.text(name) for name in ("trajectory_key", "batch_key")]
    if "bootstrap" in adata.obs and "trajectory" in adata.obs:  # bins of pp.trajectories
        labels.append("trajectory")
    columns = [read_labels(adata.obs[name]) for name in labels if name in adata.obs]
    group = pd.factorize(pd.Series(list(zip(*columns, strict=True)) if columns else [()] * adata.n_obs))[0]
    seconds = parse_time(adata.obs[time], time).values
    usable = np.isfinite(seconds)
    for column in columns:
        usable &= column.notna().to_numpy()
    if "bootstrap" in adata.obs:
        usable &= (adata.obs["bootstrap"] == 0).to_numpy()
    values = expression(adata, layer=settings.layer_of(adata, None), genes=genes, min_cells=1)
    found = _mean_correlation(values, seconds, np.where(usable, group, -1))
    return None if found is None else pd.Series(found, index=genes)


def _mean_correlation(values: Any, time: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return Pearson's correlation of every column with the rank of time, averaged over groups (-1: in none)."""
    groups = [g for g in np.unique(group[group >= 0]) if len(np.unique(time[group == g])) >= FEWEST]
    if not groups:
        return None
    n_genes = values.shape[1]
    sums, squares, products = (np.zeros((len(groups), n_genes)) for _ in range(3))
    rank = np.zeros(len(time))
    for g in groups:
        rank[group == g] = rank_align(time[group == g]) - 0.5
    for rows, block in values.blocks():
        for k, g in enumerate(groups):
            mine = np.flatnonzero(group[rows] == g)
            x = block[mine]
            sums[k] += np.asarray(x.sum(0)).ravel()
            squares[k] += np.asarray((x.multiply(x) if sp.issparse(x) else x * x).sum(0)).ravel()
            products[k] += np.asarray(rank[rows][mine] @ x).ravel()
    size = np.array([[(group == g).sum()] for g in groups])
    spread = np.array([[(rank[group == g] ** 2).sum()] for g in groups])  # ranks have mean 0
    scale = np.sqrt(np.maximum(squares - sums**2 / size, 0) * spread)
    r = np.divide(products, scale, out=np.zeros_like(products), where=scale > 1e-9)
    return np.asarray(np.clip(r, -1, 1).mean(0))
