"""From AnnData to what models train on: trajectories in scaled units, and a prior on the same genes."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import (
    AlignedPrior,
    CellHalves,
    Expression,
    TimeSeries,
    cells_to_series,
    check_adata,
    check_log,
    expression,
    gene_indices,
    gene_mask,
    halve_cells,
    obs_column,
    prior_from,
    rank_align,
    series_from_states,
    time_column,
)
from scdash._errors import suggest, unknown
from scdash._logging import logger
from scdash.fitting import FitProblem, Units

Observations = Literal["auto", "cells", "states"]
LARGEST = 3000  # genes taken without being asked which
HORIZON = 10.0  # length of pseudotime as models see it
N_BOOTSTRAP = 8  # re-drawn trajectories that show a model how uncertain each bin is


@dataclass(frozen=True)
class DynamicsInputs:
    """Everything a fit of dynamics reads from AnnData."""

    series: TimeSeries  # scaled units: (value - minimum) / range
    minimum: NDArray[np.float64]  # (genes,)
    range: NDArray[np.float64]
    columns: NDArray[np.int64]  # of the modelled genes in adata.var
    cells: bool  # rows are cells in pseudotime, smoothed into bins
    prior: AlignedPrior | None
    regulators: NDArray[np.int64] | None  # positions among the modelled genes; None: every gene may regulate
    coregulation: AlignedPrior | None = None
    cell_position: NDArray[np.float64] | None = None  # place of every cell on the time axis of the bins
    lineage: NDArray[np.intp] | None = None  # (trajectories,), code of the lineage of each
    halves: CellHalves | None = None
    shuffled_halves: CellHalves | None = None

    @property
    def problem(self) -> FitProblem:
        """Return what a fit needs, on arrays; matrices turn to (target, regulator)."""
        return FitProblem(
            series=self.series,
            prior=None if self.prior is None else self.prior.signs.T.tocsr(),
            coregulation=None if self.coregulation is None else _symmetric(self.coregulation.matrix),
            regulators=self.regulators,
            lineage=self.lineage,
            halves=self.halves,
            shuffled_halves=self.shuffled_halves,
            units=Units(self.minimum, self.range),
        )


def read_inputs(
    adata: Any,
    *,
    layer: str | None,
    mask_var: Any,
    time_key: str | None,
    trajectory_key: str | None,
    batch_key: str | None,
    split_key: str | None,
    observations: Observations,
    prior: Any,
    coregulation: Any,
    regulators: Any,
    n_bins: int,
    seed: int,
    controls: bool = False,
) -> DynamicsInputs:
    """Check and read what `fit_dynamics` was given; errors name the argument and the remedy."""
    if observations not in ("auto", "cells", "states"):
        raise unknown("observations", observations, ("auto", "cells", "states"))
    check_adata(adata)
    binned = "trajectories" in adata.uns and {"time", "trajectory"} <= set(adata.obs.columns)
    if binned:
        time_key = "time" if time_key in (None, "dpt_pseudotime") else time_key
        trajectory_key = trajectory_key or "trajectory"
        layer = layer or ("scaled" if "scaled" in adata.layers else None)
        split_key = split_key or ("split" if "split" in adata.obs else None)
    columns = np.flatnonzero(gene_mask(adata, mask_var, limit=LARGEST))
    values = expression(adata, layer=layer, genes=adata.var_names[columns])
    time = time_column(adata, time_key or "dpt_pseudotime")
    group = None if trajectory_key is None else obs_column(adata, trajectory_key, "trajectory_key")
    split = None if split_key is None else obs_column(adata, split_key, "split_key")
    flagged = None if regulators is None else flag_genes(adata, regulators, values.genes, "regulators")
    position = lineage = halves = shuffled = None
    cells = not binned and (observations == "cells" or (observations == "auto" and _looks_like_cells(time, group)))
    if cells:
        check_log(values)
        batch = None if batch_key is None else obs_column(adata, batch_key, "batch_key")
        made = cells_to_series(
            values,
            values.genes,
            time,
            lineage=group,
            batch=batch,
            n_bins=n_bins,
            n_bootstrap=N_BOOTSTRAP,
            horizon=HORIZON,
            split=split,
            rng=seed,
        )
        series, minimum, width = made.series, made.minimum, made.range
        lineage = _lineages(made.bins["lineage"], series)
        halves = _halves(values, time, group, batch, split, n_bins, seed, flagged)
        if controls:
            shuffled = _halves(values, time, group, batch, split, n_bins, seed, flagged, shuffled=True)
        labels = [column.astype(str) for column in (group, batch) if column is not None]
        position = HORIZON * rank_align(
            time, None if not labels else ["|".join(row) for row in zip(*labels, strict=True)]
        )
    else:
        if batch_key is not None:
            raise ValueError("batch_key is for cells; states name their trajectories by trajectory_key alone.")
        series = series_from_states(values, values.genes, time, group, split, rng=seed)
        series, minimum, width = _scaled_bins(adata, columns, series) if binned else _scaled_states(series)
        if binned and "lineage" in adata.obs:
            lineage = _lineages_of_bins(
                adata.obs["lineage"], obs_column(adata, trajectory_key or "", "trajectory_key"), series
            )
    if not np.ptp(series.states, axis=0).any():
        raise ValueError(
            f"{values.name}: none of the {len(columns)} genes changes between the {len(series)} states; there are no "
            "dynamics to learn. Look at the values, or pass another layer."
        )
    logger.info(
        "    %d genes, %d %s of %d trajectories",
        len(columns),
        len(series),
        "bins" if cells else "states",
        len(series.names),
    )
    if not len(series.pairs("validation")):
        raise ValueError(
            f"split_key={split_key!r} leaves no validation state: models are chosen by validation error. Label some "
            "trajectories (or a stretch of one) 'validation', or give no split_key."
        )
    aligned = None if prior is None else prior_from(adata, prior, genes=values.genes)
    together = None if coregulation is None else prior_from(adata, coregulation, genes=values.genes)
    return DynamicsInputs(
        series=series,
        minimum=minimum,
        range=width,
        columns=columns,
        cells=cells or binned,
        prior=aligned,
        regulators=flagged,
        coregulation=together,
        cell_position=position,
        lineage=lineage,
        halves=halves,
        shuffled_halves=shuffled,
    )


def _lineages(labels: Any, series: TimeSeries) -> NDArray[np.intp]:
    """Return the code of the lineage of every trajectory, from the label of every row."""
    code = np.zeros(len(series.names), np.intp)
    code[series.trajectory] = pd.factorize(np.asarray(labels).astype(str))[0]
    return code


def _lineages_of_bins(labels: pd.Series, trajectories: pd.Series, series: TimeSeries) -> NDArray[np.intp]:
    """Return the same for bins in any order."""
    of = dict(zip(trajectories.astype(str), labels.astype(str), strict=True))
    return np.asarray(pd.factorize(np.array([of[name] for name in series.names]))[0], dtype=np.intp)


def _halves(
    values: Expression,
    time: NDArray[np.float64],
    lineage: Any,
    batch: Any,
    split: Any,
    n_bins: int,
    seed: int,
    regulators: NDArray[np.int64] | None,
    *,
    shuffled: bool = False,
) -> CellHalves:
    """Return bins of disjoint halves of the cells; cells of test trajectories take no part."""
    return halve_cells(
        values,
        time,
        lineage=lineage,
        batch=batch,
        n_bins=n_bins,
        shuffled=shuffled,
        leave_out=None if split is None else np.asarray(split).astype(str) == "test",
        sources=regulators,
        rng=np.random.default_rng([seed, 4 + shuffled]),
    )


def _symmetric(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Coregulation has no direction: a pair counts however it was listed."""
    weights = abs(matrix)
    return weights.maximum(weights.T).tocsr()


