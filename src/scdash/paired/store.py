"""Writing a network to MuData, reading it back and applying it to cells."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.errors import suggest
from scdash._core.fit_record import stamp
from scdash._core.labels import check_key
from scdash._data import Expression, as_dense, sanitise
from scdash._data.mudata import refuse_view
from scdash.paired.reading import Paired, modality, read_matrix
from scdash.paired.result import BottleneckFit, Prediction, predict

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scdash.paired.evaluation import Evaluation

VERSIONED = ("scdash", "torch", "mudata", "anndata", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Return the versions of what made a result; linear fits work where torch is not installed."""
    found = {}
    for name in VERSIONED:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def check_slots(mdata: "MuData", x: str, y: str, key: object) -> None:
    """Raise unless results can be written to `mdata` under `key`."""
    modality(mdata, x, "x")
    modality(mdata, y, "y")
    check_key(key)
    if key in mdata.mod or f"X_{key}" in mdata.mod:
        raise ValueError(f"key_added={key!r} clashes with a modality of mdata ({list(mdata.mod)}); choose another.")
    refuse_view(mdata)


def store_network(
    mdata: "MuData", fit: BottleneckFit, data: Paired, found: "Evaluation", params: Mapping[str, Any], key: str
) -> list[str]:
    """Write the fit and return a line for each slot, for the log."""
    x, y = str(params["x"]), str(params["y"])
    predictors, responses = mdata.mod[x], mdata.mod[y]
    entry = sanitise(stamp(_entry(fit, data, found, params)))
    said = predict(fit.weights, fit.scales, gene_values(predictors, x, entry["genes"], params["layer"]))
    slots = prediction_slots(said)
    first = np.asarray(fit.weights["encoder_0_weight"])
    columns = predictors.var_names.get_indexer(data.genes)
    chosen = columns[fit.selected]
    split = split_labels(mdata.obs_names, data.cells, fit)
    in_own_units = said.features * fit.y_scale.scale + fit.y_scale.mean

    mdata.uns[key] = entry
    mdata.obsm[f"X_{key}"] = spread(said.latent, predictors.obs_names, mdata.obs_names)
    mdata.obs[f"{key}_split"] = split
    predictors.var[f"{key}_selected"] = np.isin(np.arange(predictors.n_vars), chosen)
    predictors.var[f"{key}_norm"] = scatter(fit.norms, columns, predictors.n_vars)
    weights = sp.lil_matrix((predictors.n_vars, first.shape[1]), dtype=np.float32)
    weights[chosen] = first
    predictors.varm[key] = weights.tocsr()
    for name, table in slots.items():
        predictors.obsm[f"{key}_{name}"] = table
    responses.layers[key] = spread(in_own_units.astype(np.float32), predictors.obs_names, responses.obs_names)
    return [
        f"added obsm['X_{key}'], the bottleneck; obs['{key}_split'], cells for training and test",
        f"added mdata[{x!r}].var['{key}_selected'] and ['{key}_norm'], .varm[{key!r}], genes and their weights",
        f"added predictions: mdata[{x!r}].obsm {', '.join(repr(f'{key}_{name}') for name in slots)}; "
        f"mdata[{y!r}].layers[{key!r}]",
        f"added uns[{key!r}], network, history, metrics",
    ]


def _entry(fit: BottleneckFit, data: Paired, found: "Evaluation", params: Mapping[str, Any]) -> dict[str, Any]:
    selected = np.zeros(len(data.genes), dtype=bool)
    selected[fit.selected] = True
    return {
        "params": {**params, "versions": versions()},
        "genes": np.asarray(data.genes[fit.selected], dtype=str),
        "features": np.asarray(data.features, dtype=str),
        "weights": fit.weights,
        "scales": fit.scales,
        "masks": {"genes": np.asarray(data.genes, dtype=str), "selected": selected},
        "norms": fit.norms,
        "history": fit.history,
        "metrics": found.metrics,
        "per_feature": found.per_feature,
        "cells": {"n_x": data.n_x, "n_y": data.n_y, "n_both": len(data.cells), "n_incomplete": data.n_incomplete},
        "report": found.report,
    }


def prediction_slots(said: Prediction) -> dict[str, NDArray[np.float32]]:
    """Return both heads' predictions (cells, columns); the names of the columns are `features` and `genes` of the fit.

    Arrays, because h5ad makes a path of a column name that holds a slash.
    """
    slots = {"features": np.asarray(said.features, dtype=np.float32)}
    if said.genes is not None:
        slots["genes"] = np.asarray(said.genes, dtype=np.float32)
    return slots


def split_labels(all_cells: pd.Index, used: pd.Index, fit: BottleneckFit) -> pd.Categorical:
    """Return train, test or unused for every cell of the MuData."""
    labels = np.full(len(all_cells), "unused", dtype=object)
    places = all_cells.get_indexer(used)
    labels[places[fit.fold.train]] = "train"
    labels[places[fit.fold.test]] = "test"
    return pd.Categorical(labels, categories=["train", "test", "unused"])


def spread(values: NDArray[Any], of: pd.Index, onto: pd.Index) -> NDArray[Any]:
    """Return rows of cells `of` in the order of cells `onto`; NaN for cells that have none."""
    rows = of.get_indexer(onto)
    return np.where((rows >= 0)[:, None], values[rows], np.nan).astype(values.dtype)


def scatter(values: NDArray[Any], columns: NDArray[np.intp], size: int) -> NDArray[np.float32]:
    """Return `values` at `columns`, NaN elsewhere."""
    full = np.full(size, np.nan, dtype=np.float32)
    full[columns] = values
    return full


def gene_values(
    adata: "AnnData", x: str, genes: Sequence[str] | NDArray[Any], layer: str | None, fill: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """Return expression (cells, genes) of named genes; absent ones raise, or take the value of `fill`."""
    places = adata.var_names.get_indexer(list(genes))
    absent = np.flatnonzero(places < 0)
    if len(absent) and fill is None:
        name = str(genes[absent[0]])
        raise KeyError(
            f"{len(absent)} of the model's {len(genes)} genes are not in the new cells: "
            f"{', '.join(str(genes[i]) for i in absent[:8])}.{suggest(name, adata.var_names)} Pass missing_genes='mean' "
            "to put the training mean in their place."
        )
    values = np.zeros((adata.n_obs, len(genes)), dtype=np.float32)
    if fill is not None:
        values[:, absent] = fill[absent]
    present = np.flatnonzero(places >= 0)
    if len(present):
        values[:, present] = _columns(read_matrix(adata, layer, f"mdata[{x!r}]"), places[present])
    return values


def _columns(values: Expression, columns: NDArray[np.intp]) -> NDArray[Any]:
    return np.concatenate([as_dense(block[:, columns]) for _, block in values.blocks()])
