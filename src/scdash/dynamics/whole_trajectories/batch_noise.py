r"""Trajectories of batches without the part of their differences that the noise of few cells explains.

In every state the trajectory of batch b in lineage l differs from the mean of the batches of its lineage by

.. math:: x_{lb}(t) - m_l(t) = a_b(t) + i_{lb}(t),

a being what the lineages of the batch have in common. Lineages that share progenitors begin at nearly the same state: where the
noise of i is larger than what tells the lineages apart, a model takes the path of the other lineage in every second batch. Each
part is therefore multiplied by one factor for all genes and times,

.. math:: s = \max(0, 1 - \text{variance of its noise} / \text{its observed variance}),

as in the positive-part estimator of James and Stein (1961). The noise is measured by the bootstraps of a trajectory.
"""

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._data import SPLITS, TimeSeries

Floats: TypeAlias = NDArray[np.floating[Any]]

TEST = SPLITS.index("test")


def without_batch_noise(
    series: TimeSeries,
    lineage: NDArray[np.intp],  # (names,), code of the lineage of every trajectory
    learned: NDArray[np.bool_],  # (names,), trajectories that means and factors are learned from
    weights: Floats,  # (genes,), of squared differences
) -> TimeSeries:
    """Return the series with smaller differences between its batches, in all states that are learned from.

    Of other trajectories the first state alone is changed, from which they are predicted: later ones, as states for test,
    judge predictions and stay as they were observed. Bootstraps are moved as their original is. A series without batches is
    returned as it is.
    """
    if series.group is None:
        return series
    name, place = series.trajectory, _place_in_trajectory(series)
    original = np.searchsorted(name, series.parent[name]) + place  # row of the same state in the original
    usable = learned[name] & (series.split != TEST)
    own = original == np.arange(len(series))
    parts = _parts(series, lineage[name], usable & own)
    batches = np.array([len(np.unique(series.together[learned & (lineage == code)])) for code in lineage])[name]
    moved = (usable | ((place == 0) & ~learned[name]))[:, None]
    states = series.states
    for part in parts:
        factor = _factor(part, original, usable, weights, batches)
        states = states - moved * (1 - factor) * part[original]
    return replace(series, states=states)


def _place_in_trajectory(series: TimeSeries) -> NDArray[np.int64]:
    """Return the number of every state in its trajectory, (rows,)."""
    return np.asarray(pd.Series(series.trajectory).groupby(series.trajectory).cumcount(), dtype=np.int64)


def _parts(series: TimeSeries, lineage: NDArray[np.intp], seen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return a and i of every state, (rows, genes); 0 where no state of the lineage is seen at the time."""
    columns = pd.Index(range(series.states.shape[1]))
    states = pd.DataFrame(series.states, columns=columns)
    means = states[seen].groupby([lineage[seen], series.times[seen]]).mean()
    difference = (states - means.reindex(pd.MultiIndex.from_arrays([lineage, series.times])).to_numpy()).fillna(0.0)
    drawn = series.parent != np.arange(len(series.names))
    number = pd.Series(drawn).groupby(series.parent).cumsum().to_numpy()  # of a bootstrap; 0: the original
    batch = [series.together[series.trajectory], number[series.trajectory], series.times]
    shared = difference.groupby(batch).transform("mean").to_numpy()
    return shared, difference.to_numpy() - shared


def _factor(
    part: Floats, original: NDArray[np.int64], usable: NDArray[np.bool_], weights: Floats, batches: NDArray[np.int64]
) -> float:
    """Return by what a part (rows, genes) is multiplied; 1 where nothing is known of its noise.

    The differences of n batches from their own mean have a variance that is smaller by (n - 1) / n.
    """
    own = original == np.arange(len(part))
    observed = ((part**2) @ weights)[usable & own]
    drawn = usable & ~own
    noise = ((part[drawn] - part[original[drawn]]) ** 2) @ weights * (1 - 1 / batches[drawn])
    if not len(noise) or observed.sum() <= 0:
        return 1.0
    return max(0.0, 1.0 - float(noise.mean() / observed.mean()))
