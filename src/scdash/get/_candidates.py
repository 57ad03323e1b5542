"""Pairs of genes that neither the network nor the prior has, ranked by what the data say of them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.edges.order import MAX_PAIRS, association, rank_edges, ranked_by
from scdash._core.keys import genes_of, require_fit


def all_pairs(
    adata: AnnData, key: str, source: str | Iterable[str] | None, target: str | Iterable[str] | None
) -> pd.DataFrame:
    """Return the edges of a time course or of cells, and all other pairs of a regulator and a gene, by rank."""
    entry = require_fit(adata, key)
    if "screen" in entry:
        raise ValueError(
            f"candidates=True is for time courses and cells; the fit under {key!r} is of a screen, whose table has every "
            "pair of genes with a score already."
        )
    genes = genes_of(adata, entry, key)
    stored = genes.rows(entry["edges"], "source", "target")
    prior = stored[stored["in_prior"].astype(bool)]
    told = entry.get("prior") or {}
    names = pd.Index(genes.names.astype(str))
    by_coregulation = bool(told.get("by_coregulation", False))
    regulators = _allowed(entry, names)
    if by_coregulation:
        regulators = np.intersect1d(names.get_indexer(pd.Index(prior["source"].astype(str).unique())), regulators)
    rows, columns = (
        here[genes.present[here]]
        for here in (_named(source, names, regulators), _named(target, names, np.arange(len(names))))
    )
    if len(rows) * len(columns) > MAX_PAIRS:
        raise ValueError(
            f"candidates=True: {len(rows)} regulators x {len(columns)} genes are more than {MAX_PAIRS:,} pairs; choose by "
            "source= or target=."
        )
    pairs = _unlisted(stored, names, rows, columns)
    pairs["score"] = _scores(entry, told, pairs, names)
    edges = pd.concat([stored.astype({"source": str, "target": str}), pairs], ignore_index=True)
    edges["in_prior"] = edges["in_prior"].astype(bool)
    edges = edges.assign(ranked_by=ranked_by(entry), association=association(edges, entry))
    return rank_edges(edges)


def _allowed(entry: Mapping[str, Any], names: pd.Index) -> NDArray[np.int64]:
    """Return the places of the genes that the fit allowed to regulate."""
    given = entry["params"].get("regulators")
    if given is None or not len(given):
        return np.arange(len(names))
    return np.asarray(names.get_indexer(pd.Index([str(gene) for gene in given])), dtype=np.int64)


def _named(wanted: str | Iterable[str] | None, names: pd.Index, among: NDArray[np.int64]) -> NDArray[np.int64]:
    if wanted is None:
        return among
    listed = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    return np.intersect1d(among, names.get_indexer(pd.Index(listed)))


def _unlisted(
    stored: pd.DataFrame, names: pd.Index, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> pd.DataFrame:
    source, target = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
    at = [names.get_indexer(pd.Index(stored[end].astype(str))) for end in ("source", "target")]
    new = (source != target) & ~np.isin(source * len(names) + target, at[0] * len(names) + at[1])
    source, target = source[new], target[new]
    labels = names.to_numpy(dtype=object)
    zero = np.zeros(len(source))
    return pd.DataFrame(
        {"source": labels[source], "target": labels[target], "weight": zero, "contribution": zero, "in_prior": False}
    ).assign(**dict.fromkeys(("selection_frequency", "stability", "coregulation"), np.nan))


def _scores(
    entry: Mapping[str, Any], told: Mapping[str, Any], pairs: pd.DataFrame, names: pd.Index
) -> NDArray[np.float64]:
    """Return what `ranking_score` gives to a pair that no fit has selected and that is not in the prior."""
    if weight := float(told.get("association_weight", 0.0)):
        return np.asarray(weight * np.nan_to_num(association(pairs, entry)))
    if not told.get("by_coregulation"):
        return np.zeros(len(pairs))
    from scdash.networks import followers  # which imports torch, and tables are read without it

    series, edges = entry["series"], entry["edges"]
    edges = edges[edges["in_prior"].astype(bool)]
    at = [names.get_indexer(pd.Index(edges[end].astype(str))) for end in ("target", "source")]
    prior = sp.csr_matrix((np.ones(len(edges)), at), shape=(len(names), len(names)))
    train = np.asarray([str(label) == "train" for label in series["split"]])
    found = followers(np.asarray(series["states"])[train], np.asarray(series["trajectory"])[train], prior)
    row, col = (names.get_indexer(pd.Index(pairs[end])) for end in ("target", "source"))
    pairs["coregulation"] = found.at(row, col)
    return np.asarray(pairs["coregulation"].to_numpy() / 2)
