"""Terminal states as users hold them: a column of labels, some labels of a column, or lists of cells."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scdash._core.errors import suggest
from scdash._data import obs_column, read_labels

if TYPE_CHECKING:
    from anndata import AnnData


ARGUMENT = "terminal_states"


def read_terminal_states(
    adata: "AnnData", given: str | tuple[str, Sequence[str]] | Mapping[str, Iterable[str]]
) -> pd.Series:
    """Return the terminal state of every cell, categorical, NaN for cells that are in none.

    Raises KeyError, ValueError, TypeError if a column, label or cell is not there, a cell is in two states, or fewer
    than two states have cells.
    """
    if isinstance(given, Mapping):
        labels = _of_cells(adata, given)
    elif isinstance(given, str):
        labels = read_labels(obs_column(adata, given, ARGUMENT)).astype(object)
    elif isinstance(given, tuple | list) and len(given) == 2 and isinstance(given[0], str):
        labels = _of_labels(adata, given[0], [given[1]] if isinstance(given[1], str) else list(given[1]))
    else:
        raise TypeError(
            f"{ARGUMENT} must be a column of adata.obs, a pair of a column and its terminal labels, or a mapping from names "
            f"of states to names of cells, found {given!r}."
        )
    found = pd.Series(labels.to_numpy(), index=adata.obs_names).astype("category").cat.remove_unused_categories()
    if len(found.cat.categories) < 2:
        raise ValueError(
            f"{ARGUMENT} has {len(found.cat.categories)} states with cells: fates need at least two to choose between."
        )
    if not found.isna().any():
        raise ValueError(
            f"{ARGUMENT}: all {len(found)} cells are in a terminal state, so that none has a fate left to choose. Leave the "
            "label of cells that are not terminal missing, or name the terminal labels: ('clusters', ['Alpha', 'Beta'])."
        )
    return found


def _of_labels(adata: "AnnData", column: str, wanted: list[str]) -> pd.Series:
    labels = read_labels(obs_column(adata, column, ARGUMENT)).astype(object)
    known = [str(label) for label in pd.unique(labels.dropna())]
    for label in wanted:
        if str(label) not in known:
            raise KeyError(f"{ARGUMENT}: {label!r} is no label of adata.obs[{column!r}].{suggest(str(label), known)}")
    return labels.where(labels.astype(str).isin([str(label) for label in wanted]))


def _of_cells(adata: "AnnData", given: Mapping[str, Iterable[str]]) -> pd.Series:
    labels: pd.Series = pd.Series(np.full(adata.n_obs, None, dtype=object), index=adata.obs_names)
    for state, names in given.items():
        listed = [names] if isinstance(names, str) else [str(name) for name in names]
        places = adata.obs_names.get_indexer(listed)
        if (places < 0).any():
            name = listed[int(np.argmax(places < 0))]
            raise KeyError(f"{ARGUMENT}: cell {name!r} of state {state!r} is not in adata.obs_names.")
        taken = labels.iloc[places].dropna()
        if len(taken):
            raise ValueError(
                f"{ARGUMENT}: cell {str(taken.index[0])!r} is in two states, {taken.iloc[0]!r} and {state!r}."
            )
        labels.iloc[places] = str(state)
    return labels
