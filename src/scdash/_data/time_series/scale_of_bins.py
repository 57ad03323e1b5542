"""From the mean states of bins, of pseudotime or of sampled times, to trajectories in units of the genes' ranges."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import check_choice
from scdash._core.logging import logger
from scdash._data.expression_matrix import Expression
from scdash._data.groups import origins_and_batches
from scdash._data.time_series.series import TimeSeries

LOG_FLOOR = 0.5  # smallest range of a gene in log values
NARROW = 1.5  # values that all lie within this of each other are no log counts, such as values in [0, 1]
RELATIVE_FLOOR = 0.1  # smallest range of a gene in such values, in units of the median range


def smallest_range(values: Expression) -> float | None:
    """Return the smallest range of a gene in the units of the values; None: relative to the genes' own ranges."""
    return LOG_FLOOR if values.maximum - values.minimum > NARROW else None


def scale_of_bins(
    states: NDArray[np.float64], bins: pd.DataFrame, scale_by: Sequence[str] | None, floor: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return minimum and range of every gene; ranges below the floor are set to it, which the log says."""
    if floor is not None and not floor > 0:
        raise ValueError(f"range_floor must be positive, found {floor}.")
    rows = (bins["bootstrap"] == 0).to_numpy()
    if scale_by is None:
        rows = rows & (bins["split"] == "train").to_numpy()
    else:
        known = bins["trajectory"].cat.categories
        for name in [scale_by] if isinstance(scale_by, str) else scale_by:
            check_choice("trajectory in scale_by", name, known)
        rows = rows & bins["trajectory"].isin([scale_by] if isinstance(scale_by, str) else list(scale_by)).to_numpy()
    low, high = states[rows].min(0), states[rows].max(0)
    width = high - low
    if floor is None:
        floor = RELATIVE_FLOOR * float(np.median(width[width > 0])) if (width > 0).any() else 1.0
    flat = int((width < floor).sum())
    if flat:
        logger.info(
            "    %d of %d genes change by less than %.3g along the bins: they are scaled by %.3g instead of their own range, so "
            "that noise is not taken for change",
            flat,
            len(width),
            floor,
            floor,
        )
    return low, np.maximum(width, floor)


def series_of_bins(scaled: NDArray[np.float64], bins: pd.DataFrame, values: Expression) -> TimeSeries:
    """Return trajectories of states from the table of their bins."""
    names = bins["trajectory"].cat.categories
    origin, group = origins_and_batches(bins, names)
    return TimeSeries(
        states=scaled,
        times=bins["time"].to_numpy(dtype=np.float64),
        trajectory=np.asarray(bins["trajectory"].cat.codes, dtype=np.int64),
        names=tuple(names),
        split=np.asarray(bins["split"].cat.codes, dtype=np.int8),
        genes=values.genes,
        weights=bins["n_cells"].to_numpy(dtype=np.float64),
        origin=origin,
        group=group,
    )
