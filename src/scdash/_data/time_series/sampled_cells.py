"""Cells at few sampled times: one state per time, or one per bin of it, couplings of cells, and the times that are left out in turn."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scdash._core.errors import unknown
from scdash._core.logging import logger
from scdash._data import (
    LeftOutTimes,
    Placed,
    RelatedCells,
    StandardTime,
    group_cells,
    left_out_groups,
    read_couplings,
    related_cells,
    sampled_halves,
    sampled_series,
    shuffled_states,
    split_codes,
    timed_cells,
    times_of_bins,
    times_of_states,
    without_split,
)
from scdash._data.time_series.observations import Couplings
from scdash._data.time_series.observed import Observed, Rows, lineages_of_rows, mean_of_cells, n_bootstraps
from scdash._data.time_series.within_times import PARTS

COUPLINGS = ("ot", "none")
# groups of related cells for every bootstrap of a trajectory: both are trajectories to learn from, and with fewer groups what
# the couplings tell is lost among the bootstraps (Semrau et al. 2017, left-out times: 1.00 of a line's error instead of 0.92)
GROUPS_PER_BOOTSTRAP = 3


class Coupled(NamedTuple):
    """Couplings as they are used."""

    name: Literal["none", "optimal transport", "given"]
    given: Mapping[tuple[int, int], Any] | None = None  # by pairs of times


def from_sampled(
    rows: Rows,
    *,
    couplings: Couplings | None,  # None, "ot", "none" or a mapping; see `scdash.tl.fit_dynamics`
    labels: Any,  # the column of times as the user has it, one for each row of adata
    n_bins: int | None,  # of every time, where the rows have a pseudotime; None: 3
    regulators: NDArray[np.int64] | None,
    seed: int,
    shuffled: bool,
    hold_out: float | None,
    by_folds: bool,
) -> Observed:
    """Return cells at sampled times as trajectories of their means, with times in the standard unit.

    `regulators`, `seed`, `shuffled`, `hold_out`, `by_folds`: as for `from_cells`.
    """
    coupled = _coupled(couplings, rows, labels, by_folds=by_folds)
    split = None if rows.split is None else split_codes(rows.split)
    lineage, batch = rows.group, rows.batch
    if split is not None and (split < 0).any():
        lineage, batch = without_split(split, lineage, batch)
    groups = group_cells(len(rows.time.values), lineage, batch)
    rng, bootstraps = np.random.default_rng([seed, 7]), n_bootstraps(rows, by_folds=by_folds)
    time = _times(rows, groups.code, n_bins)
    made = sampled_series(
        rows.values,
        groups,
        time,
        split=split,
        hold_out=hold_out,
        validation=not by_folds,
        n_bootstrap=bootstraps,
        weights=rows.weights,
        cell=rows.cell,
        sampled=rows.time.values,
        rng=rng,
    )
    series = made.series
    standard = StandardTime.of(series.times, series.trajectory)
    number = GROUPS_PER_BOOTSTRAP * bootstraps
    related, left_out = _to_learn_from(rows, made, coupled, number, rng) if by_folds else ((), ())
    placed = Placed.of(time, lineage, batch, rows.left_out, rows.weights, rows.cell)
    mixed = shuffled_states(made, placed, rng) if shuffled else None
    return Observed(
        replace(series, times=standard.apply(series.times)),
        made.minimum,
        made.range,
        lineage=lineages_of_rows(made.bins["lineage"], series),
        lineage_names=tuple(dict.fromkeys(made.bins["lineage"].astype(str))),
        cell_position=mean_of_cells(np.where(groups.code < 0, np.nan, time), rows),
        halves=sampled_halves(rows.values, made, placed, regulators, np.random.default_rng([seed, 4])),
        shuffled_halves=None
        if mixed is None
        else sampled_halves(rows.values, mixed, placed, regulators, np.random.default_rng([seed, 5])),
        standard=standard,
        user_times=series.times,
        related=tuple(_related_in_unit(one, standard) for one in related),
        left_out_times=tuple(
            LeftOutTimes(_apply(standard, one.times), tuple(_related_in_unit(part, standard) for part in one.related))
            for one in left_out
        ),
        couplings=coupled.name,
    )


def _times(rows: Rows, code: NDArray[np.int64], n_bins: int | None) -> NDArray[np.float64]:
    """Return the time of the state of every row: its sampled time, or that of its bin where a pseudotime orders the cells."""
    if rows.pseudotime is None:
        return rows.time.values
    return times_of_bins(rows.time.values, rows.pseudotime, code, n_bins or PARTS, rows.weights)


def _coupled(couplings: Couplings | None, rows: Rows, labels: Any, *, by_folds: bool) -> Coupled:
    """Return the couplings to use; what cannot be used is refused before anything is computed."""
    if isinstance(couplings, str) and couplings not in COUPLINGS:
        raise unknown("couplings", couplings, COUPLINGS)
    if couplings == "none":
        return Coupled("none")
    if not by_folds:
        if couplings is not None:
            raise ValueError(
                "couplings are for fits that start from the regression and are trained on whole trajectories; this model, "
                "start or sparsity does not learn from them. Leave couplings out."
            )
        return Coupled("none")
    if couplings is None or couplings == "ot":
        if find_spec("ot") is not None:
            return Coupled("optimal transport")
        text = 'Couplings by optimal transport need POT: pip install "scdash[ot]".'
        if couplings == "ot":
            raise ImportError(text)
        logger.warning("%s The fit goes on without couplings.", text)
        return Coupled("none")
    times = mean_of_cells(rows.time.values, rows)
    return Coupled("given", read_couplings(couplings, labels, times, rows.time.unit))


def _to_learn_from(
    rows: Rows, made: Any, coupled: Coupled, groups: int, rng: np.random.Generator
) -> tuple[tuple[RelatedCells, ...], tuple[LeftOutTimes, ...]]:
    """Return groups of related cells at all times, and which times are left out in turn, with the groups seen then.

    `groups`: of related cells of each trajectory.
    """
    away = left_out_groups(made)
    if not away:
        raise ValueError(
            "No trajectory has three sampled times, so that none can be left out to choose the model by. Give the times "
            "between, or order the cells by pseudotime (scdash.pp.order_cells) and pass that as time_key."
        )
    if coupled.name == "none":
        return (), tuple(LeftOutTimes(times_of_states(made, times)) for times in away)
    known = np.unique(rows.time.values[np.isfinite(rows.time.values)])
    timed = timed_cells(rows.values, made, rows.weights, rows.cell, rng)
    found = [related_cells(timed, times, coupled.given, known, groups, rng) for times in (np.array([]), *away)]
    left_out = zip(away, found[1:], strict=True)
    return found[0], tuple(LeftOutTimes(times_of_states(made, times), part) for times, part in left_out)


def _apply(standard: StandardTime, times: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((times - standard.origin) / standard.scale)


def _related_in_unit(related: RelatedCells, standard: StandardTime) -> RelatedCells:
    return RelatedCells(related.trajectory, _apply(standard, related.times), related.states)
