"""Cells along pseudotime to trajectories of smoothed bins: the single-cell recipe."""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import check_choice
from scdash._core.labels import resampled_names
from scdash._core.logging import logger
from scdash._core.random_streams import RNG, as_generator
from scdash._data.batch_alignment import BatchAlignment, align_batches, by_expression, no_alignment
from scdash._data.expression_matrix import Expression, as_expression
from scdash._data.groups import CellGroups, group_cells
from scdash._data.labels import log_missing, read_labels
from scdash._data.split import TEST, default_split, split_codes
from scdash._data.time_series.bandwidth import choose_bandwidths
from scdash._data.time_series.bins import Kernels, binned_means, fit_kernels, own_bin
from scdash._data.time_series.placed import Placed, positions_in_groups, resampled_weights
from scdash._data.time_series.scale_of_bins import scale_of_bins, series_of_bins, smallest_range
from scdash._data.time_series.series import SPLITS, TimeSeries

Align = Literal["auto", "expression", "rank", "range", "none"]


class CellSeries(NamedTuple):
    """Trajectories of bins, in scaled units, with what is needed to go back to log units."""

    series: TimeSeries  # states (x - minimum) / range
    bins: pd.DataFrame  # one row per state: time, trajectory, lineage, batch, bootstrap, n_cells, split, cell_time
    minimum: NDArray[np.float64]  # (genes,), log units
    range: NDArray[np.float64]  # (genes,), log units, at least the floor
    bandwidths: NDArray[
        np.float64
    ]  # (trajectories,), kernel width in bins, before any bootstrap; NaN for disjoint bins
    position: NDArray[np.float64]  # (cells,), place of every cell on the time axis, in [0, 1]; 0 where it takes no part
    alignment: pd.DataFrame  # of the batches of every lineage; see `BatchAlignment`

    @property
    def log_means(self) -> NDArray[np.float64]:
        """Bin means in log units, (rows, genes)."""
        return self.series.states * self.range + self.minimum


def cells_to_series(
    X: Any,  # log expression, (cells, genes), any array type; never densified whole
    genes: Any,  # names of the columns
    time: Any,  # pseudotime or time of each cell
    *,
    lineage: Any = None,
    batch: Any = None,
    n_bins: int = 20,
    bandwidth: float | None = None,
    min_cells: float = 5,
    align: Align = "auto",
    horizon: float = 10.0,  # length of the time axis that models see; rates are per horizon / n_bins a bin
    n_bootstrap: int = 0,
    split: Any = None,
    hold_out: float | None = 0.1,
    validation: bool = True,
    scale_by: Sequence[str] | None = None,
    range_floor: float | None = None,
    rng: RNG = 0,  # seed or Generator, for bootstraps and split
    disjoint: bool = False,
    weights: NDArray[np.float64] | None = None,
    cell: NDArray[np.int64] | None = None,
) -> CellSeries:
    r"""Smooth cells into one trajectory per lineage and batch.

    Bin b of a trajectory is the kernel mean of its cells' log expression, :math:`s = (\bar x - \min) / \max(range,
    floor)`, at time :math:`horizon (b + 1/2) / n_{bins}`.

    `lineage`, `batch`: labels of each cell; a cell without a lineage (or batch) takes no part. `n_bins`, `bandwidth`,
    `min_cells`: bins per trajectory, kernel width in bins, and the effective cells each bin must have
    (`binned_means`). Without a width (None) every trajectory has the one with which one half of its cells predicts the
    other best. `align`: "rank": place of a cell is its rank within lineage and batch; "expression": ranks of the
    batches of a lineage are aligned by expression, see `align_batches`; "auto": they are if their times differ at
    equal ranks and genes that took no part then agree clearly better; "range": time rescaled to [0, 1]; "none": one
    scale for all, each trajectory covering only the bins between its own first and last cell. `n_bootstrap`: further
    trajectories of resampled cells per trajectory (Bayesian bootstrap: exponential cell weights, which unlike counts
    never leave a bin empty); they show a model how uncertain a bin is. `series.origin` and the columns `lineage`,
    `batch` and `bootstrap` of the bins say whose cells they are; names are for reading only. `split`:
    train/validation/test of each cell, the same for all cells of a trajectory; None holds out whole trajectories, or
    windows of bins (`default_split`); the bins of a held-out window are made of its own cells alone, and the bins
    around it of the others. `hold_out`, `validation`: where there is no split: the fraction that is held out (None:
    nothing), and whether also for validation. `scale_by`: names of the trajectories that give minimum and range of
    each gene; None: the training bins. `range_floor`: smallest range of a gene: keeps noise of flat genes from being
    blown up. None: 0.5 for log values; a tenth of the median range where all values lie within 1.5 of each other, such
    as values in [0, 1]. `disjoint`: bins that share no cell, instead of kernels; those with fewer than `min_cells`
    cells are left out. `weights`, `cell`: where cells belong to several lineages there is a row of X for every cell
    and lineage: the weight of the cell in that lineage, and the number of the cell, (rows,). None: every row is a cell
    of its own and counts fully.
    """
    values = as_expression(X, genes)
    rng = as_generator(rng)
    side = None if split is None else split_codes(split)
    if side is not None and (side < 0).any():
        lineage, batch = without_split(side, lineage, batch)
    groups = group_cells(values.shape[0], lineage, batch)
    check_choice("align", align, get_args(Align))
    position, seconds = positions_in_groups(time, groups.code, "rank" if by_expression(align) else align, weights)
    _check_groups(position, groups, n_bins, min_cells)
    sides = _sides(groups, n_bins, side, hold_out, rng, validation=validation)
    aligned = _aligned(values, position, seconds, groups, sides, align, weights, cell)
    position = aligned.position
    widths = np.full(len(groups.names), np.nan if bandwidth is None else float(bandwidth))
    if bandwidth is None and not disjoint:
        learned = _for_training(position, groups, sides, weights, cell)
        alone = np.array([groups.lineage.count(name) == 1 for name in groups.lineage])
        widths = choose_bandwidths(values, learned, n_bins=n_bins, rng=rng, alone=alone)
    kernels = _kernels(
        position, groups, sides, widths, n_bins=n_bins, min_cells=min_cells, disjoint=disjoint, weights=weights
    )
    plain = np.ones(len(position)) if weights is None else weights
    draws = np.concatenate([plain[None], resampled_weights(n_bootstrap, len(position), weights, cell, rng)])
    means, behind = binned_means(values, groups.code, position, kernels, draws)
    keep = _kept(behind, position, groups, kernels, min_cells, align, disjoint=disjoint)
    bins = _bin_table(groups, kernels, behind, keep, position, seconds, horizon, plain)
    bins["split"] = pd.Categorical.from_codes(
        np.broadcast_to(sides[:, None], keep.shape)[keep], categories=pd.Index(SPLITS)
    )
    states = means[keep]
    floor = smallest_range(values) if range_floor is None else range_floor
    minimum, width = scale_of_bins(states, bins, scale_by, floor)
    series = series_of_bins((states - minimum) / width, bins, values)
    return CellSeries(series, bins, minimum, width, widths, position, aligned.table)


