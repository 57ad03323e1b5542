"""Checks of what a user hands over: one function per question, each error naming the argument and the remedy."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import check_data, suggest
from scdash._core.keys import SCREENS_CHOOSE, has_screen
from scdash._core.types import Genes
from scdash._data.genes import all_genes, present_genes
from scdash._data.labels import holds_flags, read_flags, read_labels
from scdash._data.time import Times, read_time

if TYPE_CHECKING:
    from anndata import AnnData


def check_adata(adata: "AnnData", *, min_cells: int = 2) -> None:
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


def obs_column(adata: "AnnData", key: str, argument: str) -> pd.Series:
    """Return `adata.obs[key]`, or say which columns come near."""
    check_data(adata)
    if isinstance(key, list | tuple):
        raise TypeError(
            f"{argument} is the name of one column of adata.obs, not a {type(key).__name__} of names. Cells of several "
            "lineages with a pseudotime for each: put tables of times and of weights, with the same columns, into obsm."
        )
    if key not in adata.obs:
        raise KeyError(f"{argument}={key!r} is not a column of adata.obs.{suggest(key, adata.obs.columns)}")
    column: pd.Series = adata.obs[key]
    return column


def times_of(adata: "AnnData", key: str, argument: str = "time_key", *, finite: bool = True) -> Times:
    """Return the times in column `key` of obs and their unit, checked: readable, finite (unless told) and not constant."""
    if argument == "time_key" and key == "dpt_pseudotime" and key not in adata.obs:
        raise KeyError(
            f"{argument}={key!r} is not a column of adata.obs: order the cells first with "
            f"scdash.pp.order_cells(adata, root=...), or name the column.{suggest(key, adata.obs.columns)}"
            f"{' ' + SCREENS_CHOOSE if has_screen(adata) else ''}"
        )
    return read_time(obs_column(adata, key, argument), f"adata.obs[{key!r}]", finite=finite)


def group_codes(values: Any, name: str, *, missing: bool = False) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return (codes, names) of group labels; order of the categories, or sorted when there are none.

    What counts as a missing label (code -1) is the rule of `read_labels`.
    """
    column = read_labels(values)
    codes = np.asarray(column.cat.codes, dtype=np.int64)
    lost = int((codes < 0).sum())
    if lost and not missing:
        raise ValueError(f"{name} has no value for {lost} of {len(codes)} observations; fill or drop them.")
    if lost == len(codes):
        raise ValueError(f"{name} has no value for any observation.")
    return codes, tuple(str(category) for category in column.cat.categories)


def gene_indices(adata: "AnnData", genes: str | Iterable[str], argument: str = "genes") -> NDArray[np.int64]:
    """Return the positions of gene names in `adata.var_names`; an error names all absent ones, with near matches."""
    return all_genes(genes, adata.var_names, argument, where="adata.var_names")


def gene_mask(adata: "AnnData", mask_var: Genes | None = None, *, limit: int | None = None) -> NDArray[np.bool_]:
    """Return the genes to model: those of `mask_var` (see `chosen_genes`), else highly variable ones, else all.

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
    return chosen_genes(adata, mask_var, "mask_var")


def chosen_genes(adata: "AnnData", chosen: Genes, argument: str) -> NDArray[np.bool_]:
    """Return which genes of `adata` an argument chooses, (n_vars,): a column of flags in var, flags, or a list of names.

    Names that are not in the data are left out and counted in the log (`present_genes`).
    """
    if isinstance(chosen, str):
        if chosen not in adata.var:
            raise KeyError(f"{argument}={chosen!r} is not a column of adata.var.{suggest(chosen, adata.var.columns)}")
        mask = read_flags(adata.var[chosen], f"{argument}={chosen!r}: adata.var[{chosen!r}]")
    else:
        mask = _flags_or_names(adata, chosen, argument)
    if not mask.any():
        raise ValueError(f"{argument} selects no gene.")
    return mask


def _flags_or_names(adata: "AnnData", chosen: Genes, argument: str) -> NDArray[np.bool_]:
    values: Any = chosen if hasattr(chosen, "dtype") else list(chosen)
    if np.ndim(values) != 1:
        raise ValueError(f"{argument} must have one entry per gene ({adata.n_vars}), found shape {np.shape(values)}.")
    if len(values) and holds_flags(values):
        if len(values) != adata.n_vars:
            raise ValueError(f"{argument} must have one flag per gene ({adata.n_vars}), found {len(values)}.")
        same_genes = isinstance(values, pd.Series) and set(values.index) == set(adata.var_names)
        return read_flags(values.reindex(adata.var_names) if same_genes else values, argument)
    names = [name for name in values if not pd.isna(name) and str(name).strip()]
    if any(not isinstance(name, str) for name in names):
        raise TypeError(
            f"{argument} must be flags (one per gene, {adata.n_vars}), the name of a column of adata.var, or a list of names "
            f"of genes; found {getattr(values, 'dtype', type(next(iter(values))).__name__)} of length {len(values)}."
        )
    mask = np.zeros(adata.n_vars, dtype=bool)
    mask[present_genes(names, adata.var_names, argument, adata.var)] = True
    return mask


def flag_genes(adata: "AnnData", chosen: Genes, genes: pd.Index, argument: str) -> NDArray[np.int64]:
    """Return the positions of chosen genes among the modelled ones, from flags in var or a list of names.

    Names that are not in the data are left out and counted in the log (`scdash._data.chosen_genes`).
    """
    names = adata.var_names[chosen_genes(adata, chosen, argument)]
    found = np.flatnonzero(genes.isin(names))
    if not len(found):
        raise ValueError(f"{argument}: none of the {len(names)} is among the {len(genes)} modelled genes.")
    return found
