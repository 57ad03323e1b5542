"""What the figures of paired modalities read from MuData."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from numpy.typing import NDArray

from scdash._core.errors import NotFittedError, suggest
from scdash._core.keys import require_paired
from scdash._data import all_genes, check_unique


def entry_of(mdata: MuData, key: str, function: str) -> Any:
    """Return `mdata.uns[key]`, or say what to run."""
    if not hasattr(mdata, "mod") or not hasattr(mdata, "uns"):
        raise TypeError(f"mdata must be a MuData, found {type(mdata).__name__}.")
    return require_paired(mdata, key, function)


def table_of(data: MuData | pd.DataFrame, key: str, name: str, function: str, needed: Sequence[str]) -> pd.DataFrame:
    """Return a table given as such, or stored by `function` in a MuData."""
    table = data if isinstance(data, pd.DataFrame) else pd.DataFrame(entry_of(data, key, function)[name])
    for column in needed:
        if column not in table:
            raise ValueError(f"the table has no column {column!r}.{suggest(column, table.columns.astype(str))}")
    if table.empty:
        raise ValueError("the table has no rows: there is nothing to draw.")
    return table


def latent_of(mdata: MuData, key: str, basis: str | None) -> tuple[str, NDArray[np.float64]]:
    """Return the name and two coordinates of every cell: the latent space, or a named embedding."""
    options = [f"X_{key}", f"X_{key}_tsne"] if basis is None else [basis, f"X_{basis}"]
    for name in options:
        if name in mdata.obsm:
            points = np.asarray(mdata.obsm[name], dtype=np.float64)
            if points.ndim == 2 and points.shape[1] == 2:
                return name.removeprefix("X_"), points
    held = [name for name in mdata.obsm if name not in mdata.mod]
    if basis is not None:
        raise KeyError(f"basis={basis!r} names nothing with two columns in mdata.obsm.{suggest(basis, held)}")
    if f"X_{key}" not in mdata.obsm:
        raise NotFittedError(f"No mdata.obsm['X_{key}']. Run `scdash.tl.sbnn(mdata, key_added={key!r})` first.")
    columns = np.asarray(mdata.obsm[f"X_{key}"]).shape[1]
    raise ValueError(
        f"mdata.obsm['X_{key}'] has {columns} columns, two can be drawn: run `scdash.tl.latent_tsne(mdata, key={key!r})` "
        "first (or pass basis=, a two-dimensional entry of mdata.obsm)."
    )


def predictions(mdata: MuData, entry: Any, key: str, head: str) -> pd.DataFrame:
    """Return one head's predictions for every cell of `mdata` (NaN for cells without genes), standardised."""
    adata = mdata.mod[str(entry["params"]["x"])]
    name = f"{key}_{head}"
    check_unique(adata.obs_names, "mdata.obs_names")
    if name not in adata.obsm:
        return pd.DataFrame(index=mdata.obs_names)
    table = adata.obsm[name]
    columns = np.asarray(entry[head]).astype(str)
    frame = pd.DataFrame(np.asarray(table), index=adata.obs_names, columns=columns)
    return frame.reindex(mdata.obs_names)


def pick(wanted: Sequence[str] | int, available: Iterable[str], argument: str) -> list[str]:
    """Return the named columns, or the first few."""
    names = [str(name) for name in available]
    if isinstance(wanted, int | np.integer):
        return names[: max(int(wanted), 0)]
    listed = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    all_genes(listed, names, argument, error=ValueError)
    return listed


def groups_of(mdata: MuData, color: str | None, x: str) -> pd.Series | None:
    """Return a column of the MuData's obs, or of the modality x, for every cell."""
    if color is None:
        return None
    if color in mdata.obs:
        column: pd.Series = mdata.obs[color]
        return column
    adata = mdata.mod[x]
    if color in adata.obs:
        column = adata.obs[color].reindex(mdata.obs_names)
        return column
    raise KeyError(f"color={color!r} is not a column of mdata.obs.{suggest(color, mdata.obs.columns)}")