def without_split(split: NDArray[np.int8], lineage: Any, batch: Any) -> tuple[Any, Any]:
    """Return lineages and batches without a label where a cell has no split: such cells take no part."""
    log_missing(split < 0, len(split), "split")
    if lineage is None and batch is not None:
        return None, read_labels(batch).where(split >= 0)
    return read_labels(["all"] * len(split) if lineage is None else lineage).where(split >= 0), batch


def _check_groups(position: NDArray[np.float64], groups: CellGroups, n_bins: int, min_cells: float) -> None:
    """Raise for a trajectory with too few cells, or with one time."""
    for g, name in enumerate(groups.names):
        own = position[groups.code == g]
        if len(own) < max(n_bins, min_cells):
            number = re.fullmatch(r"\d*\.\d+(e-?\d+)?", name)
            hint = " Weights of cells in lineages are no labels: put a table of them into adata.obsm." if number else ""
            raise ValueError(
                f"Trajectory {name!r} has {len(own)} cell{'s' if len(own) != 1 else ''}, too few for n_bins={n_bins} and min_cells={min_cells:g}. "
                f"Lower them, or leave these cells out (no lineage or batch label).{hint}"
            )
        if own.min() == own.max():
            raise ValueError(f"Time is constant within trajectory {name!r} ({len(own)} cells).")


def _aligned(
    values: Expression,
    position: NDArray[np.float64],
    seconds: NDArray[np.float64],
    groups: CellGroups,
    sides: NDArray[np.int8],
    align: Align,
    weights: NDArray[np.float64] | None,
    cell: NDArray[np.int64] | None,
) -> BatchAlignment:
    """Return ranks that are aligned between the batches of a lineage, if that is asked for; otherwise the places as they are."""
    if not by_expression(align):
        return BatchAlignment(position, no_alignment())
    of_groups = [np.flatnonzero(groups.code == g) for g in range(len(groups.names))]
    placed = Placed(groups.code, position, of_groups, weights, cell)
    learned = ~(sides == TEST).all(axis=1)
    return align_batches(values, placed, groups.lineage, learned, seconds, np.random.default_rng(0), align)


def _for_training(
    position: NDArray[np.float64],
    groups: CellGroups,
    sides: NDArray[np.int8],
    weights: NDArray[np.float64] | None,
    cell: NDArray[np.int64] | None,
) -> Placed:
    """Return the places of the cells without those of a test window inside a trajectory."""
    code = groups.code.copy()
    for g, of_bins in enumerate(sides):
        if len(np.unique(of_bins)) > 1:
            own = np.flatnonzero(groups.code == g)
            code[own[of_bins[own_bin(position[own], len(of_bins))] == TEST]] = -1
    return Placed(code, position, [np.flatnonzero(code == g) for g in range(len(groups.names))], weights, cell)


