r"""Starts of left-out batches without the part of their difference from other batches that the noise of few cells explains.

The first state of batch b in lineage l differs from the mean of the batches of its lineage by

.. math:: x_{lb} - m_l = a_b + i_{lb},

a being what the lineages of the batch have in common. Lineages that share progenitors begin at nearly the same state: where the
noise of i is larger than what tells the lineages apart, a model takes the path of the other lineage in every second batch. Each
part is therefore multiplied by one factor for all genes,

.. math:: s = \max(0, 1 - \text{variance of its noise} / \text{its observed variance}),

as in the positive-part estimator of James and Stein (1961). The noise is measured by the bootstraps of a trajectory. States that
are learned from stay as they were observed: there the noise of many states averages out, and what differs between batches is
what tells regulators apart.
"""

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._data import SPLITS, TimeSeries

Floats: TypeAlias = NDArray[np.floating[Any]]

TEST = SPLITS.index("test")


def starts_without_batch_noise(
    series: TimeSeries,
    lineage: NDArray[np.intp],  # (names,), code of the lineage of every trajectory
    learned: NDArray[np.bool_],  # (names,), trajectories that means and factors are learned from
    weights: Floats,  # (genes,), of squared differences
) -> TimeSeries:
    """Return the series with first states of the other trajectories nearer to the mean of the batches that are learned from.

    From these states the trajectories are predicted; later ones, with which predictions are compared, stay as observed.
    Bootstraps are moved as their original is. A series without batches is returned as it is.
    """
    if series.group is None:
        return series
    first = np.flatnonzero(np.diff(series.trajectory, prepend=-1))
    name, starts = series.trajectory[first], series.states[first]
    original = np.searchsorted(name, series.parent[name])
    usable = learned[name] & (series.split[first] != TEST)
    place = pd.DataFrame({"lineage": lineage[name], "time": series.times[first], "batch": series.together[name]})
    place["draw"] = pd.Series(original != np.arange(len(name))).groupby(original).cumsum()  # 0: the original
    parts = _parts(starts, place, usable & (place["draw"] == 0).to_numpy())
    number = place[learned[name]].groupby("lineage")["batch"].nunique()
    batches = np.asarray(place["lineage"].map(number), dtype=np.float64)
    for part in parts:
        factor = _factor(part, original, usable, weights, batches)
        starts = starts - ~learned[name][:, None] * (1 - factor) * part[original]
    states = series.states.copy()
    states[first] = starts
    return replace(series, states=states)


def _parts(starts: Floats, place: pd.DataFrame, seen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return a and i of every start, (starts, genes); 0 where no start of the lineage is seen at the time.

    `place` has the lineage, time, batch and number of the bootstrap of every start; means are those of the starts `seen`.
    """
    at = [place["lineage"], place["time"]]
    states = pd.DataFrame(starts, columns=pd.Index(range(starts.shape[1])))
    means = states[seen].groupby([key[seen] for key in at]).mean()
    difference = (states - means.reindex(pd.MultiIndex.from_arrays(at)).to_numpy()).fillna(0.0)
    shared = difference.groupby([place["batch"], place["draw"], place["time"]]).transform("mean").to_numpy()
    return shared, difference.to_numpy() - shared


def _factor(
    part: Floats, original: NDArray[np.int64], usable: NDArray[np.bool_], weights: Floats, batches: Floats
) -> float:
    """Return by what a part (starts, genes) is multiplied; 1 where nothing is known of its noise.

    The differences of n batches from their own mean have a variance that is smaller by (n - 1) / n.
    """
    own = original == np.arange(len(part))
    observed = ((part**2) @ weights)[usable & own]
    drawn = usable & ~own
    noise = ((part[drawn] - part[original[drawn]]) ** 2) @ weights * (1 - 1 / batches[drawn])
    if not len(noise) or observed.sum() <= 0:
        return 1.0
    return max(0.0, 1.0 - float(noise.mean() / observed.mean()))
