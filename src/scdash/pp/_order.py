"""Cells in order: diffusion pseudotime over scanpy, with a root that is checked and a graph that must hold together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import (
    as_dense,
    check_adata,
    expression,
    gene_indices,
    group_codes,
    log_missing,
    obs_column,
    representation,
    sanitise,
)
from scdash._errors import suggest, unknown
from scdash._logging import logger, step
from scdash._random import RNG, as_generator

if TYPE_CHECKING:
    from anndata import AnnData

Root: TypeAlias = "str | tuple[str, Any] | Mapping[str, str]"


@dataclass(frozen=True)
class _Graph:
    method: str
    n_neighbors: int
    n_dcs: int
    seed: int


def order_cells(
    adata: "AnnData",
    *,
    root: Root,
    lineage_key: str | None = None,
    batch_key: str | None = None,
    n_neighbors: int = 15,
    n_dcs: int = 10,
    method: Literal["gauss", "umap"] = "gauss",
    use_rep: str | None = None,
    layer: str | None = None,
    key_added: str = "dpt_pseudotime",
    rng: RNG = 0,
    copy: bool = False,
) -> "AnnData | None":
    """Order cells from a root by diffusion pseudotime (Haghverdi et al. 2016), per lineage and batch if named.

    Runs :func:`scanpy.pp.neighbors`, :func:`scanpy.tl.diffmap` and :func:`scanpy.tl.dpt`. A missing root and a graph
    in several pieces, which scanpy answers with a warning or with infinite times, are errors here.

    Parameters
    ----------
    adata
        Cells by genes, log values.
    root
        Where the path starts: the name of a cell; `(column of obs, value)`, the cell of that group that lies farthest
        from all others along the way between them in diffusion space; or `{gene: "high" or "low", ...}`, the cell with
        the most extreme mean z-score of these genes, averaged over its neighbours.
    lineage_key, batch_key
        Columns of obs: cells of each lineage (in each batch) are ordered apart, each needing a root. Cells without a
        label get NaN. Times are comparable within a lineage and batch only.
    n_neighbors
        Neighbours in the graph.
    n_dcs
        Diffusion components of the distance.
    method
        Weights of the graph: "gauss", the adaptive kernel that diffusion pseudotime was made with, or "umap".
    use_rep
        Key of obsm for the neighbours; None: `X_pca` (or `pca`) if present, else 50 principal components of the
        highly variable genes (or all).
    layer
        Layer to read instead of X, for principal components and root genes.
    key_added
        Column of obs to write.
    rng
        Seed or Generator.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the copy. Written:

    `adata.obs[key_added]` : float64, (cells,), 0 at the root, 1 at the farthest cell
    `adata.uns[key_added]` : dict; roots chosen and parameters

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.datasets.hsmm()
    >>> scdash.pp.order_cells(adata, root={"CDK1": "high", "MYOG": "low"})
    >>> float(adata.obs["dpt_pseudotime"].min())
    0.0
    """
    check_adata(adata, min_cells=4)
    if method not in ("gauss", "umap"):
        raise unknown("method", method, ("gauss", "umap"))
    labels = _labels(adata, lineage_key, batch_key)
    graph = _Graph(method, n_neighbors, n_dcs, int(as_generator(rng).integers(2**31 - 1)))
    _check_root(adata, root)
    with step(f"ordering {adata.n_obs} cells") as added:
        log_missing(labels.isna().to_numpy(), adata.n_obs, "lineage or batch")
        space = _representation(adata, use_rep, layer, graph.seed, labels.notna().to_numpy())
        time, roots = np.full(adata.n_obs, np.nan), {}
        for name in labels.cat.categories:
            cells = np.flatnonzero(labels == name)
            time[cells], chosen = _order_group(adata, cells, name, space[cells], root, layer, graph)
            roots[name.replace("/", "|")] = str(adata.obs_names[chosen])
        adata = adata.copy() if copy else adata
        if key_added in adata.obs:
            logger.info("    overwriting adata.obs[%r]", key_added)
        adata.obs[key_added] = time
        params = {
            "method": method,
            "n_neighbors": n_neighbors,
            "n_dcs": n_dcs,
            "lineage_key": lineage_key,
            "batch_key": batch_key,
        }
        adata.uns[key_added] = sanitise({"roots": roots, "params": {**params, "use_rep": use_rep, "layer": layer}})
        added.append(f"adata.obs[{key_added!r}], from {', '.join(f'{root} ({name})' for name, root in roots.items())}")
    return adata if copy else None


def _labels(adata: "AnnData", lineage_key: str | None, batch_key: str | None) -> pd.Series:
    """Return the group of each cell as a categorical, NaN for cells in none."""
    columns = []
    for key, argument in ((lineage_key, "lineage_key"), (batch_key, "batch_key")):
        if key is not None:
            codes, names = group_codes(obs_column(adata, key, argument), f"adata.obs[{key!r}]", missing=True)
            columns.append(pd.Series(pd.Categorical.from_codes(codes, list(names))).astype(object))
    if not columns:
        return pd.Series(["all"] * adata.n_obs, dtype="category")
    joined = columns[0] if len(columns) == 1 else columns[0] + ":" + columns[1]
    return joined.astype("category")


def _check_root(adata: "AnnData", root: Any) -> None:
    if isinstance(root, str):
        if root not in adata.obs_names:
            raise KeyError(
                f"root={root!r} is not the name of a cell.{suggest(root, adata.obs_names)} A group of cells is named "
                "by root=(column of adata.obs, value), marker genes by root={gene: 'high'}."
            )
    elif isinstance(root, Mapping):
        gene_indices(adata, list(root), "root")
        wrong = [value for value in root.values() if value not in ("high", "low")]
        if wrong or not root:
            raise ValueError(f"root: each gene must be 'high' or 'low' at the start, found {wrong or 'no gene'}.")
    elif isinstance(root, tuple) and len(root) == 2:
        column = obs_column(adata, root[0], "root")
        if not _equal(column, root[1]).any():
            shown = sorted(map(str, column.dropna().unique()))
            raise ValueError(f"root: no cell has adata.obs[{root[0]!r}] == {root[1]!r}.{suggest(str(root[1]), shown)}")
    else:
        raise TypeError(
            "root must be the name of a cell, (column of adata.obs, value), or {gene: 'high' or 'low'}; found "
            f"{root!r} ({type(root).__name__})."
        )


def _equal(column: pd.Series, value: Any) -> NDArray[np.bool_]:
    """Return where a column holds a value; 1 and "1" are the same, since categories are often read as text."""
    return np.asarray((column == value) | (column.astype(str) == str(value)), dtype=bool)


def _representation(
    adata: "AnnData", use_rep: str | None, layer: str | None, seed: int, rows: NDArray[np.bool_]
) -> NDArray[np.floating[Any]]:
    """Return the coordinates that neighbours are sought in, (cells, k); those of `rows` are finite."""
    import scanpy as sc

    known = [key for key in ("X_pca", "pca") if key in adata.obsm and layer is None]  # scanpy 1.13 may write either
    if use_rep is not None or known:
        return representation(adata, use_rep or known[0], "use_rep", rows=rows)
    values = expression(adata, layer=layer)
    parts: list[Any] = [block for _, block in values.blocks()]
    X: Any = sp.vstack(parts).tocsr() if sp.issparse(parts[0]) else np.concatenate(parts)
    components = min(50, X.shape[0] - 1, X.shape[1] - 1)
    if X.shape[1] <= 50:
        return as_dense(X)
    return np.asarray(sc.pp.pca(X, n_comps=components, random_state=seed))


def _order_group(
    adata: "AnnData",
    cells: NDArray[np.int64],
    name: str,
    space: NDArray[np.floating[Any]],
    root: Root,
    layer: str | None,
    graph: _Graph,
) -> tuple[NDArray[np.float64], int]:
    """Return the pseudotime of one group's cells, and the row of its root in adata."""
    import scanpy as sc
    from anndata import AnnData

    if len(cells) < 4:
        raise ValueError(f"Group {name!r} has {len(cells)} cells; too few to order.")
    if not np.ptp(space, axis=0).any():
        raise ValueError(f"The {len(cells)} cells of {name!r} are all alike: there is nothing to order them by.")
    work = AnnData(obs=adata.obs.iloc[cells][[]].copy(), obsm={"space": space})
    sc.pp.neighbors(
        work,
        n_neighbors=min(graph.n_neighbors, len(cells) - 1),
        use_rep="space",
        method=graph.method,
        random_state=graph.seed,
    )
    _check_connected(work.obsp["connectivities"], adata.obs.iloc[cells], name, graph.n_neighbors)
    # the first component is constant; the eigenvalue solver needs fewer components than cells
    sc.tl.diffmap(work, n_comps=max(2, min(max(15, graph.n_dcs), len(cells) - 2)), random_state=graph.seed)
    at = _find_root(adata, cells, name, work, root, layer)
    work.uns["iroot"] = at
    sc.tl.dpt(work, n_dcs=min(graph.n_dcs, work.obsm["X_diffmap"].shape[1]))
    return work.obs["dpt_pseudotime"].to_numpy(dtype=np.float64), int(cells[at])


