"""Results of paired modalities as a torch module and as tables: MuData in, nothing written."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from scdash._core.process_state import guarded
from scdash._errors import NotFittedError
from scdash._keys import genes_of_modality, require_paired

if TYPE_CHECKING:
    from mudata import MuData

    from scdash.bottleneck import SparseBottleneck


def model_from_mudata(mdata: Any, *, key: str = "sbnn") -> "SparseBottleneck":
    """Rebuild the network that `scdash.tl.sbnn` (or the linear one of `scdash.tl.srrr`) has fitted.

    Parameters
    ----------
    mdata
        MuData with the fit; also after writing, reading and subsetting.
    key
        The `key_added` of the fit.

    Returns
    -------
    SparseBottleneck
        `model(x)` returns features for log expression x (cells, genes), with `model.gene_names` in the columns.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.

    Examples
    --------
    >>> model = scdash.get.model(mdata, key="sbnn")  # doctest: +SKIP
    """
    from scdash.bottleneck import module_from_entry

    entry = require_paired(mdata, key, "sbnn")
    if "weights" not in entry:
        raise NotFittedError(f"mdata.uns[{key!r}] holds no network; name the key_added of scdash.tl.sbnn.")
    return module_from_entry(entry)


@guarded
def selected_genes(mdata: "MuData", *, key: str = "sbnn") -> pd.DataFrame:
    """Return the selected genes, those with the largest weights first.

    Parameters
    ----------
    mdata
        MuData with a fit of `scdash.tl.sbnn` or `scdash.tl.srrr`.
    key
        The `key_added` of the fit.

    Returns
    -------
    Table with columns `gene` and `norm` (of its first-layer weights, before pruning).

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    """
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
    Table with columns `method`, `feature` ("all": multivariate), `mean`, `sd`, `n_genes`; `attrs["report"]` in words.

    Raises
    ------
    NotFittedError
        If no cross-validation is stored under `key`.
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
        Its `key_added`.

    Returns
    -------
    Table with columns `gene`, `frequency`, `count`, `norm`; `attrs["report"]` in words.

    Raises
    ------
    NotFittedError
        If no repeats are stored under `key`.
    """
    entry = require_paired(mdata, key, "stability")
    table = pd.DataFrame(entry["selection"]).copy()
    table = genes_of_modality(mdata, entry, key, table["gene"]).rows(table, "gene").reset_index(drop=True)
    table.attrs["report"] = str(entry["report"])
    return table