def _looks_like_cells(time: NDArray[np.float64], group: pd.Series | None) -> bool:
    """Cells each have a time of their own and come in hundreds; samples of a time course share few times."""
    largest = len(time) if group is None else int(group.value_counts().iloc[0])
    return largest > 50 and len(np.unique(time)) > len(time) / 2


def _scaled_bins(
    adata: Any, columns: NDArray[np.int64], series: TimeSeries
) -> tuple[TimeSeries, NDArray[np.float64], NDArray[np.float64]]:
    """Bins made by `pp.trajectories` are scaled already and carry their units in var."""
    if not {"minimum", "range"} <= set(adata.var.columns):
        return _scaled_states(series)
    return series, adata.var["minimum"].to_numpy(float)[columns], adata.var["range"].to_numpy(float)[columns]


def _scaled_states(series: TimeSeries) -> tuple[TimeSeries, NDArray[np.float64], NDArray[np.float64]]:
    """Leave values that live near [0, 1] as they are; rescale others by the training states' range per gene.

    The activation functions bend around 1/2, so that the unit of a gene matters.
    """
    n = series.states.shape[1]
    if series.states.min() > -0.75 and series.states.max() < 1.75:
        return series, np.zeros(n), np.ones(n)
    train = series.states[series.rows_of("train")]
    low, width = train.min(0), np.ptp(train, axis=0)
    floor = 0.1 * float(np.median(width[width > 0])) if (width > 0).any() else 1.0  # flat genes are not blown up
    width = np.maximum(width, floor)
    logger.info("    values are outside [0, 1]: every gene is rescaled by its range in the training states")
    return replace(series, states=(series.states - low) / width), low, width


def flag_genes(adata: Any, chosen: Any, genes: pd.Index, argument: str) -> NDArray[np.int64]:
    """Return the positions of chosen genes among the modelled ones, from a boolean var column or a list of names."""
    if isinstance(chosen, str):
        if chosen not in adata.var:
            raise KeyError(f"{argument}={chosen!r} is not a column of adata.var.{suggest(chosen, adata.var.columns)}")
        names = adata.var_names[adata.var[chosen].astype(bool).to_numpy()]
    else:
        names = adata.var_names[gene_indices(adata, list(chosen), argument)]
    found = np.flatnonzero(genes.isin(names))
    if not len(found):
        raise ValueError(f"{argument}: none of the {len(names)} is among the {len(genes)} modelled genes.")
    return found
