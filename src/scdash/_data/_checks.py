"""Checks of what a user hands over: one function per question, each error naming the argument and the remedy."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._errors import check_data, suggest


def check_adata(adata: Any, *, min_cells: int = 2) -> None:
    """Raise unless `adata` is an AnnData with at least `min_cells` observations and one gene, and unique gene names."""
    check_data(adata)
    if hasattr(adata, "mod"):
        raise TypeError(
            f"adata must be an AnnData, found {type(adata).__name__}. Pass one of its modalities, e.g. mdata.mod['rna']."
        )
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise ValueError(f"adata is empty ({adata.n_obs} observations x {adata.n_vars} genes).")
    if adata.n_obs < min_cells:
        raise ValueError(f"adata has {adata.n_obs} observation(s); at least {min_cells} are needed.")
    check_unique(adata.var_names, "adata.var_names")


def check_unique(names: pd.Index, argument: str) -> None:
    """Raise when names occur twice: results are filed by gene name."""
    if not names.is_unique:
        twice = names[names.duplicated()].unique()
        shown = ", ".join(map(repr, twice[:5]))
        remedy = f"Run {argument}_make_unique()" if argument.endswith("_names") else "Name each once"
        remedy += ", or sum the rows of one gene." if "var_names" in argument else "."
        raise ValueError(
            f"{argument} holds {len(twice)} name(s) more than once ({shown}{', ...' if len(twice) > 5 else ''}). "
            f"{remedy}"
        )


def obs_column(adata: Any, key: str, argument: str) -> pd.Series:
    """Return `adata.obs[key]`, or say which columns come near."""
    check_data(adata)
    if key not in adata.obs:
        raise KeyError(f"{argument}={key!r} is not a column of adata.obs.{suggest(key, adata.obs.columns)}")
    return adata.obs[key]


def time_column(adata: Any, key: str, argument: str = "time_key", *, finite: bool = True) -> NDArray[np.float64]:
    """Return the numeric column `key` of obs, checked: a number type, finite (unless told) and not constant."""
    if key not in adata.obs and argument == "time_key" and key == "dpt_pseudotime":
        raise KeyError(
            f"{argument}={key!r} is not a column of adata.obs: order the cells first with "
            f"scdash.pp.order_cells(adata, root=...), or name the column.{suggest(key, adata.obs.columns)}"
        )
    return check_time(obs_column(adata, key, argument), f"adata.obs[{key!r}]", finite=finite)


def check_time(time: Any, name: str, *, finite: bool = True) -> NDArray[np.float64]:
    """Return times as float64, or raise: not numeric, NaN or infinite, or one value only."""
    column = pd.Series(np.asarray(time)) if not isinstance(time, pd.Series) else time
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        raise TypeError(
            f"{name} must hold numbers, found dtype {column.dtype} (for example {column.iloc[0]!r}). Convert it, e.g. "
            "adata.obs[key].astype(str).str.extract(r'([0-9.]+)')[0].astype(float)."
        )
    values: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~np.isfinite(values)
    if finite and bad.any():
        raise ValueError(
            f"{name} is NaN or infinite for {int(bad.sum())} of {len(values)} observations. Cells that no path from "
            "the root reaches have an infinite pseudotime: order them per component, or subset first, e.g. "
            "adata = adata[np.isfinite(adata.obs[key])].copy()."
        )
    present = values[~bad]
    if present.size == 0 or present.min() == present.max():
        raise ValueError(f"{name} is constant ({present[:1].tolist()}): there is no time to learn dynamics along.")
    return values


def group_column(
    adata: Any, key: str | None, argument: str, *, missing: bool = False
) -> tuple[NDArray[np.int64], tuple[str, ...]] | None:
    """Return codes and names of the groups in `adata.obs[key]`; levels without a cell are left out.

    Cells without a value have code -1, which is an error unless `missing` is allowed. `key=None` gives None.
    """
    return (
        None if key is None else group_codes(obs_column(adata, key, argument), f"adata.obs[{key!r}]", missing=missing)
    )


def group_codes(values: Any, name: str, *, missing: bool = False) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return (codes, names) of group labels; order of the categories, or sorted when there are none."""
    column = pd.Series(values)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    column = column.cat.remove_unused_categories()
    codes = column.cat.codes.to_numpy(dtype=np.int64)
    lost = int((codes < 0).sum())
    if lost and not missing:
        raise ValueError(f"{name} has no value for {lost} of {len(codes)} observations; fill or drop them.")
    if lost == len(codes):
        raise ValueError(f"{name} has no value for any observation.")
    return codes, tuple(str(category) for category in column.cat.categories)


def gene_indices(adata: Any, genes: Any, argument: str = "genes") -> NDArray[np.int64]:
    """Return the positions of gene names in `adata.var_names`, or raise with near matches."""
    wanted = pd.Index([genes] if isinstance(genes, str) else genes)
    found = adata.var_names.get_indexer(wanted)
    if (found < 0).any():
        absent = wanted[found < 0]
        raise KeyError(
            f"{argument}: {len(absent)} of {len(wanted)} names are not in adata.var_names, first {absent[0]!r}."
            f"{suggest(str(absent[0]), adata.var_names)}"
        )
    return np.asarray(found, dtype=np.int64)


def gene_mask(adata: Any, mask_var: Any = None, *, limit: int | None = None) -> NDArray[np.bool_]:
    """Return the genes to model: `mask_var` (boolean array or var column), else highly variable ones, else all.

    More genes than `limit` with nothing chosen is an error that says how to choose.
    """
    if mask_var is None:
        if "highly_variable" in adata.var:
            return gene_mask(adata, "highly_variable")
        if limit is not None and adata.n_vars > limit:
            raise ValueError(
                f"adata has {adata.n_vars} genes and no var['highly_variable']; choose up to about {limit} with "
                "scdash.pp.normalize(adata, n_top_genes=...), or pass mask_var."
            )
        return np.ones(adata.n_vars, dtype=bool)
    if isinstance(mask_var, str):
        if mask_var not in adata.var:
            raise KeyError(f"mask_var={mask_var!r} is not a column of adata.var.{suggest(mask_var, adata.var.columns)}")
        mask_var = adata.var[mask_var]
    mask = np.asarray(mask_var)
    if mask.dtype != bool or mask.shape != (adata.n_vars,):
        raise ValueError(
            f"mask_var must be boolean with one entry per gene ({adata.n_vars}), found {mask.dtype} {mask.shape}."
        )
    if not mask.any():
        raise ValueError("mask_var selects no gene.")
    return mask
