"""Cells at few sampled times: one state per time, the mean of its cells, or one for each bin of them that a pseudotime orders."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.labels import resampled_names
from scdash._data.expression_matrix import Expression
from scdash._data.groups import CellGroups
from scdash._data.split import default_split
from scdash._data.time_series.bins import effective_cells
from scdash._data.time_series.halves import CellHalves
from scdash._data.time_series.placed import Placed, resampled_weights
from scdash._data.time_series.scale_of_bins import scale_of_bins, series_of_bins
from scdash._data.time_series.series import SPLITS, TimeSeries
from scdash._data.time_series.within_places import within_moments

FEWEST = 5  # effective cells behind the mean of a time
DRAWS = 8  # ways to deal the cells to quarters


@dataclass(frozen=True)
class SampledCells:
    """Trajectories with a state for each sampled time, in scaled units, times those of the user."""

    series: TimeSeries
    bins: pd.DataFrame  # one row per state
    minimum: NDArray[np.float64]
    range: NDArray[np.float64]
    state: NDArray[np.int64]  # (rows,), row of the state of each cell among `bins` that are not resampled; -1: none

    @property
    def used(self) -> pd.DataFrame:
        """The states that are neither drawn again nor for test."""
        return self.bins[(self.bins["bootstrap"] == 0) & (self.bins["split"] != "test")]


def sampled_series(
    values: Expression,
    groups: CellGroups,
    time: NDArray[np.float64],
    *,
    split: NDArray[np.int8] | None,
    hold_out: float | None,
    validation: bool,
    n_bootstrap: int,
    weights: NDArray[np.float64] | None = None,
    cell: NDArray[np.int64] | None = None,
    sampled: NDArray[np.float64] | None = None,
    rng: np.random.Generator,
) -> SampledCells:
    """Return the mean of the cells of every time, and those of cells drawn again (Bayesian bootstrap).

    `time`: of every cell; each distinct one is a state. `split`, `hold_out`, `validation`, `weights`, `cell`: as for
    `cells_to_series`; the cells of one time of a trajectory are of one split. `sampled`: the sampled time of every cell,
    where `time` is that of a bin of its cells; None: the same. What is held out are whole sampled times.
    """
    plain = np.ones(len(time)) if weights is None else weights
    inside = groups.code >= 0
    at = time if sampled is None else sampled
    states, state = states_of_rows(pd.DataFrame({"group": groups.code, "sampled": at, "time": time}), inside)
    behind = np.array([float(effective_cells(plain[state == k])) for k in range(len(states))])
    _check_states(states, behind, groups)
    sides = _sides(states, state, split, groups, hold_out, validation=validation, rng=rng)
    drawn = np.concatenate([plain[None], resampled_weights(n_bootstrap, len(time), weights, cell, rng)])
    means = state_means(values, state, len(states), drawn)
    names = np.array(resampled_names(groups.names, n_bootstrap), dtype=object)
    parts = []
    for draw in range(len(drawn)):
        group = states["group"].to_numpy()
        parts.append(
            pd.DataFrame(
                {
                    "time": states["time"],
                    "sampled": states["sampled"],
                    "trajectory": names[draw, group],
                    "lineage": np.array(groups.lineage, dtype=object)[group],
                    "batch": np.array(groups.batch, dtype=object)[group],
                    "bootstrap": draw,
                    "n_cells": behind,
                    "split": pd.Categorical.from_codes(sides, categories=pd.Index(SPLITS)),
                    "state": np.arange(len(states)),
                    "group": group,
                }
            )
        )
    bins = pd.concat(parts, ignore_index=True)
    bins["trajectory"] = pd.Categorical(bins["trajectory"], categories=pd.unique(bins["trajectory"]))
    found = means[bins["bootstrap"], bins["state"]]
    minimum, width = scale_of_bins(found, bins, None, None)  # means of many cells: small ranges are no noise
    return SampledCells(series_of_bins((found - minimum) / width, bins, values), bins, minimum, width, state)


def states_of_rows(table: pd.DataFrame, inside: NDArray[np.bool_]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return the distinct rows of a table by group and time, and for every row its place among them, -1 for those not `inside`."""
    states = table[inside].drop_duplicates().sort_values(["group", "time"]).reset_index(drop=True)
    state = np.full(len(table), -1)
    state[inside] = pd.MultiIndex.from_frame(states).get_indexer(pd.MultiIndex.from_frame(table[inside]))
    return states, state


