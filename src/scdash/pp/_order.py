"""Cells in order: diffusion pseudotime over scanpy, with a root that is checked and a graph that must hold together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import check_choice, suggest
from scdash._core.labels import check_key
from scdash._core.logging import logger, step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash._data import (
    CellGroups,
    as_dense,
    check_adata,
    expression,
    gene_indices,
    group_cells,
    log_missing,
    obs_column,
    representation,
    sanitise,
    writable,
)
from scdash._data.neighbors import add_neighbors
from scdash.pp._path_shape import PathShape, path_shape, shape_warning

Root: TypeAlias = str | tuple[str, object] | Mapping[str, str]


@dataclass(frozen=True)
class _Graph:
    method: Literal["gauss", "umap"]
    n_neighbors: int
    n_dcs: int
    seed: int


@guarded
def order_cells(
    adata: AnnData,
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
) -> AnnData | None:
    """Order cells from a root by diffusion pseudotime (Haghverdi et al. 2016), per lineage and batch if named.

    Runs :func:`scanpy.pp.neighbors` and :func:`scanpy.tl.diffmap`; times are those of :func:`scanpy.tl.dpt`, except that
    slow components count (those that it takes for stationary carry the order of long paths). A missing root and a graph
    in several pieces, which scanpy answers with a warning or with infinite times, are errors here.

    One pseudotime is for cells on one line. The log warns where cells lie on a loop (a cycle such as the cell cycle: two
    ways round lead to the same late cells) and where the path forks (late cells fall into groups that are far apart).
    The remedy is `lineage_key` here and `trajectory_key` in :func:`scdash.tl.fit_dynamics`, which also takes weights of
    cells in lineages. Short side branches and branches that join again are not always noticed.

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
    AnnData or None
        None, or the copy. Written:
    `adata.obs[key_added]` : float64
        (cells,), 0 at the root, 1 at the farthest cell
    `adata.uns[key_added]` : dict
        `roots`, a table `lineage`, `batch`, `root` (name of the cell; "all" where no lineage or batch was named),
        `shape` (a table: `group`, `shape` "line", "loop" or "fork", and `detour`, how much farther late cells are
        from each other than on one line, as a fraction of the way to the root), and `params`

    See Also
    --------
    scdash.pp.trajectories : Smooth cells into one trajectory of time bins per lineage and batch.
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.pl.embedding : Draw cells on an embedding.

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.datasets.hsmm()
    >>> scdash.pp.order_cells(adata, root={"CDK1": "high", "MYOG": "low"})
    >>> float(adata.obs["dpt_pseudotime"].min())
    0.0
    """
    check_adata(adata, min_cells=4)
    check_key(key_added)
    check_choice("method", method, ("gauss", "umap"))
    groups = _groups(adata, lineage_key, batch_key)
    graph = _Graph(method, n_neighbors, n_dcs, int(as_generator(rng).integers(2**31 - 1)))
    _check_root(adata, root)
    with step(f"ordering {adata.n_obs} cells") as added:
        log_missing(groups.code < 0, adata.n_obs, "lineage or batch")
        space = _representation(adata, use_rep, layer, graph.seed, groups.code >= 0)
        time, found, shapes = np.full(adata.n_obs, np.nan), [], []
        for code, name in enumerate(groups.names):
            cells = np.flatnonzero(groups.code == code)
            time[cells], chosen, shape = _order_group(adata, cells, name, space[cells], root, layer, graph)
            found.append(str(adata.obs_names[chosen]))
            shapes.append(shape)
        roots = pd.DataFrame({"lineage": groups.lineage, "batch": groups.batch, "root": found}).astype(object)
        for name, shape in zip(groups.names, shapes, strict=True):
            if shape.kind != "line":
                logger.warning(shape_warning(shape, name, key_added))
        adata = writable(adata, copy=copy)
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
        table = pd.DataFrame(
            {"group": list(groups.names), "shape": [s.kind for s in shapes], "detour": [s.detour for s in shapes]}
        )
        params |= {"use_rep": use_rep, "layer": layer}
        adata.uns[key_added] = sanitise({"roots": roots, "shape": table, "params": params})
        shown = ", ".join(f"{cell} ({name})" for cell, name in zip(found, groups.names, strict=True))
        added.append(f"adata.obs[{key_added!r}], from {shown}")
    return adata if copy else None


def _groups(adata: AnnData, lineage_key: str | None, batch_key: str | None) -> CellGroups:
    """Return the group of each cell; cells without a label are in none."""
    lineage = None if lineage_key is None else obs_column(adata, lineage_key, "lineage_key")
    batch = None if batch_key is None else obs_column(adata, batch_key, "batch_key")
    return group_cells(adata.n_obs, lineage, batch)


def _check_root(adata: AnnData, root: Root) -> None:
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


def _equal(column: pd.Series, value: object) -> NDArray[np.bool_]:
    """Return where a column holds a value; 1 and "1" are the same, since categories are often read as text."""
    return np.asarray((column == value) | (column.astype(str) == str(value)), dtype=bool)


def _representation(
    adata: AnnData, use_rep: str | None, layer: str | None, seed: int, rows: NDArray[np.bool_]
) -> NDArray[np.floating[Any]]:
    """Return the coordinates that neighbours are sought in, (cells, k); those of `rows` are finite."""
    import scanpy as sc

    known = [key for key in ("X_pca", "pca") if key in adata.obsm and layer is None]  # scanpy 1.13 may write either
    if use_rep is not None or known:
        return representation(adata, use_rep or known[0], "use_rep", rows=rows)
    values = expression(adata, layer=layer)
    if values.like_counts:
        logger.warning(
            "    %s looks like raw counts (integers up to %g): cells will lie in the order of their depth rather than of their "
            "state. Run scdash.pp.normalize(adata) first.", values.name, values.maximum,
        )  # fmt: skip
    parts: list[Any] = [block for _, block in values.blocks()]
    X: Any = sp.vstack(parts).tocsr() if sp.issparse(parts[0]) else np.concatenate(parts)
    if X.shape[1] <= 50:
        return as_dense(X)
    return np.asarray(sc.pp.pca(X, n_comps=min(50, X.shape[0] - 1, X.shape[1] - 1), random_state=seed))


def _order_group(
    adata: AnnData,
    cells: NDArray[np.int64],
    name: str,
    space: NDArray[np.floating[Any]],
    root: Root,
    layer: str | None,
    graph: _Graph,
) -> tuple[NDArray[np.float64], int, PathShape]:
    """Return the pseudotime of one group's cells, the row of its root in adata, and the shape of its path."""
    import scanpy as sc

    if len(cells) < 4:
        raise ValueError(f"Group {name!r} has {len(cells)} cells; too few to order.")
    if not np.ptp(space, axis=0).any():
        raise ValueError(f"The {len(cells)} cells of {name!r} are all alike: there is nothing to order them by.")
    first, same = _distinct(space)
    if len(first) < len(cells):
        if isinstance(root, str) and root in adata.obs_names[cells]:
            root = str(adata.obs_names[cells[first[same[adata.obs_names[cells].get_loc(root)]]]])
        time, chosen, shape = _order_group(adata, cells[first], name, space[first], root, layer, graph)
        return time[same], chosen, shape
    work = AnnData(obs=adata.obs.iloc[cells][[]].copy(), obsm={"space": space})
    add_neighbors(work, n_neighbors=graph.n_neighbors, use_rep="space", method=graph.method, seed=graph.seed)
    _check_connected(work.obsp["connectivities"], adata.obs.iloc[cells], name, graph.n_neighbors)
    # the first component is constant; the eigenvalue solver needs fewer components than cells
    sc.tl.diffmap(work, n_comps=max(2, min(max(15, graph.n_dcs), len(cells) - 2)), random_state=graph.seed)
    at = _find_root(adata, cells, name, work, root, layer)
    place = _diffusion_space(work)[:, : graph.n_dcs]
    time = np.sqrt(((place - place[at]) ** 2).sum(1))
    time /= max(time.max(), 1e-300)
    return time, int(cells[at]), path_shape(work.obsp["connectivities"], place, time, seed=graph.seed)


