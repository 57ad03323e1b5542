"""Reading two paired modalities from MuData: checks, the cells they share, the matrices of genes and features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from scdash._core.errors import check_choice, suggest
from scdash._core.logging import logger
from scdash._core.types import FoldsLike, Genes
from scdash._data import Expression, as_dense, as_expression, check_unique, gene_mask, matrix_of

Missing = Literal["raise", "cells", "entries"]


@dataclass(frozen=True)
class Paired:
    """Cells in both modalities: log expression of the genes to choose from, and the features to predict.

    `cells`, `genes`, `features`: names. `n_x`, `n_y`, `n_incomplete`: cells of either modality, and cells left out
    because features were missing.
    """

    matrix: Any  # cells by genes, dense float32 or CSR
    features_matrix: NDArray[np.float64]  # cells by features, float64, NaN where a value is missing
    cells: pd.Index
    genes: pd.Index
    features: pd.Index
    n_x: int
    n_y: int
    n_incomplete: int = 0


def read_paired(
    mdata: MuData,
    x: str,
    y: str,
    *,
    layer: str | None = None,
    y_layer: str | None = None,
    mask_var: Genes | None = None,
    missing: Missing = "raise",
    allow_counts: bool = False,
) -> Paired:
    """Return what to learn from, or raise saying which argument does not fit and what to do."""
    check_choice("missing", missing, get_args(Missing))
    predictors, responses = modality(mdata, x, "x"), modality(mdata, y, "y")
    if x == y:
        raise ValueError(f"x and y are both {x!r}; name two different modalities of {list(mdata.mod)}.")
    shared = shared_cells(mdata, predictors, responses, x, y)
    genes = gene_mask(predictors, mask_var)
    values = read_matrix(predictors, layer, f"mdata[{x!r}]", genes)
    if not allow_counts:
        check_not_counts(values, x)
    features = read_features(responses, y_layer, y, responses.obs_names.get_indexer(shared))
    keep = complete_cells(features, responses.var_names, y, missing)
    cells = shared[keep]
    lost = len(shared) - len(cells)
    if lost:
        logger.info("    %d of %d cells lack a feature and are left out", lost, len(shared))
    check_features(features[keep], responses.var_names, y)
    return Paired(
        take_rows(values, predictors.obs_names.get_indexer(cells)),
        features[keep],
        cells,
        predictors.var_names[genes],
        responses.var_names,
        predictors.n_obs,
        responses.n_obs,
        lost,
    )


def modality(mdata: MuData, name: str, argument: str) -> Any:
    """Return one modality, checked: MuData given, the name known, cells and columns named uniquely."""
    if not isinstance(getattr(mdata, "mod", None), Mapping):
        hint = (
            " Two paired modalities are needed: mudata.MuData({'rna': adata, 'ephys': features})."
            if hasattr(mdata, "obs")
            else ""
        )
        raise TypeError(f"mdata must be a MuData, found {type(mdata).__name__}.{hint}")
    if name not in mdata.mod:
        raise KeyError(f"{argument}={name!r} is not a modality of mdata.{suggest(str(name), mdata.mod)}")
    found = mdata.mod[name]
    if found.n_obs == 0 or found.n_vars == 0:
        raise ValueError(f"mdata[{name!r}] is empty ({found.n_obs} cells x {found.n_vars} columns).")
    check_unique(found.var_names, f"mdata[{name!r}].var_names")
    check_unique(found.obs_names, f"mdata[{name!r}].obs_names")
    return found


def shared_cells(mdata: MuData, predictors: Any, responses: Any, x: str, y: str) -> pd.Index:
    """Return the cells in both modalities, in the order of `mdata.obs_names`, and say how many are not."""
    both = predictors.obs_names.isin(responses.obs_names)
    common = predictors.obs_names[both]
    if not len(common):
        raise ValueError(
            f"mdata[{x!r}] and mdata[{y!r}] share no cell: their names look like {predictors.obs_names[0]!r} and "
            f"{responses.obs_names[0]!r}. Rename the cells of one modality (mdata[{y!r}].obs_names = ...) and build "
            "the MuData again."
        )
    if len(common) < 4:
        raise ValueError(f"mdata[{x!r}] and mdata[{y!r}] share {len(common)} cell(s); at least 4 are needed.")
    if len(common) < max(predictors.n_obs, responses.n_obs):
        logger.info(
            "    %d cells are in both modalities (%d only in %r, %d only in %r)",
            len(common),
            predictors.n_obs - len(common),
            x,
            responses.n_obs - len(common),
            y,
        )
    order: pd.Index = mdata.obs_names[mdata.obs_names.isin(common)]
    return order if len(order) == len(common) else common


def read_matrix(adata: AnnData, layer: str | None, name: str, columns: NDArray[np.bool_] | None = None) -> Expression:
    """Return X or a layer of a modality, checked to be finite, not yet loaded."""
    where, matrix = matrix_of(adata, layer, name=name)
    chosen = None if columns is None or columns.all() else np.flatnonzero(columns)
    genes = adata.var_names if chosen is None else adata.var_names[chosen]
    return as_expression(matrix, genes, name=where, columns=chosen)


def check_not_counts(values: Expression, x: str) -> None:
    """Raise when expression looks like counts (all integers) or linear (too large for logarithms)."""
    linear = values.maximum > 40
    if values.like_counts or linear:
        seen = f"values up to {values.maximum:g}" + (", all integers" if values.integers else "")
        raise ValueError(
            f"{values.name} looks like raw counts ({seen}). The networks are made for log values: run "
            f"scdash.pp.normalize_paired(mdata, x={x!r}) first, pass the layer that holds log values, or say "
            "allow_counts=True."
        )


def read_features(adata: AnnData, layer: str | None, y: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the features of some cells, NaN kept."""
    _, matrix = matrix_of(adata, layer, name=f"mdata[{y!r}]", argument="y_layer")
    block = matrix[rows] if not hasattr(matrix, "to_memory") else matrix[rows, :]
    if hasattr(block, "compute"):
        block = block.compute()
    values = as_dense(block, np.float64)
    if np.isinf(values).any():
        cell, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(
            f"mdata[{y!r}] holds an infinite value: cell {adata.obs_names[rows[cell]]!r}, feature "
            f"{adata.var_names[column]!r}. Set it to NaN and choose missing=, or drop it."
        )
    return values


