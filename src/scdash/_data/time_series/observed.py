"""Rows of AnnData to trajectories in scaled units: cells smoothed into bins, bins made before, or states."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.logging import expect, logger, progress_bar
from scdash._data import (
    CellHalves,
    Expression,
    HalfOfCells,
    LeftOutTimes,
    Placed,
    RelatedCells,
    StandardTime,
    Times,
    TimeSeries,
    cells_to_series,
    finer_than_cells,
    halve_cells,
    halves_to_learn_from,
    kernel_means,
    origins_and_batches,
    series_from_states,
)
from scdash._data.time_series.observations import CellAlign

if TYPE_CHECKING:
    from anndata import AnnData


HORIZON = 10.0  # length of pseudotime as models see it
MANY_ROWS = 50  # above which rows may be cells
SHARED = 5  # rows of a trajectory with the same time (their median) from which times are sampled ones
READING, PARTS = "smoothing cells", 4  # bins, halves, halves with shuffled times, halves to learn from
BOOTSTRAPS = 8  # of every trajectory: the same from resampled cells, which show a model how uncertain its bins are
# the same for training on whole trajectories, a step of which sees some of them: see `n_bootstraps`
MOST_BOOTSTRAPS = 64
RESAMPLED_CELLS = 160_000  # in all bootstraps together, above which fewer are made
ALL_BOOTSTRAPS = 320  # of all trajectories together, above which fewer are made of each


@dataclass(frozen=True)
class Rows:
    """Expression of the modelled genes, and what is known of every row."""

    values: Expression
    time: Times
    group: pd.Series | None  # lineage of a cell, trajectory of a state; NaN: the row takes no part
    split: pd.Series | None  # NaN: the row takes no part
    batch: pd.Series | None = None  # of a cell; NaN: the row takes no part
    weights: NDArray[np.float64] | None = None  # of a cell in its lineage; None: every row counts fully
    cell: NDArray[np.int64] | None = None  # row of adata, where a cell has a row for each of its lineages
    n_cells: int = 0  # rows of adata, where cells have rows for their lineages
    together: pd.Series | None = None  # of samples with predecessors: trajectories that are left out together
    since_start: NDArray[np.float64] | None = None  # (rows of adata,), of such samples: their time
    pseudotime: NDArray[np.float64] | None = None  # of a cell, that orders the cells of a sampled time

    @property
    def look_like_cells(self) -> bool:
        """Cells each have a time of their own and come in hundreds; samples of a time course share few times."""
        if self.weights is not None:
            return True
        times = self.time.values
        largest = len(times) if self.group is None else int(self.group.value_counts().iloc[0])
        return largest > MANY_ROWS and len(np.unique(times)) > len(times) / 2

    @property
    def are_sampled(self) -> bool:
        """Cells at few sampled times: many rows of a trajectory share a time."""
        times = self.time.values
        group = np.zeros(len(times), np.int64) if self.group is None else self.group.cat.codes.to_numpy()
        if self.batch is not None:
            group = group * (int(self.batch.cat.codes.max()) + 1) + self.batch.cat.codes.to_numpy()
        inside = np.isfinite(times) & ~self.left_out
        counts = pd.DataFrame({"group": group, "time": times})[inside].value_counts()
        return len(counts) > 0 and float(counts.median()) >= SHARED

    def trajectories(self, used: NDArray[np.bool_]) -> pd.DataFrame:
        """Return the codes of the lineages and batches that occur together among the rows used: a row for each pair."""
        none = np.zeros(len(used), np.int64)
        lineage, batch = (none if one is None else one.cat.codes.to_numpy() for one in (self.group, self.batch))
        pairs = pd.DataFrame({"lineage": lineage, "batch": batch})[used & (lineage >= 0) & (batch >= 0)]
        return pairs.drop_duplicates()

    @property
    def left_out(self) -> NDArray[np.bool_]:
        """Rows that lack a label."""
        found = np.zeros(len(self.time.values), dtype=bool)
        for column in (self.group, self.split, self.batch):
            found |= False if column is None else column.isna().to_numpy()
        return found

    @property
    def for_test(self) -> NDArray[np.bool_]:
        """Rows that the user has labelled for test."""
        none = np.zeros(len(self.time.values), dtype=bool)
        return none if self.split is None else (self.split == "test").to_numpy(dtype=bool, na_value=False)

    def placed(self, position: NDArray[np.float64] | None, *, test: bool = True) -> Placed:
        """Return the places of the cells, with or without those for test; a position of None stands for their ranks."""
        left_out = self.left_out if test else self.left_out | self.for_test
        return Placed.of(self.time.values, self.group, self.batch, left_out, self.weights, self.cell, position)


@dataclass(frozen=True)
class Observed:
    """Trajectories in scaled units, (value - minimum) / range, and what cells tell besides."""

    series: TimeSeries
    minimum: NDArray[np.float64]  # (genes,)
    range: NDArray[np.float64]
    lineage: NDArray[np.intp] | None = None  # (trajectories,), code of the lineage of each
    lineage_names: tuple[str, ...] = ()  # of the codes
    cell_position: NDArray[np.float64] | None = None  # place of every cell on the time axis of the bins
    halves: CellHalves | None = None
    shuffled_halves: CellHalves | None = None
    learning_halves: tuple[HalfOfCells, ...] = ()
    kernel_means: NDArray[np.float64] | None = None  # (trajectories, bins, genes), of all cells
    standard: StandardTime = StandardTime()
    user_times: NDArray[np.float64] | None = None  # of the states; None: those of the series
    related: tuple[RelatedCells, ...] = ()  # of cells at sampled times
    left_out_times: tuple[LeftOutTimes, ...] = ()
    couplings: str | None = None  # which are used, of cells at sampled times
    alignment: pd.DataFrame | None = None  # of the batches of cells in pseudotime; see `BatchAlignment`
    in_units_of_bins: bool = False  # minimum and range were made with the bins, and lead back to their X

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the states in the user's unit."""
        return self.series.times if self.user_times is None else self.user_times


