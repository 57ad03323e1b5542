"""Samples that each name the sample before them, as trajectories that share no interval."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import suggest
from scdash._core.logging import logger
from scdash._data.checks import check_unique, obs_column
from scdash._data.labels import read_labels
from scdash._data.time import parse_time
from scdash._data.time_series.observations import Samples

if TYPE_CHECKING:
    from anndata import AnnData


ENOUGH_TREES = 5  # as many as there are folds; with fewer, branches are left out instead


@dataclass(frozen=True)
class SamplePaths:
    """States of trajectories in the order of the rows of adata; a sample from which branches start has one for each of them."""

    row: NDArray[np.int64]  # (states,), of adata, sorted
    trajectory: pd.Series  # (states,), categorical: name of the last sample of the trajectory
    group: pd.Series  # (states,), categorical: trajectories that are left out together
    time: NDArray[np.float64]  # (rows of adata,), since the start; NaN for samples without any interval
    unit: str | None
    predecessor: NDArray[np.int64]  # (rows of adata,), -1 for a start


def read_sample_paths(adata: "AnnData", samples: Samples) -> SamplePaths:
    """Return the trajectories of samples that name their predecessors.

    Every interval belongs to one trajectory. From a sample with several successors the trajectory goes on with the one
    after which there is the longest time to come; at each of the others another trajectory begins, with the sample that
    was common as its first state. So no interval counts twice. What starts from one sample is left out together, or where
    fewer than five samples start anything, what follows each successor of the first sample that has several.

    Raises ValueError, KeyError for names that are missing or occur twice, circles, and intervals that are missing or
    not positive.
    """
    names = _names(adata, samples)
    before = _predecessors(adata, samples, names)
    interval, unit = _intervals(adata, samples, names, before)
    order = _from_starts(before, names)
    time, ahead = np.zeros(len(names)), np.zeros(len(names))
    for k in order:
        time[k] = 0.0 if before[k] < 0 else time[before[k]] + interval[k]
    for k in order[::-1]:
        if before[k] >= 0:
            ahead[before[k]] = max(ahead[before[k]], ahead[k] + interval[k])
    followers: list[list[int]] = [[] for _ in names]
    for k in np.flatnonzero(before >= 0):
        followers[before[k]].append(int(k))
    alone = (before < 0) & np.array([not one for one in followers], dtype=bool)
    _log_alone(alone, samples)
    chains = _chains(order[~alone[order]], before, followers, ahead + np.nan_to_num(interval))
    tree, branch = _groups(order, before, followers)
    label = tree if len(np.unique(tree[~alone])) >= ENOUGH_TREES else branch
    row = np.concatenate([np.empty(0, np.int64), *chains]).astype(np.int64)
    last = np.repeat([chain[-1] for chain in chains], [len(chain) for chain in chains]).astype(np.int64)
    at = np.argsort(row, kind="stable")
    found = [pd.Series(pd.Categorical(names[index[at]])) for index in (last, label[last])]
    return SamplePaths(row[at], found[0], found[1], np.where(alone, np.nan, time), unit, before)


def _names(adata: "AnnData", samples: Samples) -> pd.Index:
    names: pd.Index = pd.Index(adata.obs_names.astype(str))
    if samples.sample_key is not None:
        labels = read_labels(obs_column(adata, samples.sample_key, "sample_key"))
        if labels.isna().any():
            raise ValueError(f"sample_key={samples.sample_key!r}: {int(labels.isna().sum())} samples have no name.")
        names = pd.Index(labels.astype(str))
    check_unique(names, "adata.obs_names" if samples.sample_key is None else f"adata.obs[{samples.sample_key!r}]")
    return names


def _predecessors(adata: "AnnData", samples: Samples, names: pd.Index) -> NDArray[np.int64]:
    """Return the row of every sample's predecessor, -1 for a start."""
    labels = read_labels(obs_column(adata, samples.predecessor_key, "predecessor_key"))
    named = labels.notna().to_numpy()
    texts = labels.astype(object).fillna("").astype(str)
    before = np.where(named, names.get_indexer(pd.Index(texts)), -1).astype(np.int64)
    lost = np.flatnonzero(named & (before < 0))
    if len(lost):
        wrong = str(texts.iloc[lost[0]])
        raise ValueError(
            f"predecessor_key={samples.predecessor_key!r}: sample {names[lost[0]]!r} was measured after {wrong!r}, which is "
            f"no sample of adata ({len(lost)} such names in all). Keep the samples between, or leave the predecessor of a "
            f"first sample empty.{suggest(wrong, names)}"
        )
    return before


