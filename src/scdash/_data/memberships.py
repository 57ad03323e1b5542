"""Cells that belong to several lineages, each with a weight: tables of slingshot, Palantir or CellRank in `obsm`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.errors import suggest
from scdash._core.logging import logger
from scdash._data.labels import log_missing
from scdash._data.time import Times, read_time

if TYPE_CHECKING:
    from anndata import AnnData


SMALLEST = 0.05  # weights below this count as 0: a cell with 2 % of a lineage tells nothing about it
TOLERANCE = 0.01  # by which the sum of a row, or its largest weight, may differ from 1


@dataclass(frozen=True)
class Memberships:
    """One entry for each cell and lineage that it belongs to, sorted by cell."""

    cell: NDArray[np.int64]  # (entries,), row of the cell in adata
    lineage: pd.Series  # (entries,), categorical
    weight: NDArray[np.float64]  # (entries,), in (0, 1]


def is_membership_table(adata: "AnnData", key: str | None) -> bool:
    """Return whether a key names a table of `obsm` and no column of `obs`."""
    return isinstance(key, str) and key not in adata.obs and key in getattr(adata, "obsm", {})


def read_memberships(adata: "AnnData", key: str) -> Memberships:
    """Return the weights of every cell in every lineage in `adata.obsm[key]`.

    A row either sums to 1 (probabilities) or has 1 as its largest weight (masks of 0 and 1, and the weights of slingshot,
    which are 1 in every lineage that a shared progenitor belongs to). Cells whose weights are all 0 take no part.

    Raises ValueError, TypeError if weights are missing, negative, above 1, or sum to something else; the message
    counts the cells.
    """
    table = _table(adata, key, "trajectory_key")
    name = f"trajectory_key: adata.obsm[{key!r}]"
    weights = _checked(table.to_numpy(dtype=np.float64), name)
    kept = np.where(weights >= SMALLEST, weights, 0.0)
    log_missing(int((~kept.any(axis=1)).sum()), len(kept), key)
    used = np.count_nonzero(kept, axis=0)
    empty = [str(column) for column, cells in zip(table.columns, used, strict=True) if not cells]
    if empty:
        raise ValueError(f"{name} has no cell in lineage {empty[0]!r}. Leave the column out.")
    cell, code = np.nonzero(kept)
    shared = int((np.count_nonzero(kept, axis=1) > 1).sum())
    logger.info("    %d lineages; %d cells belong to several, with a weight in each", kept.shape[1], shared)
    lineage = pd.Series(pd.Categorical.from_codes(code, categories=pd.Index([str(column) for column in table.columns])))
    return Memberships(cell.astype(np.int64), lineage, kept[cell, code])


def largest_weights(adata: "AnnData", key: str) -> pd.Series:
    """Return the lineage in which every cell has its largest weight; missing where it belongs to none."""
    members = read_memberships(adata, key)
    order = np.argsort(members.weight, kind="stable")
    code = np.full(adata.n_obs, -1)
    code[members.cell[order]] = members.lineage.cat.codes.to_numpy()[order]
    return pd.Series(pd.Categorical.from_codes(code, categories=members.lineage.cat.categories), index=adata.obs_names)


def times_in_lineages(adata: "AnnData", key: str, members: Memberships, argument: str = "time_key") -> Times:
    """Return the time of every entry from a table of `obsm` with a column for each lineage, as slingshot has them."""
    table, name = pd.DataFrame(adata.obsm[key]), f"adata.obsm[{key!r}]"
    lineages = [str(one) for one in members.lineage.cat.categories]
    columns = {str(column): number for number, column in enumerate(table.columns)}
    if not isinstance(adata.obsm[key], pd.DataFrame):
        columns = dict(zip(lineages, range(table.shape[1]), strict=False))
    missing = [one for one in lineages if one not in columns]
    if missing:
        raise KeyError(f"{argument}: {name} has no column for lineage {missing[0]!r}.{suggest(missing[0], columns)}")
    at = np.array([columns[one] for one in lineages])[members.lineage.cat.codes.to_numpy()]
    values = table.to_numpy(dtype=np.float64)[members.cell, at]
    bad = ~np.isfinite(values)
    if bad.any():
        first = members.lineage.iloc[int(np.argmax(bad))]
        raise ValueError(
            f"{argument}: {name} is NaN or infinite for {len(np.unique(members.cell[bad]))} cells in a lineage in which they "
            f"have a weight (first in {str(first)!r}). Give them a time there, or the weight 0 and the others a sum of 1."
        )
    return read_time(values, name)


def _table(adata: "AnnData", key: str, argument: str) -> pd.DataFrame:
    """Return the table with the names of the lineages as its columns."""
    held = adata.obsm[key]
    if isinstance(held, pd.DataFrame):
        table = held
        wrong = [str(name) for name in table.columns if not pd.api.types.is_numeric_dtype(table[name].dtype)]
        if wrong:
            raise TypeError(f"{argument}: adata.obsm[{key!r}] must hold weights; column {wrong[0]!r} has no numbers.")
    else:
        values = held.toarray() if sp.issparse(held) else np.asarray(held)
        if values.ndim != 2 or values.dtype.kind not in "fiub":
            raise TypeError(
                f"{argument}: adata.obsm[{key!r}] must be a table of numbers, one row per cell and one column per lineage; "
                f"found shape {values.shape} of {values.dtype}."
            )
        table = pd.DataFrame(values, columns=_names(adata, key, held, values.shape[1]))
    if table.columns.astype(str).duplicated().any():
        raise ValueError(f"{argument}: two columns of adata.obsm[{key!r}] have the same name.")
    if table.shape[1] < 2:
        raise ValueError(
            f"{argument}: adata.obsm[{key!r}] has {table.shape[1]} column; memberships need two lineages or more. For one "
            "lineage leave trajectory_key out, or name a column of adata.obs."
        )
    return table


def _names(adata: "AnnData", key: str, held: Any, lineages: int) -> list[str]:
    """Return the names of lineages: CellRank keeps them with the array, Palantir in `uns[f"{key}_columns"]`."""
    for names in (getattr(held, "names", None), adata.uns.get(f"{key}_names"), adata.uns.get(f"{key}_columns")):
        if names is None:
            continue
        found = [str(name) for name in np.asarray(names, dtype=object).ravel()]
        if len(found) != lineages:
            raise ValueError(f"adata.obsm[{key!r}] has {lineages} columns but {len(found)} names of lineages.")
        return found
    return [f"lineage {number + 1}" for number in range(lineages)]


def _checked(weights: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return weights in [0, 1] whose rows are of one of the kinds that have a meaning."""
    missing = ~np.isfinite(weights).all(axis=1)
    if missing.any():
        raise ValueError(
            f"{name} is NaN or infinite for {int(missing.sum())} of {len(weights)} cells. A cell that does not belong to a "
            "lineage has weight 0 there: fill the table, e.g. with .fillna(0)."
        )
    if (weights < 0).any():
        raise ValueError(f"{name} has {int((weights < 0).sum())} negative weights, down to {weights.min():.3g}.")
    total, largest = weights.sum(axis=1), weights.max(axis=1)
    known = (np.abs(total - 1) <= TOLERANCE) | (np.abs(largest - 1) <= TOLERANCE) | (total == 0)
    if (largest > 1 + TOLERANCE).any() or not known.all():
        bad = ~known | (largest > 1 + TOLERANCE)
        raise ValueError(
            f"{name}: the weights of {int(bad.sum())} of {len(weights)} cells do not sum to 1 (sums from "
            f"{total[bad].min():.3g} to {total[bad].max():.3g}). Give probabilities that sum to 1, masks of 0 and 1, or "
            "weights whose largest is 1 for every cell, as those of slingshot; table.div(table.sum(axis=1), axis=0) makes "
            "probabilities of any others."
        )
    return np.minimum(weights, 1.0)
