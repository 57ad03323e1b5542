"""From AnnData to what models train on: trajectories in scaled units, and a prior on the same genes."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import unused
from scdash._core.fit_settings import DataKeys
from scdash._core.network import Network
from scdash._core.types import Genes, PriorLike
from scdash._data import (
    AlignedPrior,
    Expression,
    check_log,
    check_scaled,
    expression,
    gene_mask,
    is_membership_table,
    lowest_values,
    prior_from,
    scaled_by_scanpy,
)
from scdash._data.checks import flag_genes
from scdash._data.time_series.observations import CellAlign, Couplings, Kind, Samples
from scdash._data.time_series.observed import Observed, Rows, from_bins, from_cells, from_states, rounded_pseudotime
from scdash._data.time_series.row_labels import read_rows, rows_of_samples
from scdash._data.time_series.sampled_cells import from_sampled
from scdash.dynamics.input_checks import check_series, check_use, check_validation
from scdash.dynamics.problem import FitProblem, Units, VelocityOfCells
from scdash.dynamics.velocity_input import velocity_of_cells

TIME_KEY = "dpt_pseudotime"  # where scanpy and `pp.order_cells` write pseudotime
BINS = 20  # per trajectory of cells, where the user names no number
HELD_OUT = 0.1  # fraction of trajectories, or of states, for validation and again for test
LARGEST = 3000  # genes taken without being asked which


@dataclass(frozen=True)
class DynamicsInputs:
    """Everything a fit of dynamics reads from AnnData."""

    observed: Observed  # trajectories in scaled units, and what cells tell besides
    columns: NDArray[np.int64]  # of the modelled genes in adata.var
    cells: bool  # rows are cells in pseudotime, smoothed into bins
    keys: DataKeys  # where the data were read, to be read there again
    time_unit: str | None  # of the user's times, where it is known
    prior: AlignedPrior | None
    regulators: NDArray[np.int64] | None  # positions among the modelled genes; None: every gene may regulate
    coregulation: AlignedPrior | None
    velocity: VelocityOfCells | None  # measured velocities of cells
    lowest: NDArray[np.float64] | None  # (genes,), lowest value of each gene over all rows; None: see the states

    @property
    def settings(self) -> dict[str, Any]:
        """What later functions need to read the same data again, and to speak of time in the user's unit."""
        observed = self.observed
        return asdict(self.keys) | {
            "time_unit": self.time_unit,
            "time_scale": observed.standard.scale,
            **({} if self.regulators is None else {"regulators": list(observed.series.genes[self.regulators])}),
            "model_time": self.cells and observed.cell_position is not None and observed.couplings is None,
            **({} if observed.couplings is None else {"couplings": observed.couplings}),
        }

    @property
    def problem(self) -> FitProblem:
        """Return what a fit needs, on arrays; matrices turn to (target, regulator)."""
        observed = self.observed
        return FitProblem(
            series=observed.series,
            prior=None if self.prior is None else Network.from_outgoing(self.prior.signs).incoming,
            coregulation=None if self.coregulation is None else _symmetric(self.coregulation.matrix),
            regulators=self.regulators,
            lineage=observed.lineage,
            lineage_names=observed.lineage_names,
            halves=observed.halves,
            shuffled_halves=observed.shuffled_halves,
            learning_halves=observed.learning_halves,
            related=observed.related,
            left_out_times=observed.left_out_times,
            kernel_means=observed.kernel_means,
            alignment=observed.alignment,
            velocity=self.velocity,
            units=Units(observed.minimum, observed.range),
        )


def read_inputs(
    adata: AnnData,
    *,
    layer: str | None,
    mask_var: Genes | None,
    time_key: str | None,
    trajectory_key: str | None,
    batch_key: str | None,
    split_key: str | None,
    observations: Kind,
    samples: Samples | None = None,
    prior: PriorLike | None,
    coregulation: PriorLike | None,
    regulators: Genes | None,
    n_bins: int | None,
    seed: int,
    shuffled: bool = False,
    allow_scaled: bool = False,
    hold_out: float | None = None,
    by_folds: bool = False,
    align: CellAlign | None = None,
    couplings: Couplings | None = None,
    pseudotime_key: str | None = None,
    velocity: str | tuple[str, str] | None = None,
) -> DynamicsInputs:
    """Check and read what `fit_dynamics` was given; errors name the argument and the remedy.

    `by_folds`: cells are for a model that is chosen by folds, which needs no validation states, and test states only where
    a `split_key` or a fraction to `hold_out` asks for them. `shuffled`: make halves of cells with shuffled times, too.
    """
    binned = is_binned(adata)
    asked = DataKeys(time_key or TIME_KEY, trajectory_key, batch_key, split_key, layer)
    keys = _keys_of_bins(adata, asked) if binned else asked
    columns = np.flatnonzero(gene_mask(adata, mask_var, limit=LARGEST))
    values = expression(adata, layer=keys.layer, genes=adata.var_names[columns])
    _check_hold_out(hold_out, keys)
    rows = _rows(adata, keys, samples, values, pseudotime_key)
    flagged = None if regulators is None else flag_genes(adata, regulators, values.genes, "regulators")
    cells = not binned and _are_cells(rows, observations)
    sampled = cells and _are_sampled(rows, keys.time_key, couplings, n_bins, seed)
    check_use(rows, asked, couplings, align, cells=cells, sampled=sampled)
    if not binned:
        check_scaled(values, states=not cells, known=scaled_by_scanpy(adata), allow=allow_scaled)
    if cells:
        of_cells: dict[str, Any] = {"regulators": flagged, "seed": seed, "shuffled": shuffled, "by_folds": by_folds}
        of_cells |= {"hold_out": hold_out if by_folds else hold_out or HELD_OUT, "n_bins": n_bins}
        observed = _observe_cells(adata, rows, keys.time_key if sampled else None, couplings, align, of_cells)
    else:
        observed = _observe_states(adata, columns, rows, n_bins, seed, hold_out or HELD_OUT)
    check_series(observed.series, values.name, _kind_of_states(rows, cells=cells, sampled=sampled))
    check_validation(observed.series, split_key, needed=not (by_folds and cells))
    keys = keys if samples is None else replace(keys, time_key="")
    return DynamicsInputs(
        observed,
        columns,
        cells=cells or binned,
        keys=replace(keys, layer=layer) if binned and observed.in_units_of_bins else keys,
        time_unit=rows.time.unit,
        prior=None if prior is None else prior_from(adata, prior, genes=values.genes),
        regulators=flagged,
        coregulation=None if coregulation is None else prior_from(adata, coregulation, genes=values.genes),
        velocity=velocity_of_cells(adata, velocity, rows, observed, columns, cells=cells, by_folds=by_folds, seed=seed),
        lowest=None if binned else lowest_values(values),
    )


