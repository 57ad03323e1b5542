"""Preprocessing of paired modalities: depth-normalised log2 counts, genes chosen by their dropout rate."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from scdash._core.errors import check_choice, suggest
from scdash._core.labels import check_key
from scdash._core.logging import logger, step
from scdash._core.process_state import guarded
from scdash._core.types import Genes
from scdash._data import (
    Expression,
    as_dense,
    as_expression,
    check_counts,
    check_unique,
    gene_mask,
    matrix_of,
    writable,
)

NAMES = {"depth": "log2(1 + x) of counts by depth", "clr": "centred log ratio"}
PROTEINS = {"prot", "prots", "protein", "proteins", "adt", "adts", "ab", "antibody", "antibodies", "cite"}
FEW_GENES = 100  # features below which depth normalisation is questioned


@guarded
def normalize_paired(
    mdata: MuData | AnnData,
    *,
    x: str = "rna",
    method: Literal["auto", "depth", "clr"] = "auto",
    target_sum: float | None = None,
    mask_var: Genes | None = None,
    layer: str | None = None,
    counts_layer: str | None = "counts",
    copy: bool = False,
) -> MuData | AnnData | None:
    r"""Normalise the counts of one modality: genes by depth, proteins by their centred log ratio.

    "depth" is :math:`\log_2(1 + s\, c / \sum c)`, as Bernaerts, Berens & Kobak do for genes; the sum of a cell runs over the
    genes of `mask_var` (all by default), s is the median sum. It makes a cell's counts parts of a whole, which suits
    thousands of genes. Of a few proteins (antibody tags) a single abundant one would make all others look low, so that
    they take the centred log ratio, "clr": :math:`\log(1 + c) - \mathrm{mean}\, \log(1 + c)` over the proteins of a cell
    (Stoeckius et al. 2017). Standardisation is left to the models, which learn it on their training cells.

    Parameters
    ----------
    mdata
        MuData, or the AnnData of the genes alone.
    x
        Modality to normalise.
    method
        "depth", "clr", or "auto": "clr" where `var["feature_types"]` says that most features are antibodies or proteins,
        or the name of the modality does ("prot", "protein", "adt", ...), else "depth". The log names the choice.
    target_sum
        s of "depth"; None: the median sum. To normalise NEW cells for a fitted model pass the s of the training cells, which is
        kept in `uns["normalize_paired"]["target_sum"]`.
    mask_var
        Features whose counts are summed, or whose mean logarithm is the centre of "clr": boolean array or var column;
        None: all of the modality.
    layer
        Layer that holds the counts, if X does not.
    counts_layer
        Layer to keep the counts in; None: do not keep them.
    copy
        Return a changed copy instead of changing `mdata`.

    Returns
    -------
    MuData or None
        None, or the copy. Written to the modality:
    `.X` : float32
        "depth": dense or CSR as it was, log2; "clr": dense, natural logarithms, below 0 for half of the features
    `.layers["counts"]` : the counts as they were
    `.uns["normalize_paired"]` : dict
        `method`, and `target_sum` of "depth"

    Raises
    ------
    ValueError
        If the values are logged already, a cell has no counts, or `target_sum` is given for "clr".

    See Also
    --------
    scdash.pp.select_by_dropout : Mark genes that are missing from more cells than their level where present would suggest.
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).

    Examples
    --------
    >>> mdata = scdash.simulate.paired()
    >>> scdash.pp.normalize_paired(mdata)
    """
    target = writable(mdata, copy=copy)
    adata = _modality(target, x)
    if adata.isbacked:
        raise ValueError(
            f"{x!r} is backed: its X cannot be rewritten in place. Use mdata.mod[{x!r}].to_memory() first."
        )
    mask = np.ones(adata.n_vars, dtype=bool) if mask_var is None else gene_mask(adata, mask_var)
    counts = _counts(adata, layer, x)
    chosen = _chosen_method(adata, method, x, target_sum)
    with step(f"normalising {x!r} ({NAMES[chosen]})") as added:
        sums = np.concatenate([np.asarray(block[:, mask].sum(axis=1)).ravel() for _, block in counts.blocks()])
        if not (sums > 0).all():
            empty = adata.obs_names[int(np.argmin(sums))]
            raise ValueError(
                f"{int((sums <= 0).sum())} cell(s) have no counts over the features summed, first {empty!r}. Filter them "
                "out, or widen mask_var."
            )
        settings: dict[str, Any] = {"method": chosen}
        if chosen == "clr":
            values: Any = np.concatenate([_centred_log(block, mask) for _, block in counts.blocks()])
        else:
            settings["target_sum"] = goal = float(np.median(sums) if target_sum is None else target_sum)
            if not goal > 0:
                raise ValueError(f"target_sum must be positive, found {target_sum}.")
            blocks = [_log2(block, goal / sums[part]) for part, block in counts.blocks()]
            values = sp.vstack(blocks, format="csr") if sp.issparse(blocks[0]) else np.concatenate(blocks)
        if counts_layer is not None:
            adata.layers[counts_layer] = adata.X.copy() if layer is None else adata.layers[layer].copy()
            added.append(f"added .layers[{counts_layer!r}], the counts")
        adata.X = values
        adata.uns["normalize_paired"] = settings
        added.append(f"changed .X of {x!r} ({NAMES[chosen]})")
    return target if copy else None


def _chosen_method(adata: AnnData, method: str, x: str, target_sum: float | None) -> str:
    """Return "depth" or "clr"; the choice of "auto" goes by what the features are said to be."""
    check_choice("method", method, ("auto", *NAMES))
    chosen = method
    if method == "auto":
        chosen = "clr" if _are_proteins(adata, x) else "depth"
        logger.info("method='auto': %s for the %d features of %r", NAMES[chosen], adata.n_vars, x)
        if chosen == "depth" and adata.n_vars < FEW_GENES:
            logger.warning(
                "%r has only %d features: depth normalisation makes them parts of a whole, so that one abundant feature "
                "lowers all others. If they are proteins, pass method='clr'.",
                x,
                adata.n_vars,
            )
    if chosen == "clr" and target_sum is not None:
        raise ValueError(f"target_sum={target_sum!r} is for method='depth'; the centred log ratio has no target sum.")
    return chosen


def _are_proteins(adata: AnnData, x: str) -> bool:
    if "feature_types" in adata.var:
        kinds = adata.var["feature_types"].astype(str).str.lower()
        return bool(kinds.str.contains("antibody|protein").mean() > 0.5)
    return bool(set(re.split(r"[^a-z]+", x.lower())) & PROTEINS)


def _centred_log(block: Any, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return log(1 + c) less its mean over the features of `mask`, cell by cell."""
    logs = np.log1p(as_dense(block, np.float64))
    return np.asarray(logs - logs[:, mask].mean(axis=1, keepdims=True), dtype=np.float32)


