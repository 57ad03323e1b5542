"""Counts to log-normalised expression, over scanpy."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from scdash._core.errors import unused
from scdash._core.logging import step
from scdash._core.process_state import guarded
from scdash._core.types import Genes
from scdash._data import (
    check_adata,
    check_counts,
    chosen_genes,
    expression,
    log_missing,
    obs_column,
    read_labels,
    writable,
)


@guarded
def normalize(
    adata: AnnData,
    *,
    target_sum: float | None = 1e4,
    n_top_genes: int | None = None,
    keep: Genes = (),
    batch_key: str | None = None,
    layer: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Scale every cell to the same total and take logarithms, :math:`x = \log(1 + s\, c / \sum c)`.

    Runs :func:`scanpy.pp.normalize_total`, :func:`scanpy.pp.log1p` and, with `n_top_genes`,
    :func:`scanpy.pp.highly_variable_genes`; what it adds are checks, since values logged twice ruin dynamics silently.

    Parameters
    ----------
    adata
        Cells by genes, counts (or other linear abundances such as FPKM) in X or in `layer`.
    target_sum
        Total of a cell after scaling; None: the median total.
    n_top_genes
        Mark that many highly variable genes, the default choice of every model.
    keep
        Genes to mark besides (regulators of interest, say), as `regulators` of a fit: names, flags, or a column of flags in
        var; needs `n_top_genes`. Names that are not in the data are left out and counted in the log.
    batch_key
        Column of obs: genes variable within batches, not between them. Cells without a label take no part in this choice.
    layer
        Layer that holds the counts, if X does not.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `adata.X` : float
        (cells, genes), natural logarithms
    `adata.uns["log1p"]` : as scanpy writes it
    `adata.var["highly_variable"]` : bool
        with `n_top_genes`; with scanpy's columns beside it

    See Also
    --------
    scdash.pp.order_cells : Order cells from a root by diffusion pseudotime (Haghverdi et al. 2016), per lineage and batch if named.
    scdash.pp.normalize_paired : Normalise the counts of one modality: genes by depth, proteins by their centred log ratio.
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> import numpy as np, anndata as ad, scdash
    >>> adata = ad.AnnData(np.random.default_rng(0).poisson(2.0, (50, 30)))
    >>> scdash.pp.normalize(adata)
    >>> bool(adata.X.max() < np.log1p(1e4))
    True
    """
    import scanpy as sc

    check_adata(adata, min_cells=1)
    if adata.isbacked:
        raise ValueError("adata is backed: its X cannot be rewritten in place. Use adata.to_memory() first.")
    counts = expression(adata, layer=layer, mask_var=np.ones(adata.n_vars, bool), min_cells=1)
    check_counts(counts)
    wanted: Any = [keep] if isinstance(keep, str) and keep not in adata.var else keep
    kept = chosen_genes(adata, wanted, "keep") if len(wanted) else np.zeros(adata.n_vars, dtype=bool)
    if kept.any() and n_top_genes is None:
        raise ValueError("keep marks genes beside the highly variable ones: pass n_top_genes too.")
    if batch_key is not None and n_top_genes is None:
        raise unused("batch_key", "it is for the choice of highly variable genes, which takes n_top_genes")
    adata = writable(adata, copy=copy)
    with step("normalising to log(1 + x)") as added:
        work = AnnData(_writable(counts.matrix), obs=adata.obs.copy(), var=adata.var[[]].copy())
        sc.pp.normalize_total(work, target_sum=target_sum)
        sc.pp.log1p(work)
        added.append("adata.X, natural logarithms")
        if n_top_genes is not None:
            labelled = work if batch_key is None else _with_batch(work, batch_key)
            sc.pp.highly_variable_genes(labelled, n_top_genes=min(n_top_genes, work.n_vars), batch_key=batch_key)
            work.var = labelled.var
            chosen = work.var["highly_variable"].to_numpy(dtype=bool, copy=True)
            chosen[kept] = True
            work.var["highly_variable"] = chosen
            added.append(f"adata.var['highly_variable'], {int(chosen.sum())} genes")
        adata.X = work.X
        adata.uns["log1p"] = {"base": None}
        for column in work.var:
            adata.var[column] = work.var[column]
    return adata if copy else None


def _with_batch(adata: AnnData, batch_key: str) -> AnnData:
    """Return the cells that have a batch; the others take no part in the choice of genes."""
    labels = read_labels(obs_column(adata, batch_key, "batch_key"))
    log_missing(labels.isna().to_numpy(), adata.n_obs, batch_key)
    chosen = adata[labels.notna().to_numpy()].copy()
    chosen.obs[batch_key] = labels[labels.notna()].to_numpy()
    chosen.obs[batch_key] = chosen.obs[batch_key].astype("category")
    return chosen


def _writable(matrix: Any) -> Any:
    """Return a float32 copy, which scanpy may change in place."""
    if hasattr(matrix, "compute"):  # dask is lazy, nothing is changed in place
        return matrix if matrix.dtype.kind == "f" else matrix.astype(np.float32)
    if isinstance(matrix, sp.sparray):  # `*` means another thing for sparse arrays, which scanpy 1.11 does not expect
        matrix = sp.csr_matrix(matrix)
    dtype = matrix.dtype if matrix.dtype.kind == "f" else np.dtype(np.float32)
    return matrix.astype(dtype, copy=True)