def _check_hold_out(hold_out: float | None, keys: DataKeys) -> None:
    """Raise where both a fraction and a column say what is held out."""
    if hold_out is not None and keys.split_key is not None:
        raise unused("hold_out of Validation", f"split_key={keys.split_key!r} names what is held out")


def _rows(
    adata: "AnnData", keys: DataKeys, samples: Samples | None, values: Expression, pseudotime_key: str | None
) -> Rows:
    """Return what is known of every row; samples that name their predecessors have no other times and trajectories."""
    if samples is None:
        return read_rows(adata, keys, values, pseudotime_key)
    given = {"time_key": keys.time_key not in ("", TIME_KEY), "trajectory_key": keys.trajectory_key is not None}
    for name in [name for name, there in given.items() if there]:
        raise unused(name, f"times and trajectories follow from observations={samples!r}")
    return rows_of_samples(adata, samples, keys.split_key, values)


def _are_cells(rows: Rows, observations: Kind) -> bool:
    """Return whether rows are cells, as the call says or as they look."""
    return observations == "cells" or (observations == "auto" and (rows.look_like_cells or rows.are_sampled))


def _are_sampled(rows: Rows, time_key: str, couplings: Couplings | None, n_bins: int | None, seed: int) -> bool:
    """Return whether cells are at sampled times, which a call that names couplings says."""
    if not rows.are_sampled or couplings is not None:
        return rows.are_sampled
    return not rounded_pseudotime(rows, time_key, BINS if n_bins is None else n_bins, seed)


def _observe_cells(
    adata: AnnData,
    rows: Rows,
    time_key: str | None,  # of sampled times; None: cells are in pseudotime
    couplings: Couplings | None,
    align: CellAlign | None,
    given: dict[str, Any],
) -> Observed:
    """Return trajectories of cells that are smoothed here."""
    check_log(rows.values)
    if time_key is None:
        n_bins = BINS if given["n_bins"] is None else given["n_bins"]
        return from_cells(rows, align=align or "auto", **given | {"n_bins": n_bins})
    if given["n_bins"] is not None and rows.pseudotime is None:
        raise unused("n_bins", "every sampled time is one bin where no pseudotime_key orders its cells")
    labels = None if is_membership_table(adata, time_key) else adata.obs[time_key]
    return from_sampled(rows, couplings=couplings, labels=labels, **given)


def _observe_states(
    adata: AnnData, columns: NDArray[np.int64], rows: Rows, n_bins: int | None, seed: int, part: float
) -> Observed:
    """Return trajectories of bins made before, or of states, a `part` of them held out."""
    binned = is_binned(adata)
    if n_bins is not None:
        made = "were made by scdash.pp.trajectories(n_bins=...)" if binned else "are states, of which no bins are made"
        raise unused("n_bins", f"the rows of adata {made}")
    return from_bins(adata, columns, rows, seed, part) if binned else from_states(rows, seed, part)


def is_binned(adata: AnnData) -> bool:
    """Return whether `adata` holds bins made by `scdash.pp.trajectories`."""
    return "trajectories" in adata.uns and {"time", "trajectory"} <= set(adata.obs.columns)


def _keys_of_bins(adata: AnnData, asked: DataKeys) -> DataKeys:
    """Return the columns and the layer that `pp.trajectories` has written, where others were not asked for."""
    return DataKeys(
        time_key="time" if asked.time_key == TIME_KEY else asked.time_key,
        trajectory_key=asked.trajectory_key or "trajectory",
        batch_key=asked.batch_key,
        split_key=asked.split_key or ("split" if "split" in adata.obs else None),
        layer=asked.layer or ("scaled" if "scaled" in adata.layers else None),
    )


def _kind_of_states(rows: Rows, *, cells: bool, sampled: bool) -> str:
    """Return what the states are, as the log calls them."""
    if not sampled:
        return "bins" if cells else "states"
    return "sampled times" if rows.pseudotime is None else "bins of sampled times"


def _symmetric(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Coregulation has no direction: a pair counts however it was listed."""
    weights = abs(matrix)
    return weights.maximum(weights.T).tocsr()
