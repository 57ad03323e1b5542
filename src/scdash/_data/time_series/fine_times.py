"""Times of cells that are so many, with so few cells each, that they are a pseudotime of rounded values and no sampled times."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._data.expression_matrix import Expression
from scdash._data.time_series.placed import Placed
from scdash._data.time_series.sampled import state_means, states_of_rows

FLAT = 1e-12  # variance of a gene between times below which it says nothing of them


def finer_than_cells(
    values: Expression, time: NDArray[np.float64], placed: Placed, most: int, rng: np.random.Generator
) -> bool:
    r"""Return whether the cells of a time are predicted better by the times around it than by cells of the same time.

    The cells of every time are dealt to two halves A and B. With their means :math:`\bar a_t, \bar b_t` and
    :math:`n_t = (\bar a_{t-1} + \bar b_{t-1} + \bar a_{t+1} + \bar b_{t+1}) / 4`, times are finer than the cells tell apart where

    .. math:: \sum_{t, g} \frac{(n_{tg} - \bar b_{tg})^2}{v_g} < \sum_{t, g} \frac{(\bar a_{tg} - \bar b_{tg})^2}{v_g},

    with the variance :math:`v_g` of a gene over all means: a curve through the means then follows the noise of the cells, and smoothing
    over times loses nothing. Trajectories of at most `most` times (their median) are never taken as too fine.
    """
    states, state = states_of_rows(pd.DataFrame({"group": placed.code, "time": time}), placed.code >= 0)
    if states.groupby("group").size().median() <= most:
        return False
    plain = np.ones(len(time)) if placed.weights is None else placed.weights
    side = placed.deal(2, rng)
    first, second = state_means(values, state, len(states), np.stack([(side == part) * plain for part in range(2)]))
    group = states["group"].to_numpy()
    inner = np.flatnonzero(group[:-2] == group[2:]) + 1
    pair = (first + second) / 2
    around = (pair[inner - 1] + pair[inner + 1]) / 2
    known = ~(np.isnan(first[inner]) | np.isnan(around)).any(axis=1)
    inner, around = inner[known], around[known]
    unit = np.nanvar(pair, axis=0)
    genes = unit > FLAT
    by_neighbours, by_cells = (
        float((((guess - second[inner]) ** 2)[:, genes] / unit[genes]).sum()) for guess in (around, first[inner])
    )
    return by_neighbours < by_cells
