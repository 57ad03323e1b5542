"""Cells to trajectories of smoothed time bins."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scdash._core.errors import unused
from scdash._core.logging import step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG
from scdash._core.types import Genes
from scdash._data import (
    CellSeries,
    cells_to_series,
    check_log,
    check_scaled,
    expression,
    obs_column,
    sanitise,
    scaled_by_scanpy,
    times_of,
)


@guarded
def trajectories(
    adata: AnnData,
    *,
    time_key: str = "dpt_pseudotime",
    lineage_key: str | None = None,
    batch_key: str | None = None,
    split_key: str | None = None,
    layer: str | None = None,
    mask_var: Genes | None = None,
    n_bins: int = 20,
    bandwidth: float | None = None,
    min_cells: float = 5,
    align: Literal["auto", "expression", "rank", "range", "none"] = "auto",
    horizon: float = 10.0,
    n_bootstrap: int = 0,
    scale_by: Sequence[str] | None = None,
    range_floor: float | None = None,
    disjoint: bool = False,
    allow_counts: bool = False,
    allow_scaled: bool = False,
    rng: RNG = 0,
) -> AnnData:
    r"""Smooth cells into one trajectory of time bins per lineage and batch.

    Bin b at place :math:`p_b = (b + 1/2) / n_{bins}` is
    :math:`\bar x_b = \sum_c w_{bc} x_c / \sum_c w_{bc}`, :math:`w_{bc} = \exp(-(p_c - p_b)^2 / 2 h_b^2)`, with
    :math:`h_b` = `bandwidth` / `n_bins`, wider where fewer than `min_cells` effective cells
    :math:`(\sum w)^2 / \sum w^2` stand behind a bin. Sparse X is multiplied by the weights, never densified.

    Parameters
    ----------
    adata
        Cells by genes, log values; X may be sparse, dense, dask or backed.
    time_key
        Column of obs with pseudotime or time.
    lineage_key, batch_key
        Columns of obs; each lineage in each batch is a trajectory of its own. Cells without a label take no part.
    split_key
        Column of obs with train/validation/test, the same for all cells of a trajectory. None: whole trajectories are
        held out where there are three or more to choose from, else two inner windows of bins, whose bins are made
        of their own cells alone (nothing leaks through the smoothing).
    layer
        Layer to read instead of X.
    mask_var
        Boolean array or column of var; None: `highly_variable` if present, else all genes.
    n_bins, bandwidth, min_cells
        Bins per trajectory, kernel width in bins, effective cells each bin must have. Without a width (None) every
        trajectory has the one, of 0.75 to 3 bins, with which one half of its cells predicts the other best.
    align
        Where cells lie on the time axis. "rank": at their ranks within lineage and batch, since pseudotime values are not
        comparable between batches and their order is. "expression": the ranks of the batches of a lineage are aligned by
        dynamic time warping of their mean expression (Sakoe and Chiba 1978; Alpert et al. 2018), because a batch with many
        early cells has other ranks at the same stage. "auto": they are aligned if their times differ at equal ranks, and
        genes that took no part in it then agree clearly better, as the log and `.uns` say. "range": time rescaled to [0, 1]
        within lineage and batch; "none": one scale for all.
    horizon
        Length of the time axis of the result.
    n_bootstrap
        Further trajectories per trajectory, of resampled cells.
    scale_by
        Trajectories that give minimum and range of each gene; None: the training bins.
    range_floor
        Every gene is scaled by its range over the bins, but never by less than this, in the units of the values: the range of
        a gene that hardly changes is noise, and scaled by it the noise would count as much as the change of other genes.
        None: 0.5 for log values; a tenth of the median range where all values lie within 1.5 of each other, such as values
        in [0, 1]. The log counts the genes scaled by it.
    disjoint
        Bins that share no cell, for evaluating next-bin errors; bins with fewer than `min_cells` cells are left out.
    allow_counts
        Accept values that look like counts or are not logged.
    allow_scaled
        Accept values that look centred or scaled (`sc.pp.scale`), such as changes from a reference.
    rng
        Seed or Generator.

    Returns
    -------
    AnnData
        A new AnnData, (bins, genes):
    `.X` : float32
        bin means in log units
    `.layers["scaled"]` : float32
        (X - minimum) / range, what models are trained on
    `.obs` : DataFrame
        `time`, `trajectory`, `lineage`, `batch`, `bootstrap` (0: all cells), `n_cells` (effective), `split`, `cell_time`
        (mean time of the cells behind a bin)
    `.var["minimum"]`, `.var["range"]` : float
        log units; besides the columns of `adata.var`
    `.varp` : as in `adata`, for the genes kept
    `.uns["trajectories"]` : dict
        the parameters, and `bandwidths`, the kernel width of every trajectory in bins; `alignment`, where a lineage has
        several batches: stiffness, the error of the mean of the other batches in genes that took no part (`error`; with ranks
        `error_of_ranks`), and whether the batches are aligned

    See Also
    --------
    scdash.pp.order_cells : Order cells from a root by diffusion pseudotime (Haghverdi et al. 2016), per lineage and batch if named.
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.datasets.hsmm()
    >>> bins = scdash.pp.trajectories(adata, time_key="pseudotime", n_bins=20)
    >>> bins.shape
    (20, 822)
    """
    values = expression(adata, layer=layer, mask_var=mask_var)
    check_log(values, allow=allow_counts)
    if disjoint and bandwidth is not None:
        raise unused("bandwidth", "disjoint=True takes plain means of the cells of each bin, without a kernel")
    check_scaled(values, states=False, known=scaled_by_scanpy(adata), allow=allow_scaled)
    labels: dict[str, Any] = {
        name: None if key is None else obs_column(adata, key, f"{name}_key")
        for name, key in (("lineage", lineage_key), ("batch", batch_key), ("split", split_key))
    }
    with step(f"smoothing {adata.n_obs} cells into trajectories of {n_bins} bins") as added:
        result = cells_to_series(
            values,
            values.genes,
            times_of(adata, time_key, finite=lineage_key is None and batch_key is None and split_key is None).values,
            **labels,
            n_bins=n_bins,
            bandwidth=bandwidth,
            min_cells=min_cells,
            align=align,
            horizon=horizon,
            n_bootstrap=n_bootstrap,
            scale_by=scale_by,
            range_floor=range_floor,
            rng=rng,
            disjoint=disjoint,
        )
        read = {"time_key": time_key, "lineage_key": lineage_key, "batch_key": batch_key, "layer": layer}
        made = {"n_bins": n_bins, "bandwidths": result.bandwidths, "min_cells": min_cells, "align": align}
        made |= {} if result.alignment.empty else {"alignment": result.alignment}
        made |= {"horizon": horizon, "n_bootstrap": n_bootstrap, "range_floor": range_floor, "disjoint": disjoint}
        bins = _as_anndata(adata, result, read | made)
        added.append(_counted(result.bins))
    return bins


def _counted(bins: pd.DataFrame) -> str:
    """Say how many bins there are, and of how many cells; bootstraps are no further bins."""
    own = bins["bootstrap"] == 0
    cells = bins["n_cells"][own]
    return (
        f"{int(own.sum())} bins of {bins.loc[own, 'trajectory'].nunique()} trajectories, {cells.min():.0f} to "
        f"{cells.max():.0f} effective cells each"
    )


def _as_anndata(adata: AnnData, result: CellSeries, params: dict[str, Any]) -> AnnData:

    at = adata.var_names.get_indexer(result.series.genes)
    var: pd.DataFrame = adata.var.iloc[at].copy()
    var["minimum"], var["range"] = result.minimum, result.range
    bins = AnnData(result.log_means.astype(np.float32), obs=result.bins, var=var)
    bins.layers["scaled"] = np.asarray(result.series.states, dtype=np.float32)
    for key, pairs in adata.varp.items():
        bins.varp[key] = sp.csr_matrix(pairs)[at][:, at] if sp.issparse(pairs) else np.asarray(pairs)[np.ix_(at, at)]
    bins.uns["trajectories"] = sanitise(params)
    return bins