def n_bootstraps(rows: Rows, *, by_folds: bool) -> int:
    """Return how many bootstraps of each trajectory are made, which say how uncertain its bins are.

    Which of many similar genes regulates is decided by small differences. With 8 bootstraps the networks of two seeds
    share a fourth of their edges, with 64 a half, at the same held-out error (one batch of erythroid cells, and one
    lineage of paul15). Training on whole trajectories sees a fixed number in every step, so that more of them cost little;
    training on pairs of states sees all of them in every epoch. Bins of very many cells are certain.
    """
    if not by_folds:
        return BOOTSTRAPS
    used = ~rows.left_out
    number = min(RESAMPLED_CELLS / max(int(used.sum()), 1), ALL_BOOTSTRAPS / max(len(rows.trajectories(used)), 1))
    return int(np.clip(number, BOOTSTRAPS, MOST_BOOTSTRAPS))


def rounded_pseudotime(rows: Rows, time_key: str, n_bins: int, seed: int) -> bool:
    """Return whether times that many cells share are a pseudotime of rounded values, and tell the log if so.

    They are sampled times where they have a unit, or where a pseudotime orders the cells of each, and where there are no more of them than `n_bins`.
    """
    if rows.time.unit is not None or rows.pseudotime is not None:
        return False
    placed = rows.placed(None, test=False)
    if not finer_than_cells(rows.values, rows.time.values, placed, n_bins, np.random.default_rng([seed, 9])):
        return False
    logger.info(
        f"    {time_key!r} has many values with few cells each, which the values around predict better than cells of the same value "
        "do: it is taken as a pseudotime, and cells are smoothed into bins. For one state per value instead, give "
        "observations=scdash.Cells(couplings='none')"
    )
    return True


def from_cells(
    rows: Rows,
    *,
    n_bins: int,
    regulators: NDArray[np.int64] | None,
    seed: int,
    shuffled: bool,
    hold_out: float | None,
    by_folds: bool,
    align: CellAlign = "auto",
) -> Observed:
    """Return cells in pseudotime as trajectories of bins; with `shuffled` also halves with shuffled times.

    `align`: whether the ranks of batches are aligned by expression, see `cells_to_series`.
    `by_folds`: the model is chosen by folds, which take no validation states, but halves of the cells to learn from where a
    lineage has a single trajectory, and is evaluated against kernel means of the cells.
    """
    if by_folds:  # until the folds are known: a usual fit, in trainings of one model
        expect({READING: (PARTS, 0.5), "the fit": (1, 25.0)})
    with progress_bar(PARTS, READING, progress=False) as bar:  # seen as a part of the whole call alone
        return _cells(rows, n_bins, regulators, seed, hold_out, bar.update, align, shuffled=shuffled, by_folds=by_folds)


def _cells(
    rows: Rows,
    n_bins: int,
    regulators: NDArray[np.int64] | None,
    seed: int,
    hold_out: float | None,
    done: Callable[[], object],
    align: CellAlign,
    *,
    shuffled: bool,
    by_folds: bool,
) -> Observed:
    bootstraps = n_bootstraps(rows, by_folds=by_folds)
    made = cells_to_series(
        rows.values,
        rows.values.genes,
        rows.time.values,
        lineage=rows.group,
        batch=rows.batch,
        n_bins=n_bins,
        n_bootstrap=bootstraps,
        horizon=HORIZON,
        split=rows.split,
        hold_out=hold_out,
        validation=not by_folds,
        rng=seed,
        weights=rows.weights,
        cell=rows.cell,
        align=align,
    )
    done()
    placed = rows.placed(made.position)
    learned_from = rows.placed(made.position, test=False)
    halves = _halves(rows, learned_from, n_bins, regulators, seed)
    done()
    shuffled_halves = _halves(rows, learned_from, n_bins, regulators, seed, shuffled=True) if shuffled else None
    done()
    learning_halves = []
    if by_folds and _has_single_trajectories(rows):
        learning_halves = halves_to_learn_from(
            rows.values, learned_from, n_bins=n_bins, horizon=HORIZON, n_bootstrap=bootstraps,
            rng=np.random.default_rng([seed, 6]),
        )  # fmt: skip
    done()
    return Observed(
        made.series,
        made.minimum,
        made.range,
        lineage=lineages_of_rows(made.bins["lineage"], made.series),
        lineage_names=tuple(pd.unique(made.bins["lineage"].astype(str))),
        cell_position=HORIZON * mean_of_cells(np.where(placed.code < 0, np.nan, placed.position), rows),
        halves=halves,
        shuffled_halves=shuffled_halves,
        kernel_means=kernel_means(rows.values, placed, n_bins) if by_folds else None,
        learning_halves=tuple(learning_halves),
        alignment=made.alignment,
    )