def _kernels(
    position: NDArray[np.float64],
    groups: CellGroups,
    sides: NDArray[np.int8],
    bandwidths: NDArray[np.float64],
    *,
    n_bins: int,
    min_cells: float,
    disjoint: bool,
    weights: NDArray[np.float64] | None = None,
) -> list[Kernels]:
    """Return the kernels of every trajectory; held-out windows and their surroundings share no cell."""
    return [
        fit_kernels(
            position[groups.code == g],
            n_bins=n_bins,
            bandwidth=1.0 if disjoint else float(bandwidth),  # without any meaning for disjoint bins
            min_cells=min_cells,
            weights=None if weights is None else weights[groups.code == g],
            disjoint=disjoint,
            side=of_bins if len(np.unique(of_bins)) > 1 else None,
        )
        for g, (bandwidth, of_bins) in enumerate(zip(bandwidths, sides, strict=True))
    ]


def _kept(
    behind: NDArray[np.float64],
    position: NDArray[np.float64],
    groups: CellGroups,
    kernels: list[Kernels],
    min_cells: float,
    align: str,
    *,
    disjoint: bool,
) -> NDArray[np.bool_]:
    """Which (group, draw, bin) stand on cells: evaluated on all cells, the same for every bootstrap."""
    enough = np.ones(behind.shape, dtype=bool)
    for g in range(len(groups.names)):
        own = position[groups.code == g]
        half = 0.5 / len(kernels[g].centres)
        if align == "none":  # no extrapolation of a trajectory beyond its own cells
            covered = (kernels[g].centres > own.min() - half) & (kernels[g].centres < own.max() + half)
            enough[g] &= covered[None]
        if disjoint:
            enough[g] &= behind[g, :1] >= min_cells
    short = [groups.names[g] for g in range(len(groups.names)) if enough[g, 0].sum() < 2]
    if short:
        raise ValueError(f"Fewer than two bins are left of {short}; lower n_bins or min_cells, or use align='rank'.")
    dropped = int((~enough[:, 0]).sum())
    if dropped:
        logger.info("    %d of %d bins have too few cells and are left out", dropped, enough[:, 0].size)
    return enough


def _bin_table(
    groups: CellGroups,
    kernels: list[Kernels],
    behind: NDArray[np.float64],
    keep: NDArray[np.bool_],
    position: NDArray[np.float64],
    seconds: NDArray[np.float64],
    horizon: float,
    weights: NDArray[np.float64],
) -> pd.DataFrame:
    """One row per kept state, sorted by group, draw and bin."""
    cell_time, zero, one = np.full(behind.shape, np.nan), np.zeros_like(groups.code), weights[None]
    for g, kernel in enumerate(kernels):
        own = groups.code == g
        means, _ = binned_means(as_expression(seconds[own][:, None]), zero[own], position[own], [kernel], one[:, own])
        cell_time[g] = means[0, 0, :, 0]
    group, draw, place = np.nonzero(keep)
    names = np.array(resampled_names(groups.names, keep.shape[1] - 1), dtype=object)  # (draws, groups)
    trajectory = names[draw, group]
    table = pd.DataFrame(
        {
            "time": kernels[0].centres[place] * horizon,
            "trajectory": pd.Categorical(trajectory, categories=pd.unique(trajectory)),
            "lineage": pd.Categorical(np.array(groups.lineage, dtype=object)[group]),
            "batch": pd.Categorical(np.array(groups.batch, dtype=object)[group]),
            "bootstrap": draw,
            "n_cells": behind[keep],
            "cell_time": cell_time[keep],
        },
        index=pd.Index([f"{t}_bin{b:02d}" for t, b in zip(trajectory, place, strict=True)]),
    )
    return table


def _sides(
    groups: CellGroups,
    n_bins: int,
    split: NDArray[np.int8] | None,
    hold_out: float | None,
    rng: np.random.Generator,
    *,
    validation: bool,
) -> NDArray[np.int8]:
    """Return the split of every bin, (groups, bins): whole groups, or windows of bins where there are too few."""
    if split is not None:
        of_group = _group_split(split, groups)
        return np.repeat(np.array([of_group[name] for name in groups.names], np.int8)[:, None], n_bins, axis=1)
    rows = np.repeat(np.arange(len(groups.names)), n_bins)
    kind = pd.factorize(np.array(groups.lineage, dtype=object))[0][rows]
    batch = pd.factorize(np.array(groups.batch, dtype=object))[0][rows]
    together = batch if batch.any() else None
    found = default_split(rows, together=together, stratum=kind, fraction=hold_out, validation=validation, rng=rng)
    return found.reshape(-1, n_bins)


def _group_split(split: NDArray[np.int8], groups: CellGroups) -> dict[str, int]:
    """Split of each group, from the codes of its cells."""
    of_group = {}
    for g, name in enumerate(groups.names):
        found = np.unique(split[groups.code == g])
        if len(found) > 1:
            raise ValueError(
                f"The cells of trajectory {name!r} have {len(found)} different splits; bins smooth over cells, so a "
                "trajectory (lineage and batch) is held out whole. Label whole trajectories, or give no split."
            )
        of_group[name] = int(found[0])
    return of_group
