"""From AnnData to what models train on: trajectories in scaled units, and a prior on the same genes."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import (
    AlignedPrior,
    CellHalves,
    TimeSeries,
    check_adata,
    check_log,
    expression,
    gene_indices,
    gene_mask,
    lowest_values,
    obs_column,
    prior_from,
    time_column,
)
from scdash._errors import suggest, unknown, unused
from scdash._logging import logger
from scdash.fitting import FitProblem, Units
from scdash.tl._observed import Rows, from_bins, from_cells, from_states

Observations = Literal["auto", "cells", "states"]
BINS = 20  # per trajectory of cells, where the user names no number
LARGEST = 3000  # genes taken without being asked which


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
    lowest: NDArray[np.float64] | None = None  # (genes,), lowest value of each gene over all rows; None: see the states

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
    n_bins: int | None,
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
    rows = Rows(values, time, group, split)
    cells = not binned and (observations == "cells" or (observations == "auto" and rows.look_like_cells))
    if cells:
        check_log(values)
        batch = None if batch_key is None else obs_column(adata, batch_key, "batch_key")
        observed = from_cells(
            rows, batch, n_bins=BINS if n_bins is None else n_bins, regulators=flagged, seed=seed, controls=controls
        )
    elif n_bins is not None:
        made = "were made by scdash.pp.trajectories(n_bins=...)" if binned else "are states, of which no bins are made"
        raise unused("n_bins", f"the rows of adata {made}")
    elif batch_key is not None:
        raise ValueError("batch_key is for cells; states name their trajectories by trajectory_key alone.")
    else:
        observed = from_bins(adata, columns, rows, seed) if binned else from_states(rows, seed)
    _check_series(observed.series, values.name, split_key, "bins" if cells else "states")
    aligned = None if prior is None else prior_from(adata, prior, genes=values.genes)
    together = None if coregulation is None else prior_from(adata, coregulation, genes=values.genes)
    return DynamicsInputs(
        series=observed.series,
        minimum=observed.minimum,
        range=observed.range,
        columns=columns,
        cells=cells or binned,
        prior=aligned,
        regulators=flagged,
        coregulation=together,
        cell_position=observed.cell_position,
        lineage=observed.lineage,
        halves=observed.halves,
        shuffled_halves=observed.shuffled_halves,
        lowest=None if binned else lowest_values(values),
    )


def _check_series(series: TimeSeries, name: str, split_key: str | None, kind: str) -> None:
    """Raise where there is nothing to learn, or nothing to choose models by; tell the log what was read."""
    genes = series.states.shape[1]
    if not np.ptp(series.states, axis=0).any():
        raise ValueError(
            f"{name}: none of the {genes} genes changes between the {len(series)} states; there are no "
            "dynamics to learn. Look at the values, or pass another layer."
        )
    logger.info("    %d genes, %s", genes, _counted(series, kind))
    if not len(series.pairs("validation")):
        raise ValueError(
            f"split_key={split_key!r} leaves no validation state: models are chosen by validation error. Label some "
            "trajectories (or a stretch of one) 'validation', or give no split_key."
        )


def _counted(series: TimeSeries, kind: str) -> str:
    """Say how many states and trajectories there are; bootstraps of cells are no further trajectories."""
    own = series.originals()
    number = len(np.unique(own.trajectory))
    text = f"{len(own)} {kind} of {number} {'trajectory' if number == 1 else 'trajectories'}"
    more = len(np.unique(series.trajectory)) - number
    return f"{text}, and {more // number} bootstraps of each" if more else text


def _symmetric(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Coregulation has no direction: a pair counts however it was listed."""
    weights = abs(matrix)
    return weights.maximum(weights.T).tocsr()


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
