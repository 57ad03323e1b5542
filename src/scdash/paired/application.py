"""Applying a fitted network to cells: those of the fit, or new ones."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from scdash._core.errors import NotFittedError, check_choice
from scdash._core.fit_genes import fit_genes
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import require_paired
from scdash._core.logging import logger
from scdash._core.types import StartLike
from scdash.paired.result import predict
from scdash.paired.store import gene_values, prediction_slots

MISSING_GENES = ("raise", "mean")
FAR = 5.0  # standard deviations of the training cells, on average over cells and genes; about 0.8 for cells like those


def predict_mudata(
    mdata: MuData,  # MuData that `scdash.tl.sbnn` or `scdash.tl.srrr` has written to
    start: StartLike | None = None,
    *,
    key: str = "sbnn",  # the `key_added` of the fit
    layer: str | None = None,  # layer to read; None: X for new cells, the layer of the fit for those of `mdata`
    missing_genes: Literal["raise", "mean"] = "raise",
) -> AnnData:
    """Predict the features of cells with a network or a sparse reduced-rank regression fitted on `mdata`.

    `start`: the cells: an AnnData of log expression normalised as the training cells were (for `pp.normalize_paired`:
    with the same `target_sum`), a MuData with such a modality, a DataFrame (cells by genes); None: those of `mdata`.
    `missing_genes`: "raise" where a gene of the model is absent, or put its training "mean" there, with a warning.

    The result is an AnnData, (cells, features): `X` predicted features in their own units, `obsm["X_<key>"]` the
    bottleneck, `obsm["<key>_genes"]` the genes as the autoencoder head draws them, standardised, in the order of
    `uns["<key>_genes"]`.

    Raises NotFittedError if no fit is stored under `key`. Raises KeyError if genes are absent and
    `missing_genes="raise"`.

    Examples
    --------
    >>> predicted = scdash.tl.predict(mdata, new_cells, key="sbnn")  # doctest: +SKIP
    """
    check_choice("missing_genes", missing_genes, MISSING_GENES)
    entry = require_paired(mdata, key)
    name = str(entry["params"]["x"])
    cells = new_cells(mdata if start is None else start, name)
    if not isinstance(start, pd.DataFrame):
        where = f"mdata[{name!r}]" if start is None else "start"
        layer = FitSettings.of(entry, key).layer_of(cells, layer, name=where)
    if "weights" not in entry:
        raise NotFittedError(f"mdata.uns[{key!r}] holds no network; name the key_added of scdash.tl.sbnn or srrr.")
    genes, scales = [str(gene) for gene in entry["genes"]], entry["scales"]
    absent = [gene for gene in genes if gene not in cells.var_names]
    if len(absent) == len(genes):
        fit_genes(cells, genes, f"mdata.uns[{key!r}]")
    if absent and missing_genes == "mean":
        logger.warning(
            "    %d of the model's %d genes are not in the cells and take their training mean: %s",
            len(absent),
            len(genes),
            ", ".join(absent[:8]),
        )
    fill = np.asarray(scales["gene_mean"]) if missing_genes == "mean" else None
    expression = gene_values(cells, name, genes, layer, fill)
    warn_if_far(expression, np.asarray(scales["gene_mean"]), np.asarray(scales["gene_scale"]))
    said = predict(entry["weights"], scales, expression)
    slots = prediction_slots(said)
    values = said.features * np.asarray(scales["feature_scale"]) + np.asarray(scales["feature_mean"])
    result = AnnData(
        X=values.astype(np.float32),
        obs=pd.DataFrame(index=cells.obs_names),
        var=pd.DataFrame(index=pd.Index([str(name) for name in entry["features"]])),
        obsm={f"X_{key}": said.latent},
    )
    if "genes" in slots:
        result.obsm[f"{key}_genes"] = slots["genes"]
        result.uns[f"{key}_genes"] = np.array(genes, dtype=object)
    return result


def warn_if_far(expression: NDArray[Any], mean: NDArray[Any], scale: NDArray[Any]) -> None:
    """Warn where cells (cells, genes) lie far from those that a model was trained on, or are counts, beside log values."""
    far = float(np.abs((expression - mean) / np.where(scale > 0, scale, 1)).mean()) if expression.size else 0.0
    if far > FAR:
        logger.warning(
            "    the genes of these cells lie %.0f standard deviations from the means of the training cells, on average: "
            "normalise them as those were (for scdash.pp.normalize_paired: with the same target_sum)",
            far,
        )
    elif expression.size and expression.max() > 1 and bool((expression == np.round(expression)).all()):
        logger.warning(
            "    the values of these cells are whole numbers up to %.0f, as raw counts are: normalise them as the training "
            "cells were, unless these were counts, too (allow_counts=True)",
            expression.max(),
        )


def new_cells(start: StartLike, name: str) -> AnnData:
    """Return the AnnData that holds the cells' expression."""
    modalities = getattr(start, "mod", None)
    if isinstance(modalities, Mapping):
        if name not in modalities:
            raise KeyError(f"start: the MuData has no modality {name!r}, found {list(modalities)}.")
        return modalities[name]
    if isinstance(start, pd.DataFrame):
        names = {
            axis: pd.DataFrame(index=labels.astype(str))
            for axis, labels in zip(("obs", "var"), start.axes, strict=True)
        }
        return AnnData(start.to_numpy(dtype=np.float32), **names)
    if isinstance(start, AnnData):
        return start
    raise TypeError(f"start must be an AnnData, a MuData or a DataFrame of cells, found {type(start).__name__}.")
