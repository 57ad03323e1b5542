"""Which edges of a network are wanted: by their genes, their number and their size."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from anndata import AnnData

from scdash._core.keys import genes_of, require_fit
from scdash._data import all_genes, listed_names


def chosen_edges(
    adata: AnnData,
    edges: pd.DataFrame,
    key: str,
    *,
    source: str | Iterable[str] | None,
    target: str | Iterable[str] | None,
    top: int | None,
    min_weight: float | None,
) -> pd.DataFrame:
    """Return those edges, in their order; the first `top` are counted after the other conditions.

    Raises KeyError if a source or target is no gene of the fit that the data still have. Raises ValueError if `top` or
    `min_weight` is out of range.
    """
    if top is not None and (isinstance(top, bool) or int(top) != top or top < 1):
        raise ValueError(f"top must be a whole number of at least 1, found {top!r}.")
    if min_weight is not None and not (np.isfinite(min_weight) and min_weight >= 0):
        raise ValueError(f"min_weight must be a number of at least 0, found {min_weight!r}.")
    for column, wanted in (("source", source), ("target", target)):
        if wanted is None:
            continue
        genes = genes_of(adata, require_fit(adata, key), key)
        names = listed_names(wanted)
        if not names:
            raise ValueError(f"{column} is empty: name at least one gene, or leave it out.")
        all_genes(names, genes.names[genes.present], column)
        edges = edges[edges[column].isin(names)]
    if min_weight is not None:
        edges = edges[edges["weight"].abs() >= min_weight]
    if top is not None:
        edges = edges.head(top)
    return edges.reset_index(drop=True)
