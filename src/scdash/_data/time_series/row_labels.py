"""What is known of every row of AnnData: time, lineage or weights of lineages, split and batch."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.fit_settings import DataKeys
from scdash._data import (
    Expression,
    Memberships,
    Times,
    is_membership_table,
    obs_column,
    read_labels,
    read_memberships,
    times_in_lineages,
    times_of,
)
from scdash._data.time_series.observations import Samples
from scdash._data.time_series.observed import Rows
from scdash._data.time_series.sample_paths import read_sample_paths

if TYPE_CHECKING:
    from anndata import AnnData


PSEUDOTIME = "pseudotime_key"


def read_rows(adata: "AnnData", keys: DataKeys, values: Expression, pseudotime_key: str | None = None) -> Rows:
    """Return what is known of every row; rows that lack a label take no part, so their time may be missing.

    `pseudotime_key` names what orders the cells of a sampled time.
    """
    several = is_membership_table(adata, keys.trajectory_key)
    named = (
        ("trajectory", None if several else keys.trajectory_key),
        ("split", keys.split_key),
        ("batch", keys.batch_key),
    )
    columns = [None if key is None else read_labels(obs_column(adata, key, f"{name}_key")) for name, key in named]
    labelled = np.ones(adata.n_obs, dtype=bool)
    for column in columns:
        labelled &= True if column is None else column.notna().to_numpy()
    if several and keys.trajectory_key is not None:
        members = read_memberships(adata, keys.trajectory_key)
        rows = _rows_of_lineages(adata, members, keys, values, columns, labelled)
        if pseudotime_key is None:
            return rows
        return replace(rows, pseudotime=_of_entries(adata, pseudotime_key, PSEUDOTIME, members, labelled).values)
    time = times_of(adata, keys.time_key, finite=bool(labelled.all()))
    group, split, batch = columns
    if pseudotime_key is None:
        return Rows(values, time, group, split, batch)
    place = times_of(adata, pseudotime_key, PSEUDOTIME, finite=bool(labelled.all()))
    return Rows(values, time, group, split, batch, pseudotime=place.values)


def rows_of_samples(adata: "AnnData", samples: Samples, split_key: str | None, values: Expression) -> Rows:
    """Return a row for every sample and trajectory that it belongs to."""
    paths = read_sample_paths(adata, samples)
    split = None if split_key is None else read_labels(obs_column(adata, split_key, "split_key"))
    return Rows(
        values.repeated(paths.row),
        Times(paths.time[paths.row], paths.unit),
        paths.trajectory,
        None if split is None else split.iloc[paths.row].reset_index(drop=True),
        together=paths.group,
        since_start=paths.time,
    )


def _rows_of_lineages(
    adata: "AnnData",
    members: Memberships,
    keys: DataKeys,
    values: Expression,
    columns: list[pd.Series | None],
    labelled: NDArray[np.bool_],
) -> Rows:
    """Return a row for every cell and lineage that it belongs to; times may be a table of `obsm` with the lineages, too."""
    time = _of_entries(adata, keys.time_key, "time_key", members, labelled)
    split, batch = (
        None if column is None else column.iloc[members.cell].reset_index(drop=True) for column in columns[1:]
    )
    return Rows(
        values.repeated(members.cell),
        time,
        members.lineage,
        split,
        batch,
        weights=members.weight,
        cell=members.cell,
        n_cells=adata.n_obs,
    )


def _of_entries(adata: "AnnData", key: str, argument: str, members: Memberships, labelled: NDArray[np.bool_]) -> Times:
    """Return the time of every entry of the lineages, from a column of `obs` or a table of `obsm` with the lineages."""
    if is_membership_table(adata, key):
        return times_in_lineages(adata, key, members, argument)
    inside = np.unique(members.cell[labelled[members.cell]])
    read = times_of(adata, key, argument, finite=len(inside) == adata.n_obs)
    return Times(read.values[members.cell], read.unit)