def _check_connected(connectivities: Any, obs: pd.DataFrame, name: str, n_neighbors: int) -> None:
    """Raise when the graph is in pieces, with their sizes and what distinguishes them."""
    pieces, label = sp.csgraph.connected_components(connectivities, directed=False)
    if pieces == 1:
        return
    sizes = np.bincount(label)
    order = np.argsort(-sizes)
    shown = "; ".join(f"{sizes[k]} cells{_who(obs, label == k)}" for k in order[:5])
    raise ValueError(
        f"The neighbour graph of {name!r} falls into {pieces} pieces ({shown}{'; ...' if pieces > 5 else ''}): no path "
        f"leads from one to the other, so they can not be ordered from one root. Raise n_neighbors (now {n_neighbors}), "
        "leave the stray cells out, or name the groups by lineage_key or batch_key."
    )


def _who(obs: pd.DataFrame, inside: NDArray[np.bool_]) -> str:
    """Return the label that tells a piece best from the rest, e.g. ", 98 % of them batch b2"."""
    best, text = 0.0, ""
    for column in obs:
        values = obs[column]
        if pd.api.types.is_float_dtype(values.dtype) or values.nunique() > 50:
            continue
        share = values[inside].value_counts(normalize=True)
        if share.empty:
            continue
        lift = float(share.iloc[0] - (values[~inside] == share.index[0]).mean())
        if lift > max(best, 0.2):
            best, text = lift, f", {share.iloc[0]:.0%} of them {column} = {share.index[0]}"
    return text


