"""Results of paired modalities as a torch module and as tables: MuData in, nothing written."""

from typing import TYPE_CHECKING

import pandas as pd

from scdash._core.errors import NotFittedError
from scdash._core.keys import genes_of_modality, require_paired, stored_key
from scdash._core.process_state import guarded

if TYPE_CHECKING:
    from mudata import MuData

    from scdash.paired.bottleneck_module import SparseBottleneck


def model_from_mudata(mdata: "MuData", *, key: str = "sbnn") -> "SparseBottleneck":
    """Rebuild the network that `scdash.tl.sbnn` (or the linear one of `scdash.tl.srrr`) has fitted.

    `mdata`: MuData with the fit; also after writing, reading and subsetting. `key`: the `key_added` of the fit.

    Returns
    -------
    SparseBottleneck
        `model(x)` returns features for log expression x (cells, genes), with `model.gene_names` in the columns.

    Raises NotFittedError if no fit is stored under `key`.

    Examples
    --------
    >>> model = scdash.get.model(mdata, key="sbnn")  # doctest: +SKIP
    """
    from scdash.paired.bottleneck_module import module_from_entry

    entry = require_paired(mdata, key, "sbnn")
    if "weights" not in entry:
        raise NotFittedError(f"mdata.uns[{key!r}] holds no network; name the key_added of scdash.tl.sbnn.")
    return module_from_entry(entry)


@guarded
def selected_genes(mdata: "MuData", *, key: str | None = None) -> pd.DataFrame:
    """Return the selected genes, those with the largest weights first.

    Parameters
    ----------
    mdata
        MuData with a fit of `scdash.tl.sbnn` or `scdash.tl.srrr`.
    key
        The `key_added` of the fit; None: "sbnn", or that of the only fit, such as "srrr".

    Returns
    -------
    DataFrame
        Table with columns `gene` and `norm` (of its first-layer weights, before pruning).

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.

    See Also
    --------
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).
    scdash.get.gene_selection : Return how often each gene was selected, the most frequent first.

    Examples
    --------
    >>> len(scdash.get.selected_genes(mdata))
    4
    """
    key = stored_key(mdata, key)
    entry = require_paired(mdata, key, "sbnn")
    norms = pd.Series(entry["norms"], index=list(entry["masks"]["genes"]))
    names = [str(name) for name in entry["genes"]]
    table = pd.DataFrame({"gene": names, "norm": norms.loc[names].to_numpy()})
    return genes_of_modality(mdata, entry, key).rows(table, "gene").reset_index(drop=True)


@guarded
def feature_scores(mdata: "MuData", *, key: str = "sbnn_cv") -> pd.DataFrame:
    """Return the cross-validated R2 of every method and feature.

    Parameters
    ----------
    mdata
        MuData that `scdash.tl.cross_validate_sbnn` has written to.
    key
        Its `key_added`.

    Returns
    -------
    DataFrame
        Table with columns `method`, `feature` ("all": over all features together, what the report says of a method),
        `mean` and `sd` over folds, `n_genes`; `attrs["report"]` in words.

    Raises
    ------
    NotFittedError
        If no cross-validation is stored under `key`.

    See Also
    --------
    scdash.tl.cross_validate_sbnn : Cross-validate a sparse bottleneck network, with linear models on the same folds beside it.
    scdash.pl.feature_scores : Draw cross-validated R2 of every feature as bars, one standard deviation over folds (paper: Figure 3).

    Examples
    --------
    >>> scdash.get.feature_scores(mdata).columns.tolist()
    ['method', 'feature', 'mean', 'sd', 'n_genes']
    """
    entry = require_paired(mdata, key, "cross_validate_sbnn")
    table = pd.DataFrame(entry["summary"]).copy()
    table.attrs["report"] = str(entry["report"])
    return table


@guarded
def gene_selection(mdata: "MuData", *, key: str = "sbnn_stability") -> pd.DataFrame:
    """Return how often each gene was selected, the most frequent first.

    Parameters
    ----------
    mdata
        MuData that `scdash.tl.stability` has written to.
    key
        Its `key_added`: "srrr_stability" of regressions.

    Returns
    -------
    DataFrame
        Table with columns `gene`, `frequency`, `count`, `norm`; `attrs["report"]` in words.

    Raises
    ------
    NotFittedError
        If no repeats are stored under `key`.

    See Also
    --------
    scdash.tl.stability : Repeat a fit on data drawn again and count how often each gene, or each edge of a network, is selected.
    scdash.pl.gene_selection : Draw how often genes were selected over repeats, and how many genes how often (paper: Figure 4).

    Examples
    --------
    >>> scdash.get.gene_selection(mdata).columns.tolist()
    ['gene', 'frequency', 'count', 'norm']
    """
    entry = require_paired(mdata, key, "stability")
    table = pd.DataFrame(entry["selection"]).copy()
    table = genes_of_modality(mdata, entry, key, table["gene"]).rows(table, "gene").reset_index(drop=True)
    table.attrs["report"] = str(entry["report"])
    return table