def mean_of_cells(values: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
    """Return one value for every cell of adata: the weighted mean over its lineages, NaN where it takes no part."""
    if rows.cell is None or rows.weights is None:
        return values
    known = np.isfinite(values)
    cell, weight = rows.cell[known], rows.weights[known]
    total = np.bincount(cell, weights=weight, minlength=rows.n_cells)
    found = np.bincount(cell, weights=weight * values[known], minlength=rows.n_cells)
    return np.asarray(np.divide(found, total, out=np.full(rows.n_cells, np.nan), where=total > 0))


def from_bins(adata: "AnnData", columns: NDArray[np.int64], rows: Rows, seed: int, hold_out: float) -> Observed:
    """Return bins made by `pp.trajectories`, which are scaled already and carry their units in `var`."""
    series = series_from_states(
        rows.values, rows.values.genes, rows.time.values, rows.group, rows.split, fraction=hold_out, rng=seed
    )
    if {"minimum", "range"} <= set(adata.var.columns):
        minimum, width = (adata.var[name].to_numpy(float)[columns] for name in ("minimum", "range"))
        found = Observed(series, minimum, width, in_units_of_bins=True)
    else:
        found = _scaled(series)
    if rows.group is not None:  # whose cells a trajectory was made of stands in the columns that pp.trajectories wrote
        bins = adata.obs.assign(trajectory=rows.group.astype(str).to_numpy())
        origin, group = origins_and_batches(bins, series.names)
        found = replace(found, series=replace(found.series, origin=origin, group=group))
    if rows.group is None or "lineage" not in adata.obs:
        return found
    code, names = _lineages_of_bins(adata.obs["lineage"], rows.group, found.series)
    return replace(found, lineage=code, lineage_names=names)


def from_states(rows: Rows, seed: int, hold_out: float) -> Observed:
    """Return rows that are one state each, with times in the standard unit, so that the user's unit changes no fit."""
    series = series_from_states(
        rows.values,
        rows.values.genes,
        rows.time.values,
        rows.group,
        rows.split,
        group=rows.together,
        fraction=hold_out,
        rng=seed,
    )
    standard = StandardTime.of(series.times, series.trajectory)
    found = _scaled(replace(series, times=standard.apply(series.times)))
    return replace(found, standard=standard, user_times=series.times, cell_position=rows.since_start)


def lineages_of_rows(labels: Any, series: TimeSeries) -> NDArray[np.intp]:
    """Return the code of the lineage of every trajectory, from the label of every row."""
    code = np.zeros(len(series.names), np.intp)
    code[series.trajectory] = pd.factorize(np.asarray(labels).astype(str))[0]
    return code


def _lineages_of_bins(
    labels: pd.Series, trajectories: pd.Series, series: TimeSeries
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the same for bins in any order, and the names of the codes."""
    of = dict(zip(trajectories.astype(str), labels.astype(str), strict=True))
    code, names = pd.factorize(np.array([of[name] for name in series.names]))
    return np.asarray(code, dtype=np.intp), tuple(str(name) for name in names)


def _halves(
    rows: Rows,
    placed: Placed,
    n_bins: int,
    regulators: NDArray[np.int64] | None,
    seed: int,
    *,
    shuffled: bool = False,
) -> CellHalves:
    """Return bins of disjoint halves of the cells; cells of test trajectories take no part."""
    rng = np.random.default_rng([seed, 4 + shuffled])
    return halve_cells(rows.values, placed, n_bins=n_bins, shuffled=shuffled, sources=regulators, rng=rng)


def _has_single_trajectories(rows: Rows) -> bool:
    """Return whether a lineage has fewer than two batches that are not for test, so that none can be left out."""
    pairs = rows.trajectories(~(rows.for_test | rows.left_out))
    return bool(pairs["lineage"].value_counts().min() < 2)


def _scaled(series: TimeSeries) -> Observed:
    """Leave values that live near [0, 1] as they are; rescale others by the training states' range per gene.

    The activation functions bend around 1/2, so that the unit of a gene matters.
    """
    n = series.states.shape[1]
    if series.states.min() > -0.75 and series.states.max() < 1.75:
        return Observed(series, np.zeros(n), np.ones(n))
    train = series.states[series.rows_of("train")]
    low, width = train.min(0), np.ptp(train, axis=0)
    floor = 0.1 * float(np.median(width[width > 0])) if (width > 0).any() else 1.0  # flat genes are not blown up
    width = np.maximum(width, floor)
    logger.info("    values are outside [0, 1]: every gene is rescaled by its range in the training states")
    return Observed(replace(series, states=(series.states - low) / width), low, width)