def _find_root(
    adata: "AnnData", cells: NDArray[np.int64], name: str, work: "AnnData", root: Root, layer: str | None
) -> int:
    """Return the position of the root within the group."""
    if isinstance(root, str):
        at = np.flatnonzero(adata.obs_names[cells] == root)
        if not len(at):
            raise ValueError(
                f"root={root!r} is not among the cells of {name!r}. With several lineages or batches each needs its "
                "own start: use root=(column of adata.obs, value) or root={gene: 'high'}."
            )
        return int(at[0])
    if isinstance(root, Mapping):
        return _root_by_genes(adata, cells, work.obsp["connectivities"], root, layer)
    inside = _equal(adata.obs[root[0]].iloc[cells], root[1])
    if not inside.any():
        raise ValueError(f"root: no cell of {name!r} has adata.obs[{root[0]!r}] == {root[1]!r}.")
    return _extreme(work, inside)


def _extreme(work: "AnnData", inside: NDArray[np.bool_]) -> int:
    """Return the cell of a group that lies farthest from the rest, on the line between their means.

    Coordinates are those whose distances are diffusion pseudotime: psi_k lambda_k / (1 - lambda_k).
    """
    values = np.asarray(work.uns["diffmap_evals"], dtype=np.float64)
    moving = values < 1 - 1e-6  # the stationary component carries no order
    place = np.asarray(work.obsm["X_diffmap"])[:, moving] * (values[moving] / (1 - values[moving]))
    if inside.all():
        return int(np.argmax(((place - place.mean(0)) ** 2).sum(1)))
    away = place[inside].mean(0) - place[~inside].mean(0)
    return int(np.argmax(np.where(inside, place @ away, -np.inf)))


def _root_by_genes(
    adata: "AnnData", cells: NDArray[np.int64], connectivities: Any, root: Mapping[str, str], layer: str | None
) -> int:
    """Return the cell with the most extreme mean z-score, averaged over neighbours so that dropouts do not decide."""
    found = expression(adata, layer=layer, genes=list(root)).dense()[cells]
    sign = np.array([1.0 if side == "high" else -1.0 for side in root.values()])
    z = (found - found.mean(0)) / np.maximum(found.std(0), 1e-12)
    near = sp.csr_matrix(connectivities) + sp.identity(len(cells), format="csr")
    score = near @ (z @ sign) / np.asarray(near.sum(1)).ravel()
    return int(np.argmax(score))
