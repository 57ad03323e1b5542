"""Groups of related cells at sampled times, as they are seen when times are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data.expression_matrix import Expression
from scdash._data.time_series.couplings import MOST_CELLS, Pair, TimedCells, couple, follow_groups
from scdash._data.time_series.sampled import SampledCells

MOST_LEFT_OUT = 8  # folds of times; more times than this are left out in groups, far from each other


@dataclass(frozen=True)
class RelatedCells:
    """Means of groups of related cells of one trajectory at its times, in units of the data.

    The time of a group is the mean over its cells, which differ where a pseudotime orders the cells of a sampled time.
    """

    trajectory: int
    times: NDArray[np.float64]  # (groups, times), of the user
    states: NDArray[np.float64]  # (groups, times, genes)


@dataclass(frozen=True)
class LeftOutTimes:
    """Times that are left out together, and what the other cells say then."""

    times: NDArray[np.float64]  # of the user
    related: tuple[RelatedCells, ...] = ()


def timed_cells(
    values: Expression,
    made: SampledCells,
    weights: NDArray[np.float64] | None,
    cell: NDArray[np.int64] | None,
    rng: np.random.Generator,
) -> list[tuple[pd.DataFrame, TimedCells]]:
    """Return the cells of every trajectory that take part in couplings, with a table of their sampled times that are not for test."""
    plain = np.ones(len(made.state)) if weights is None else weights
    states = made.bins[made.bins["bootstrap"] == 0].sort_values("state")
    ahead = (states["time"] - states["sampled"]).to_numpy()[made.state]
    found = []
    for _, own in made.used.groupby("group"):
        rows = []
        for _, of_time in own.groupby("sampled"):
            members = np.flatnonzero(np.isin(made.state, of_time["state"]))
            some = rng.choice(members, MOST_CELLS, replace=False) if len(members) > MOST_CELLS else members
            rows.append(np.sort(some))
        dense = [np.asarray(values.dense_rows(part), dtype=np.float64) for part in rows]
        of_data = rows if cell is None else [cell[part] for part in rows]
        fractions = [plain[part] / plain[part].sum() for part in rows]
        times = own.drop_duplicates("sampled")
        found.append((times, TimedCells(of_data, dense, fractions, [ahead[part] for part in rows])))
    return found


def left_out_groups(made: SampledCells) -> list[NDArray[np.float64]]:
    """Return the sampled times that are left out in turn: those between others of a trajectory, in groups where they are many."""
    inner: set[float] = set()
    for _, states in made.used.groupby("group"):
        inner |= set(np.unique(states["sampled"])[1:-1].tolist())
    times = np.array(sorted(inner))
    return [times[k::MOST_LEFT_OUT] for k in range(min(MOST_LEFT_OUT, len(times)))]


def times_of_states(made: SampledCells, sampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the times of all states of some sampled times."""
    return np.unique(made.used["time"][made.used["sampled"].isin(sampled)])


def related_cells(
    timed: Sequence[tuple[pd.DataFrame, TimedCells]],
    without: NDArray[np.float64],
    given: Mapping[Pair, Any] | None,
    known: NDArray[np.float64],
    groups: int,
    rng: np.random.Generator,
) -> tuple[RelatedCells, ...]:
    """Return some number of groups of related cells of every trajectory, as they are seen without some times.

    `known` are all times of the data, to which the numbers in `given` belong.
    """
    found = []
    for table, cells in timed:
        times = table["sampled"].to_numpy(dtype=np.float64)
        kept = np.flatnonzero(~np.isin(times, without))
        if len(kept) < 2:
            continue
        own = None if given is None else _of_trajectory(given, np.searchsorted(known, times))
        couplings = couple(cells, kept.tolist(), own, rng)
        means, ahead = follow_groups(cells, kept.tolist(), couplings, rng, groups)
        if len(means):
            found.append(RelatedCells(int(table["group"].iloc[0]), times[kept] + ahead, means))
    return tuple(found)


def _of_trajectory(given: Mapping[Pair, Any], number: NDArray[np.intp]) -> dict[Pair, Any]:
    """Return given couplings by the numbers of a trajectory's own times; one that it skips a time for is composed."""
    found = {}
    for i in range(len(number)):
        for j in range(i + 1, len(number)):
            pair = (int(number[i]), int(number[j]))
            if pair in given:
                found[i, j] = given[pair]
            elif j == i + 1:
                matrix = given[pair[0], pair[0] + 1]
                for k in range(pair[0] + 1, pair[1]):
                    following = given[k, k + 1]
                    mass = np.asarray(following.sum(axis=1)).ravel()
                    matrix = matrix @ sp.diags(1 / np.where(mass > 0, mass, 1.0)) @ following
                found[i, j] = sp.csr_matrix(matrix)
    return found