def _intervals(
    adata: "AnnData", samples: Samples, names: pd.Index, before: NDArray[np.int64]
) -> tuple[NDArray[np.float64], str | None]:
    """Return the time between every sample and its predecessor (NaN for a start), and its unit."""
    key = samples.interval_key
    read = parse_time(obs_column(adata, key, "interval_key"), f"adata.obs[{key!r}]")
    interval, follows = np.asarray(read.values, dtype=np.float64), before >= 0
    wrong = np.flatnonzero(follows & ~(np.isfinite(interval) & (interval > 0)))
    if len(wrong):
        found = "no interval" if np.isnan(interval[wrong[0]]) else f"the interval {interval[wrong[0]]:g}"
        raise ValueError(
            f"interval_key={key!r}: sample {names[wrong[0]]!r} has a predecessor and {found} ({len(wrong)} such samples in "
            "all). The interval is the time since the predecessor, larger than 0."
        )
    surplus = np.flatnonzero(~follows & (interval > 0))
    if len(surplus):
        raise ValueError(
            f"interval_key={key!r}: sample {names[surplus[0]]!r} has an interval ({interval[surplus[0]]:g}) and no predecessor "
            f"({len(surplus)} such samples in all). Name the predecessor in {samples.predecessor_key!r}, or leave the interval "
            "of a first sample empty."
        )
    return np.where(follows, interval, np.nan), read.unit


def _from_starts(before: NDArray[np.int64], names: pd.Index) -> NDArray[np.int64]:
    """Return the rows so that every sample comes after its predecessor; raise for samples in a circle."""
    depth = np.where(before < 0, 0, -1)
    for level in range(len(before)):
        reached = (depth < 0) & (depth[before] == level)
        if not reached.any():
            break
        depth[reached] = level + 1
    if (depth < 0).any():
        circle = [int(np.flatnonzero(depth < 0)[0])]
        while circle[-1] not in circle[:-1]:
            circle.append(int(before[circle[-1]]))
        members = circle[circle.index(circle[-1]) :]
        text = " after ".join(
            repr(str(names[k])) for k in (members if len(members) < 7 else [*members[:5], members[-1]])
        )
        raise ValueError(f"Predecessors form a circle: {text}. A sample cannot come before itself.")
    return np.argsort(depth, kind="stable")


def _chains(
    order: NDArray[np.int64], before: NDArray[np.int64], followers: list[list[int]], reach: NDArray[np.float64]
) -> list[list[int]]:
    """Return trajectories that share no interval; `reach` is the time that a sample and what follows it add."""
    chains = []
    goes_on = {max(those, key=lambda one: float(reach[one])) for those in followers if those}
    for k in order:
        if before[k] >= 0 and int(k) in goes_on:
            continue
        chain = [int(before[k]), int(k)] if before[k] >= 0 else [int(k)]
        while followers[chain[-1]]:
            chain.append(next(one for one in followers[chain[-1]] if one in goes_on))
        chains.append(chain)
    return chains


def _groups(
    order: NDArray[np.int64], before: NDArray[np.int64], followers: list[list[int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for every sample the one its tree starts from, and the successor of the tree's first fork that it comes from."""
    tree, branch = np.arange(len(before)), np.arange(len(before))
    forked = np.zeros(len(before), dtype=bool)  # at the sample or before it
    for k in order:
        forked[k] = len(followers[k]) > 1
        if (last := before[k]) >= 0:
            tree[k] = tree[last]
            branch[k] = branch[last] if not forked[last] or (before[last] >= 0 and forked[before[last]]) else k
            forked[k] |= forked[last]
    return tree, branch


def _log_alone(alone: NDArray[np.bool_], samples: Samples) -> None:
    if alone.any():
        logger.info(
            "    %d of %d samples have neither a predecessor nor a successor in %r and are not used: without an interval "
            "nothing is known of their change (they may be steady states or not)",
            int(alone.sum()), len(alone), samples.predecessor_key,
        )  # fmt: skip