@guarded
def select_by_dropout(
    mdata: MuData | AnnData,
    *,
    x: str = "rna",
    n_top_genes: int = 1000,
    threshold: float = 0.0,
    min_cells: int = 10,
    decay: float = 1.5,
    offset: float = 0.02,
    layer: str | None = None,
    key_added: str = "highly_variable",
    copy: bool = False,
) -> MuData | AnnData | None:
    r"""Mark genes that are missing from more cells than their level where present would suggest.

    A gene is kept where its fraction of zeros exceeds :math:`e^{-a(\mu - x_0)} + b`, :math:`\mu` being its mean log2 count
    over the cells that have it; :math:`x_0` is bisected to keep `n_top_genes` (Kobak & Berens 2019; the rule behind
    the genes of the sBNN paper). scanpy's highly variable genes do as well.

    Parameters
    ----------
    mdata
        MuData, or the AnnData of the genes alone, with counts.
    x
        Modality of the genes.
    n_top_genes
        Genes to keep.
    threshold
        Counts up to this one count as zero (the paper used 30 for reads; 0 suits UMIs).
    min_cells
        Genes above the threshold in fewer cells are never kept.
    decay, offset
        a and b.
    layer
        Layer that holds the counts, if X does not.
    key_added
        Column of var to write.
    copy
        Return a changed copy instead of changing `mdata`.

    Returns
    -------
    MuData or None
        None, or the copy. Written to the modality's var: `highly_variable` (bool), `dropout_rate` (fraction of zeros) and
        `mean_log2` (mean log2 count where present; NaN for genes below `min_cells`).

    See Also
    --------
    scdash.pp.normalize_paired : Normalise the counts of one modality: genes by depth, proteins by their centred log ratio.
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).

    Examples
    --------
    >>> scdash.pp.select_by_dropout(mdata, n_top_genes=1000, threshold=30)  # doctest: +SKIP
    """
    check_key(key_added)
    target = writable(mdata, copy=copy)
    adata = _modality(target, x)
    counts = _counts(adata, layer, x)
    with step("selecting genes by dropout rate") as added:
        rate, level = dropout_statistics(counts, threshold, min_cells)
        usable = np.isfinite(level)
        if not 1 <= n_top_genes <= usable.sum():
            raise ValueError(
                f"n_top_genes={n_top_genes}, but {int(usable.sum())} genes are above the threshold {threshold:g} in at "
                f"least {min_cells} cells. Lower n_top_genes, threshold or min_cells."
            )
        chosen, shift = select_above_curve(rate, level, n_top_genes, decay=decay, offset=offset)
        adata.var[key_added] = chosen
        adata.var["dropout_rate"] = rate
        adata.var["mean_log2"] = level
        added.append(f"added .var[{key_added!r}] of {x!r}, {int(chosen.sum())} genes (x0 = {shift:.2f})")
    return target if copy else None


