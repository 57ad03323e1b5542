"""Checks of the rows and trajectories that a fit of dynamics reads, and what the log says of them."""

import numpy as np

from scdash._core.errors import unused
from scdash._core.fit_settings import DataKeys
from scdash._core.logging import logger
from scdash._data import TimeSeries
from scdash._data.time_series.observations import CellAlign, Couplings
from scdash._data.time_series.observed import Rows

NOT_CELLS = "the rows of adata are bins or states"


def check_use(
    rows: Rows, asked: DataKeys, couplings: Couplings | None, align: CellAlign | None, *, cells: bool, sampled: bool
) -> None:
    """Raise for what has no meaning for such rows."""
    if couplings is not None and not sampled:
        raise unused("couplings", "they are for cells at few sampled times, which adata does not hold")
    if align is not None and (sampled or not cells):
        raise unused(
            "align", "it places cells in pseudotime; " + ("these have sampled times" if sampled else NOT_CELLS)
        )
    if align == "expression" and asked.batch_key is None:
        raise unused("align='expression'", "it aligns the batches of a lineage; name their column of obs as batch_key")
    if rows.pseudotime is not None and not sampled:
        why = (
            "it orders the cells inside few sampled times, which adata does not hold; a pseudotime alone is a time_key"
        )
        raise unused("pseudotime_key", why)
    if rows.weights is not None and not cells:
        raise ValueError(
            f"trajectory_key={asked.trajectory_key!r} is a table of weights of cells in lineages, but the rows of adata are "
            "bins or states. Give a column of adata.obs with one label per row."
        )
    if asked.batch_key is not None and not cells:
        raise ValueError("batch_key is for cells; states name their trajectories by trajectory_key alone.")


def check_series(series: TimeSeries, name: str, kind: str) -> None:
    """Raise where there is nothing to learn; tell the log what was read."""
    genes = series.states.shape[1]
    if not np.ptp(series.states, axis=0).any():
        raise ValueError(
            f"{name}: none of the {genes} genes changes between the {len(series)} states; there are no "
            "dynamics to learn. Look at the values, or pass another layer."
        )
    logger.info("    %d genes, %s", genes, _counted(series, kind))


def check_validation(series: TimeSeries, split_key: str | None, *, needed: bool) -> None:
    """Raise where validation states are needed to choose models by, and there are none."""
    if needed and not len(series.pairs("validation")):
        if split_key is None:
            raise ValueError(
                f"{_counted(series, 'states')} are too few: one trajectory needs at least five states, or three trajectories two "
                "each, so that some can be left out to choose the model by. Measure more times, name replicates by trajectory_key, or, "
                "where the rows are cells, leave model, sparsity, start and training at their defaults."
            )
        raise ValueError(
            f"split_key={split_key!r} leaves no validation state: models are chosen by validation error. Label some "
            "trajectories (or a time window of one) 'validation', or give no split_key."
        )


def _counted(series: TimeSeries, kind: str) -> str:
    """Say how many states and trajectories there are; bootstraps of cells are no further trajectories."""
    own = series.originals()
    number = len(np.unique(own.trajectory))
    text = f"{len(own)} {kind} of {number} {'trajectory' if number == 1 else 'trajectories'}"
    more = len(np.unique(series.trajectory)) - number
    return f"{text}, and {more // number} bootstraps of each" if more else text
