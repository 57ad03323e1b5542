"""Figures of which edges and weights are exactly zero."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.keys import require_fit
from scdash._core.process_state import guarded
from scdash.metrics.edge_lists import GRN, align, is_anndata

if TYPE_CHECKING:
    from anndata import AnnData


class Confusion(NamedTuple):
    """Counts of pairs by network (exactly zero or not) and truth.

    See Also
    --------
    scdash.metrics.confusion : Count pairs of genes by whether the network's entry is exactly zero and whether the edge is true.
    """

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


@guarded
def confusion(
    grn: GRN,
    truth: GRN,
    *,
    exclude_self: bool = False,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
) -> Confusion:
    """Count pairs of genes by whether the network's entry is exactly zero and whether the edge is true.

    Parameters
    ----------
    grn
        The network: a matrix (row regulates column), a table (source, target[, weight]), or an AnnData with a fit.
    truth
        The true edges in any of these forms, or for an AnnData the name of a table in `uns` or a matrix in `varp`.
    exclude_self
        Leave pairs of a gene with itself out.
    genes
        Genes whose pairs are counted, see :func:`scdash.metrics.auprc`.
    key
        Name of the fit in the AnnData, or of a matrix in its `varp`.

    Returns
    -------
    Confusion
        Counts of true and false positives and negatives.

    See Also
    --------
    scdash.metrics.balanced_accuracy : Mean of the true positive and the true negative rate over all :math:`n^2` entries (DASH paper, B.5).
    scdash.metrics.f1 : Harmonic mean of precision and recall, :math:`2 TP / (2 TP + FP + FN)`; parameters as in :func:`confusion`.

    Examples
    --------
    >>> truth = adata.uns["truth"]
    >>> sum(scdash.metrics.confusion(adata, truth)) == adata.n_vars**2
    True
    """
    found, true = (network.nonzero() for network in align(grn, truth, genes=genes, key=key))
    pairs = found.n**2
    if exclude_self:
        found, true, pairs = found.without_self(), true.without_self(), pairs - found.n
    both = int(true.holds(found.key).sum())
    return Confusion(both, len(found) - both, len(true) - both, pairs - len(found) - len(true) + both)


@guarded
def balanced_accuracy(
    grn: GRN,
    truth: GRN,
    *,
    exclude_self: bool = False,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
) -> float:
    r"""Mean of the true positive and the true negative rate over all :math:`n^2` entries (DASH paper, B.5).

    An entry counts as an edge unless it is exactly zero, so that a dense network scores 0.5 however good its large
    weights are. Parameters as in :func:`confusion`.

    Returns
    -------
    float
        0 to 1; 0.5 for a network without any relation to the truth.

    See Also
    --------
    scdash.metrics.confusion : Count pairs of genes by whether the network's entry is exactly zero and whether the edge is true.
    scdash.metrics.f1 : Harmonic mean of precision and recall, :math:`2 TP / (2 TP + FP + FN)`; parameters as in :func:`confusion`.

    Examples
    --------
    >>> truth = adata.uns["truth"]
    >>> 0 <= scdash.metrics.balanced_accuracy(adata, truth) <= 1
    True
    """
    tp, fp, fn, tn = confusion(grn, truth, exclude_self=exclude_self, genes=genes, key=key)
    if tp + fn == 0 or tn + fp == 0:
        raise ValueError(f"truth holds {tp + fn} edges of {tp + fp + fn + tn} pairs: both kinds are needed.")
    return (tp / (tp + fn) + tn / (tn + fp)) / 2


@guarded
def f1(
    grn: GRN,
    truth: GRN,
    *,
    exclude_self: bool = True,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
) -> float:
    r"""Harmonic mean of precision and recall, :math:`2 TP / (2 TP + FP + FN)`; parameters as in :func:`confusion`.

    The "F1" printed in the PerturbODE paper is their arithmetic mean, which is never smaller.

    Returns
    -------
    float
        0 to 1.

    See Also
    --------
    scdash.metrics.balanced_accuracy : Mean of the true positive and the true negative rate over all :math:`n^2` entries (DASH paper, B.5).
    scdash.metrics.confusion : Count pairs of genes by whether the network's entry is exactly zero and whether the edge is true.

    Examples
    --------
    >>> truth = adata.uns["truth"]
    >>> 0 <= scdash.metrics.f1(adata, truth) <= 1
    True
    """
    tp, fp, fn, _ = confusion(grn, truth, exclude_self=exclude_self, genes=genes, key=key)
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan")


@guarded
def hypergeometric_p(
    grn: GRN,
    truth: GRN,
    *,
    exclude_self: bool = True,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
) -> float:
    """Chance that a random network with as many edges holds at least as many true ones (exact upper tail).

    What Monte Carlo over Erdos-Renyi graphs of the same number of edges estimates; parameters as in :func:`confusion`.

    Returns
    -------
    float
        0 to 1; small where more edges are true than chance explains.

    See Also
    --------
    scdash.metrics.f1 : Harmonic mean of precision and recall, :math:`2 TP / (2 TP + FP + FN)`; parameters as in :func:`confusion`.
    scdash.metrics.top_k_precision : Fraction of true edges among the `k` best pairs, ranked by absolute score; ties at the cut count by expectation.

    Examples
    --------
    >>> truth = adata.uns["truth"]
    >>> 0 <= scdash.metrics.hypergeometric_p(adata, truth) <= 1
    True
    """
    from scipy.stats import hypergeom

    tp, fp, fn, tn = confusion(grn, truth, exclude_self=exclude_self, genes=genes, key=key)
    return float(hypergeom.sf(tp - 1, tp + fp + fn + tn, tp + fn, tp + fp))


@guarded
def density(
    grn: GRN, *, exclude_self: bool = False, genes: Iterable[str] | None = None, key: str = "dynamics"
) -> float:
    """Fraction of pairs whose entry is not exactly zero; parameters as in :func:`confusion`.

    Returns
    -------
    float
        0 to 1.

    See Also
    --------
    scdash.metrics.sparsity : Fraction of exact zeros among the prunable weight matrices of a model.
    scdash.metrics.out_degree : Number of targets of every gene, genes without targets included; its mean is the papers' average out-degree.

    Examples
    --------
    >>> 0 < scdash.metrics.density(adata) < 1
    True
    """
    (found,) = align(grn, genes=genes, key=key)
    found, pairs = found.nonzero(), found.n**2
    if exclude_self:
        found, pairs = found.without_self(), pairs - found.n
    if pairs == 0:
        raise ValueError("grn: no pair of genes, of which no fraction can be taken.")
    return len(found) / pairs


@guarded
def out_degree(grn: GRN, *, genes: Iterable[str] | None = None, key: str = "dynamics") -> pd.Series:
    """Number of targets of every gene, genes without targets included; its mean is the papers' average out-degree.

    Parameters as in :func:`confusion`; the index holds the names of the genes, or their numbers for a bare matrix.

    Returns
    -------
    Series
        Number of targets, with the genes as index.

    See Also
    --------
    scdash.metrics.density : Fraction of pairs whose entry is not exactly zero; parameters as in :func:`confusion`.
    scdash.tl.network_stats : Count edges, hubs and signed motifs of the fitted network.

    Examples
    --------
    >>> degree = scdash.metrics.out_degree(adata)
    """
    (found,) = align(grn, genes=genes, key=key)
    index = pd.RangeIndex(found.n) if found.genes is None else found.genes
    return pd.Series(np.bincount(found.nonzero().source, minlength=found.n), index=index, name="out_degree")


@guarded
def sparsity(
    weights: "AnnData | Mapping[str, NDArray[Any] | sparse.sparray | sparse.spmatrix]", *, key: str = "dynamics"
) -> float:
    """Fraction of exact zeros among the prunable weight matrices of a model.

    For PHOENIX these are W_sums, W_prods, relu(v) U_sums and relu(v) U_prods together: the weights into a gene whose
    rate v is not positive count as zero. Biases and rates are no matrices and are left out.

    Parameters
    ----------
    weights
        Matrices by name, sparse or dense, as in ``uns["dynamics"]["weights"]``; or the AnnData.
    key
        Name of the fit in the AnnData.

    Returns
    -------
    float
        0 to 1.

    See Also
    --------
    scdash.metrics.density : Fraction of pairs whose entry is not exactly zero; parameters as in :func:`confusion`.

    Examples
    --------
    >>> 0 <= scdash.metrics.sparsity(adata) <= 1
    True
    """
    named: Any = require_fit(weights, key)["weights"] if is_anndata(weights) else weights
    if not isinstance(named, Mapping):
        raise TypeError(f"weights must be an AnnData or matrices by name, found {type(weights).__name__}.")
    rate = named.get("v")
    zeros = entries = 0
    for name, matrix in named.items():
        if len(getattr(matrix, "shape", ())) != 2:
            continue
        matrix = sparse.csr_array(matrix)
        if rate is not None and name.startswith("U"):
            matrix = sparse.diags_array(np.maximum(np.asarray(rate, dtype=np.float64), 0.0)) @ matrix
        entries += matrix.shape[0] * matrix.shape[1]
        zeros += matrix.shape[0] * matrix.shape[1] - int(matrix.count_nonzero())
    if not entries:
        raise ValueError(f"weights holds no matrix; found {list(named)}.")
    return zeros / entries