def _distinct(space: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first cell of each set of identical cells, and the number of the set of every cell.

    Identical cells get the same time. With more of them than neighbours, the adaptive kernel would have no width.
    """
    _, first, same = np.unique(space, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[same.ravel()]


def _diffusion_space(work: AnnData) -> NDArray[np.float64]:
    """Return coordinates whose distances are diffusion pseudotime, psi_k lambda_k / (1 - lambda_k).

    :func:`scanpy.tl.dpt` takes every component with lambda >= 0.9994 for a stationary one and gives it no weight. Many
    cells on a long path have such components, and they carry its order (`tests/pp/test_neighbors.py` has an example). Here
    the graph is known to hold together, so that the first component alone is stationary.
    """
    values = np.asarray(work.uns["diffmap_evals"], dtype=np.float64)
    left = np.maximum(1 - values, 1e-6)  # eigenvalues are rounded to single precision
    weight = np.where(np.arange(len(values)) == 0, 0.0, values / left)
    place: NDArray[np.float64] = np.asarray(work.obsm["X_diffmap"], dtype=np.float64) * weight
    return place


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
        f"leads from one to the other, so they cannot be ordered from one root. Raise n_neighbors (now {n_neighbors}), "
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
    adata: AnnData, cells: NDArray[np.int64], name: str, work: AnnData, root: Root, layer: str | None
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


def _extreme(work: AnnData, inside: NDArray[np.bool_]) -> int:
    """Return the cell of a group that lies farthest from the rest, on the line between their means."""
    place = _diffusion_space(work)
    if inside.all():
        return int(np.argmax(((place - place.mean(0)) ** 2).sum(1)))
    away = place[inside].mean(0) - place[~inside].mean(0)
    return int(np.argmax(np.where(inside, place @ away, -np.inf)))


def _root_by_genes(
    adata: AnnData, cells: NDArray[np.int64], connectivities: Any, root: Mapping[str, str], layer: str | None
) -> int:
    """Return the cell with the most extreme mean z-score, averaged over neighbours so that dropouts do not decide."""
    found = expression(adata, layer=layer, genes=list(root)).dense()[cells]
    sign = np.array([1.0 if side == "high" else -1.0 for side in root.values()])
    z = (found - found.mean(0)) / np.maximum(found.std(0), 1e-12)
    near = sp.csr_matrix(connectivities) + sp.identity(len(cells), format="csr")
    return int(np.argmax(near @ (z @ sign) / np.asarray(near.sum(1)).ravel()))