def state_means(
    values: Expression, state: NDArray[np.int64], states: int, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return weighted means of the cells of every state, (draws, states, genes), in one pass; NaN without a cell."""
    total, weight = np.zeros((len(weights), states, values.shape[1])), np.zeros((len(weights), states))
    for part, block in values.blocks():
        own = np.flatnonzero(state[part] >= 0)
        rows = state[part][own]
        for draw, of_cells in enumerate(weights):
            w = of_cells[part][own]
            member = sp.csr_matrix((w, (rows, own)), shape=(states, block.shape[0]))
            added = member @ block
            total[draw] += added.toarray() if sp.issparse(added) else np.asarray(added)
            weight[draw] += np.bincount(rows, weights=w, minlength=states)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight[..., None] > 0, total / weight[..., None], np.nan)


def _check_states(states: pd.DataFrame, behind: NDArray[np.float64], groups: CellGroups) -> None:
    """Raise for a trajectory with one time, and for a time with hardly a cell."""
    for _, own in states.groupby("group"):
        name = groups.names[int(own["group"].iloc[0])]
        if own["sampled"].nunique() == 1:
            raise ValueError(
                f"Trajectory {name!r} has one time point only ({own['sampled'].iloc[0]:g}): there is no step to learn from. "
                "Leave these cells out, e.g. adata = adata[adata.obs[key] != label].copy(), or order them by pseudotime (scdash.pp.order_cells) and pass that as "
                "time_key."
            )
    few = np.flatnonzero(behind < FEWEST)
    if len(few):
        row = states.iloc[few[0]]
        same = ((states["group"] == row["group"]) & (states["sampled"] == row["sampled"])).to_numpy()
        what, remedy = "the mean of a sampled time", "Leave"
        if same.sum() > 1:
            what, remedy = f"each of the {same.sum()} bins of a sampled time", "Lower n_bins, or leave"
        cells = "1 cell" if behind[same].sum() == 1 else f"{behind[same].sum():.3g} cells"
        raise ValueError(
            f"Trajectory {groups.names[int(row['group'])]!r} has {cells} at time {row['sampled']:g}; {what} needs {FEWEST}. "
            f"{remedy} these cells out, e.g. adata = adata[adata.obs[key] != time].copy()."
        )


def _sides(
    states: pd.DataFrame,
    state: NDArray[np.int64],
    split: NDArray[np.int8] | None,
    groups: CellGroups,
    hold_out: float | None,
    *,
    validation: bool,
    rng: np.random.Generator,
) -> NDArray[np.int8]:
    """Return the split of every state, the same for all states of a sampled time."""
    at = states.groupby(["group", "sampled"], sort=True).ngroup().to_numpy()
    times = states.drop_duplicates(["group", "sampled"])
    if split is None:
        group = times["group"].to_numpy(dtype=np.int64)
        kind = pd.factorize(np.array(groups.lineage, dtype=object))[0][group]
        return default_split(group, stratum=kind, fraction=hold_out, validation=validation, rng=rng)[at]
    found = np.zeros(len(times), np.int8)
    of_cells = np.where(state >= 0, at[state], -1)
    for k in range(len(times)):
        labels = np.unique(split[of_cells == k])
        if len(labels) > 1:
            row = times.iloc[k]
            raise ValueError(
                f"The cells of trajectory {groups.names[int(row['group'])]!r} at time {row['sampled']:g} have {len(labels)} "
                "different splits; they are held out together. Label whole time points."
            )
        found[k] = labels[0]
    return found[at]


def sampled_halves(
    values: Expression,
    made: SampledCells,
    placed: Placed,
    sources: NDArray[np.integer[Any]] | None,
    rng: np.random.Generator,
) -> CellHalves | None:
    """Return means of disjoint quarters of the cells of every time; None where trajectories differ in their times.

    States of the test split take no part.
    """
    own = made.used
    counts = own.groupby("group")["state"].size()
    if counts.nunique() > 1 or counts.iloc[0] < 3:
        return None
    new = np.full(int(made.bins["state"].max()) + 1, -1)
    new[own["state"]] = np.arange(len(own))
    state = np.where(made.state >= 0, new[made.state], -1)
    side = np.stack([placed.deal(4, rng) for _ in range(DRAWS)])
    plain = np.ones(len(state)) if placed.weights is None else placed.weights
    dealt = np.concatenate([side == part for part in range(4)]).astype(np.float64) * plain
    means = state_means(values, state, len(own), dealt)
    whole = state_means(values, state, len(own), plain[None])
    means = np.where(np.isnan(means), whole, means)
    within = within_moments(values, state, side[0], sources=sources, weights=placed.weights)
    shape = (4, DRAWS, len(counts), int(counts.iloc[0]), values.shape[1])
    return CellHalves(means.reshape(shape), within)


def shuffled_states(made: SampledCells, placed: Placed, rng: np.random.Generator) -> SampledCells:
    """Return the same cells with their times permuted within each trajectory."""
    state = made.state.copy()
    for own in placed.groups:
        state[own] = made.state[rng.permutation(own)]
    return replace(made, state=state)
