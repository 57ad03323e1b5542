"""Cells of a sampled time in the order of a pseudotime: bins whose times span the interval around the sampled time.

Cells are not synchronous: some are ahead of the time at which they were sampled, others behind it. A pseudotime says which,
but not by how many hours. So only its order counts: the cell in the middle has the sampled time, the last one half the way to
the next time, the first one half the way back to the time before.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._data.time_series.bins import bin_grid, own_bin, weighted_rank_align

PARTS = 3  # bins of a sampled time, where the user names no number


def times_of_bins(
    sampled: NDArray[np.float64],
    pseudotime: NDArray[np.float64],
    code: NDArray[np.int64],
    n_bins: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    r"""Return the time of the bin of every cell, in the unit of the sampled times; NaN for cells that take no part.

    The n cells of a trajectory and a sampled time t_k are dealt to bins of equal size by pseudotime, and a bin whose centre
    is at the fraction c of the cells has the time

    .. math:: t_k + (2c - 1)\,\tfrac12 (t_{k+1} - t_k) \text{ for } c \ge \tfrac12, \quad
        t_k + (2c - 1)\,\tfrac12 (t_k - t_{k-1}) \text{ before};

    at either end, where there is no further time, the other side's half interval is taken. Where the pseudotime does not
    vary among the cells of a time, they are one bin at t_k.

    `code`: trajectory of every cell, -1: it takes no part. `n_bins`: of every sampled time. `weights`: of the cells in their
    trajectories; None: all 1. Raises ValueError if the pseudotime is not finite, or does not vary among the cells of any
    sampled time.
    """
    inside = np.flatnonzero(code >= 0)
    time, place = sampled[inside], pseudotime[inside]
    known, number = np.unique(time, return_inverse=True)
    of_time = code[inside] * len(known) + number
    plain = np.ones(len(inside)) if weights is None else weights[inside]
    if not np.isfinite(place).all():
        raise ValueError(
            f"The pseudotime of pseudotime_key is NaN or infinite for {int((~np.isfinite(place)).sum())} of the {len(place)} cells "
            "that take part; leave these cells out (no label), or order them from another root."
        )
    order = pd.Series(place).groupby(of_time)
    varies = (order.transform("max") > order.transform("min")).to_numpy()
    if not varies.any():
        raise ValueError(
            "The pseudotime of pseudotime_key does not vary among the cells of any sampled time, so that it orders no cells. "
            "Leave pseudotime_key out, or name a pseudotime of single cells (scdash.pp.order_cells)."
        )
    _warn_of_overlap(time, place, code[inside])
    centre = bin_grid(n_bins)[own_bin(weighted_rank_align(place, of_time, plain), n_bins)]
    gaps = np.diff(known) / 2
    before, after = np.concatenate([gaps[:1], gaps]), np.concatenate([gaps, gaps[-1:]])
    shift = 2 * np.where(varies, centre, 0.5) - 1
    found = np.full(len(sampled), np.nan)
    found[inside] = time + shift * np.where(shift < 0, before[number], after[number])
    return found


def _warn_of_overlap(time: NDArray[np.float64], place: NDArray[np.float64], code: NDArray[np.int64]) -> None:
    """Warn where cells are less synchronous than sampled times are apart: bins in the order of time then go back and forth."""
    quantiles = pd.DataFrame({"code": code, "time": time, "place": place}).groupby(["code", "time"])["place"]
    early, late = (quantiles.quantile(q).unstack("time").to_numpy() for q in (1 / 6, 5 / 6))
    known = np.isfinite(late[:, :-1]) & np.isfinite(early[:, 1:])
    back = known & (late[:, :-1] > early[:, 1:])
    if back.sum() > known.sum() / 2:
        logger.warning(
            "In %d of %d intervals the late cells of a time are further along the pseudotime than the early cells of the next "
            "time: bins in the order of time go back and forth, as scdash.pl.trends shows. Compare with a fit without "
            "pseudotime_key, and with the pseudotime alone as time_key.",
            int(back.sum()),
            int(known.sum()),
        )