def complete_cells(values: NDArray[np.float64], names: pd.Index, y: str, missing: Missing) -> NDArray[np.bool_]:
    """Return the cells to use, or raise about missing values when not told what to do with them."""
    gaps = np.isnan(values)
    if gaps.any() and missing == "raise":
        worst = names[int(gaps.sum(axis=0).argmax())]
        raise ValueError(
            f"mdata[{y!r}] has {int(gaps.sum())} missing values in {int(gaps.any(axis=1).sum())} of {len(values)} "
            f"cells, most in feature {worst!r}. Pass missing='cells' to leave those cells out, or missing='entries' to "
            "leave out only the missing entries."
        )
    keep = ~gaps.any(axis=1) if missing == "cells" else ~gaps.all(axis=1)
    if keep.sum() < 4:
        raise ValueError(
            f"missing={missing!r} leaves {int(keep.sum())} of {len(values)} cells of mdata[{y!r}]; drop the features "
            "that are missing most often first."
        )
    return np.asarray(keep)


def check_features(values: NDArray[np.float64], names: pd.Index, y: str) -> None:
    """Raise when a feature is constant: there is nothing to predict, and R2 has no meaning."""
    spread = np.nanmax(values, axis=0, initial=-np.inf) - np.nanmin(values, axis=0, initial=np.inf)
    flat = names[~(spread > 0)]
    if len(flat):
        raise ValueError(
            f"{len(flat)} feature(s) of mdata[{y!r}] are constant or empty over the cells used: {list(flat[:5])}. "
            f"Drop them, e.g. mdata.mod[{y!r}] = mdata[{y!r}][:, keep].copy(), then mdata.update()."
        )


def take_rows(values: Expression, rows: NDArray[np.intp]) -> Any:
    """Load some cells of the chosen genes: CSR stays CSR, everything else becomes a float32 array."""
    blocks, kept = [], np.argsort(rows, kind="stable")
    wanted = rows[kept]
    for part, block in values.blocks():
        inside = wanted[(wanted >= part.start) & (wanted < part.stop)] - part.start
        blocks.append(block[inside])
    stacked = sp.vstack(blocks, format="csr") if sp.issparse(blocks[0]) else np.concatenate(blocks)
    back = np.empty(len(rows), dtype=np.intp)
    back[kept] = np.arange(len(rows))
    return stacked[back].astype(np.float32)


def fold_labels(mdata: MuData, data: Paired, folds: FoldsLike) -> int | NDArray[Any]:
    """Return the number of folds, or a label for every cell used."""
    if isinstance(folds, (int, np.integer)) and not isinstance(folds, bool):
        return int(folds)
    if isinstance(folds, str):
        if folds not in mdata.obs:
            raise KeyError(f"folds={folds!r} is not a column of mdata.obs.{suggest(folds, mdata.obs.columns)}")
        folds = mdata.obs[folds]
    labels = pd.Series(np.asarray(folds))
    if len(labels) != mdata.n_obs:
        raise ValueError(f"folds must have one label per cell of mdata ({mdata.n_obs}), found {len(labels)}.")
    return np.asarray(labels.to_numpy()[mdata.obs_names.get_indexer(data.cells)])