def dropout_statistics(
    counts: Expression, threshold: float, min_cells: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each gene's fraction of values <= threshold, and the mean log2 of the others (NaN below `min_cells`)."""
    genes = len(counts.genes)
    above, total = np.zeros(genes), np.zeros(genes)
    for _, block in counts.blocks():
        found = sp.csr_matrix(block)
        found.data = np.where(found.data > threshold, found.data, 0)
        found.eliminate_zeros()
        above += np.bincount(found.indices, minlength=genes)
        total += np.bincount(found.indices, weights=np.log2(found.data), minlength=genes)
    level = np.where(above >= max(min_cells, 1), total / np.maximum(above, 1), np.nan)
    return 1 - above / counts.shape[0], level


def select_above_curve(
    rate: NDArray[np.float64], level: NDArray[np.float64], number: int, *, decay: float = 1.5, offset: float = 0.02
) -> tuple[NDArray[np.bool_], float]:
    """Return the genes above exp(-decay (level - x0)) + offset, and the x0 that keeps `number` of them.

    A gene is above the curve for every x0 below x0_i = level + log(rate - offset) / decay, so x0 is a quantile of the
    x0_i: what bisection converges to. Genes with rate <= offset are never above it, ties are broken by order.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        margin = level + np.log(rate - offset) / decay
    margin = np.where(np.isfinite(margin), margin, -np.inf)
    order = np.argsort(-margin, kind="stable")
    kept = order[:number]
    kept = kept[np.isfinite(margin[kept])]
    chosen = np.zeros(len(rate), dtype=bool)
    chosen[kept] = True
    return chosen, float(margin[kept[-1]]) if len(kept) else float("nan")


def _modality(mdata: MuData, x: str) -> Any:
    if isinstance(getattr(mdata, "mod", None), Mapping):
        if x not in mdata.mod:
            raise KeyError(f"x={x!r} is not a modality of mdata.{suggest(x, mdata.mod)}")
        mdata = mdata.mod[x]
    elif not (hasattr(mdata, "layers") and hasattr(mdata, "var_names")):
        raise TypeError(f"mdata must be a MuData or an AnnData, found {type(mdata).__name__}.")
    if mdata.n_obs == 0 or mdata.n_vars == 0:
        raise ValueError(f"{x!r} is empty ({mdata.n_obs} cells x {mdata.n_vars} genes).")
    check_unique(mdata.var_names, f"{x}.var_names")
    return mdata


def _counts(adata: AnnData, layer: str | None, x: str) -> Expression:
    name, matrix = matrix_of(adata, layer, name=x)
    counts = as_expression(matrix, adata.var_names, name=name)
    check_counts(counts)
    return counts


def _log2(block: Any, factors: NDArray[np.float64]) -> Any:
    if sp.issparse(block):
        scaled = sp.diags(factors) @ block
        scaled.data = np.log2(1 + scaled.data)
        return scaled.tocsr().astype(np.float32)
    return np.log2(1 + np.asarray(block) * factors[:, None]).astype(np.float32)
