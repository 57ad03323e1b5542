"""A network beside its truth and beside the prior it was given."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scdash._core.keys import require_fit
from scdash._core.process_state import guarded
from scdash.metrics._ranking import rank_pairs
from scdash.metrics.edge_lists import GRN, EdgeList, align, is_anndata

if TYPE_CHECKING:
    from anndata import AnnData


@guarded
def grn_report(
    grn: GRN,
    truth: GRN,
    prior: GRN | None = None,
    *,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
) -> pd.Series:
    """Compare a network with a known truth, and say what it adds to the prior it was given.

    Parameters
    ----------
    grn
        The table of ``scdash.get.grn`` (source, target, weight and, where present, contribution and score), a matrix
        (row regulates column), or the AnnData of a fit, whose own table is used.
    truth, prior
        Tables or matrices; for an AnnData also the name of a table in `uns` or a matrix in `varp`.
    genes
        Genes whose pairs are evaluated; default: the modelled genes of the AnnData, the rows of a matrix, or the names
        in the tables. Pass the modelled genes with tables: the prevalence and the true negatives depend on them.
    key
        Name of the fit in the AnnData.

    Returns
    -------
    Series
        Series with

        - `balanced_accuracy`: mean of true positive and true negative rate over all n^2 entries, exactly zero or not
        - `auprc`: average precision over the n (n - 1) pairs, ranked by relative contribution, or by absolute weight where
          there is none
        - `prevalence`: fraction of true edges among these pairs, the auprc of a random ranking
        - `auprc_score`: the same ranked by the column ``score``, unlisted pairs last (NaN without it)
        - `auprc_prior`, `balanced_accuracy_prior`: the same of the prior alone (NaN without a prior)
        - `edges_added`, `edges_dropped`: edges of the network that the prior lacks, and the reverse (NaN without a prior)
        - `edges_added_true`, `edges_dropped_false`: how many of these are true additions, and how many rightly dropped
        - `density`: fraction of the n^2 entries that are not zero

    See Also
    --------
    scdash.metrics.auprc : Area under the precision-recall curve of ranked edges (average precision).
    scdash.metrics.balanced_accuracy : Mean of the true positive and the true negative rate over all :math:`n^2` entries (DASH paper, B.5).
    scdash.get.grn : Return the network as a table of edges, strongest evidence first.

    Examples
    --------
    >>> truth = adata.uns["truth"]
    >>> report = scdash.metrics.grn_report(adata, truth, prior=adata.uns["prior"])
    >>> bool(0 <= report["auprc"] <= 1)
    True
    """
    columns: dict[str, GRN] = {"weight": grn}
    adata: AnnData = grn
    if is_anndata(grn):
        table = require_fit(adata, key).get("edges") if key not in adata.varp else None
    else:
        table = grn
    if isinstance(table, pd.DataFrame):
        columns |= {name: table for name in ("contribution", "score") if name in table}
    network, true, *rest = align(grn, truth, *([] if prior is None else [prior]), genes=genes, key=key)
    names = network.genes

    def ranked(name: str) -> EdgeList:
        return align(columns[name], genes=names, value=name)[0]

    by_weight = ranked("contribution") if "contribution" in columns else network
    blocks = rank_pairs(by_weight, true)
    report = {
        "balanced_accuracy": _balanced_accuracy(network, true),
        "auprc": blocks.average_precision(),
        "prevalence": float(blocks.true.sum() / blocks.size.sum()),
        "auprc_score": rank_pairs(ranked("score"), true, unlisted_last=True).average_precision()
        if "score" in columns
        else np.nan,
    }
    report |= _against_prior(network.nonzero(), true.nonzero(), rest[0].nonzero() if rest else None)
    report["density"] = len(network.nonzero()) / network.n**2
    return pd.Series(report, name="grn_report")


def _against_prior(network: EdgeList, true: EdgeList, prior: EdgeList | None) -> dict[str, float]:
    names = ("auprc_prior", "balanced_accuracy_prior", "edges_added", "edges_dropped")
    if prior is None:
        return dict.fromkeys((*names, "edges_added_true", "edges_dropped_false"), np.nan)
    added = np.setdiff1d(network.key, prior.key)
    dropped = np.setdiff1d(prior.key, network.key)
    return {
        "auprc_prior": rank_pairs(prior, true).average_precision(),
        "balanced_accuracy_prior": _balanced_accuracy(prior, true),
        "edges_added": float(len(added)),
        "edges_dropped": float(len(dropped)),
        "edges_added_true": float(true.holds(added).sum()),
        "edges_dropped_false": float((~true.holds(dropped)).sum()),
    }


def _balanced_accuracy(network: EdgeList, true: EdgeList) -> float:
    network, true = network.nonzero(), true.nonzero()
    both = int(true.holds(network.key).sum())
    negatives = network.n**2 - len(true)
    return (both / len(true) + 1 - (len(network) - both) / negatives) / 2
