"""What figures read: slots of a fit, and networks in any form, checked before anything is drawn."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.errors import check_choice, suggest
from scdash._core.keys import check_genes, require_fit
from scdash._data import all_genes, as_dense, check_unique, representation
from scdash.metrics.edge_lists import GRN, EdgeList, align, is_anndata


def slot(adata: AnnData, key: str, name: str) -> Any:
    """Return `adata.uns[key][name]`, or say what to run."""
    if not is_anndata(adata):
        raise TypeError(f"adata must be an AnnData, found {type(adata).__name__}.")
    entry = require_fit(adata, key)
    if entry.get(name) is None:
        raise KeyError(
            f"adata.uns[{key!r}] holds no {name!r}. Run `scdash.tl.fit_dynamics(adata, key_added={key!r})` again."
        )
    return entry[name]


def columns(table: Any, needed: Iterable[str], *, argument: str = "table") -> pd.DataFrame:
    """Return `table`, or name the column it lacks."""
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{argument} must be a pandas DataFrame, found {type(table).__name__}.")
    for name in needed:
        if name not in table:
            raise ValueError(f"{argument} has no column {name!r}.{suggest(name, table.columns.astype(str))}")
    if table.empty:
        raise ValueError(f"{argument} has no rows: there is nothing to draw.")
    return table


def networks(
    data: GRN, *references: GRN | str, key: str, genes: Sequence[str] | None, values: str = "weight"
) -> tuple[pd.Index, list[sparse.csr_array]]:
    """Return the names of the genes and the networks over them, sparse, row regulates column.

    `data` is an AnnData (its fit), a table of edges or a matrix; references are tables, matrices, or names of slots of
    the AnnData. `values` other than "weight" is a column of the fit's table of edges.
    """
    if is_anndata(data) and key not in data.varp:
        require_fit(data, key)
        check_genes(data, key)
    lists = align(data, *references, genes=genes, key=key, arguments=("data", "truth", "prior"))
    names = lists[0].genes if lists[0].genes is not None else pd.Index([str(i) for i in range(lists[0].n)])
    if values != "weight":
        table = columns(slot(data, key, "edges") if is_anndata(data) else data, ["source", "target", values])
        (strength,) = align(table, genes=list(names), value=values)
        # a contribution has no sign of its own: it takes the sign of the weight
        sign = np.sign(lists[0].values_at(strength.key))
        lists = (EdgeList(strength.n, strength.key, np.abs(strength.value) * sign, names).nonzero(), *lists[1:])
    return names, [to_matrix(edges) for edges in lists]


def to_matrix(edges: EdgeList) -> sparse.csr_array:
    """Return the edges as a matrix, row regulates column."""
    edges = edges.nonzero()
    return sparse.csr_array((edges.value, (edges.source, edges.target)), shape=(edges.n, edges.n))


def positions(wanted: Iterable[str] | str, names: pd.Index, *, argument: str = "genes") -> NDArray[np.int64]:
    """Return where the wanted genes stand in `names`; an error names all unknown ones, with near matches."""
    listed = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    if not listed:
        raise ValueError(f"{argument} is empty: name at least one gene, or leave it out.")
    check_unique(names, "adata.var_names")
    return all_genes(listed, names, argument, error=ValueError)


def named(argument: str, wanted: str | Iterable[str] | None, known: Iterable[str]) -> list[str]:
    """Return the names asked for, or all that are known; an error names the first that is not."""
    names = [str(name) for name in known]
    listed = names if wanted is None else [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    for name in listed:
        check_choice(argument, name, names)
    return listed


def embedding_of(adata: AnnData, basis: str, *, finite: bool = False) -> tuple[str, NDArray[np.float64]]:
    """Return the name and the first two columns of an embedding, under `basis` or `X_basis`; `finite`: of every cell."""
    if not is_anndata(adata):
        raise TypeError(f"adata must be an AnnData, found {type(adata).__name__}.")
    options = (basis, f"X_{basis}", basis.removeprefix("X_"))
    name = next((option for option in options if option in adata.obsm), None)
    if name is None:
        raise KeyError(f"No embedding {basis!r} in adata.obsm.{suggest(basis, adata.obsm.keys())}")
    points = representation(adata, name, "basis", finite=finite)
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError(f"adata.obsm[{name!r}] has shape {points.shape}: two columns are needed.")
    return name.removeprefix("X_"), points[:, :2]


def expression(adata: AnnData, genes: Sequence[str], layer: str | None) -> NDArray[np.float64]:
    """Return (cells, genes) expression of a few genes, the only part of the matrix that is made dense."""
    if layer is not None and layer not in adata.layers:
        raise KeyError(f"No layer {layer!r}.{suggest(layer, [str(name) for name in adata.layers if name is not None])}")
    at = positions(genes, pd.Index(adata.var_names))
    chosen = adata[:, at]  # a view: reads these columns only, also from a backed file
    matrix = chosen.X if layer is None else chosen.layers[layer]
    if hasattr(matrix, "compute"):
        matrix = matrix.compute()
    return as_dense(matrix, np.float64)
