"""Time courses of states: folds, starts and data of the training on whole trajectories, as the regression leaves them.

The regression has fitted all states and every fold in the same way, so that nothing need be fitted anew to choose by
folds. Folds leave out trajectories, or windows where there are fewer trajectories than folds.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash.dynamics.whole_trajectories.folds import LEFT_OUT, Fold
from scdash.regression import Field, PartFit, TransitionFit
from scdash.training.rollouts import GeneWise, Trajectories

LEFT_OUT_PARTS = "left-out parts of trajectories"


def start_of(part: PartFit) -> GeneWise:
    """Return the regression as what training moves: in units of slope one, with weights of 0 on edges it may yet use."""
    field, genes = part.field, len(part.field.bias)
    effects, wider = sp.coo_array(field.effects), sp.coo_array(part.support)
    values = np.concatenate([effects.data, np.zeros(len(wider.data))])
    places = tuple(np.concatenate(pair) for pair in zip(effects.coords, wider.coords, strict=True))
    linear = sp.csr_array((values, places), shape=(genes, genes))  # adds duplicates, keeps the zeros
    bias = 0.5 + field.slope * (field.bias - 0.5)
    if field.pairs is None or not len(field.pairs):
        return GeneWise.of(linear, bias, field.rates)
    products = sp.csr_array(field.product_effects / field.slope)
    return GeneWise.of(sp.hstack([linear, products]), bias, field.rates, field.pairs)


def regression_of(field: Field) -> GeneWise:
    """Return the regression alone, in units of slope one."""
    edges = sp.csr_array(field.effects).astype(bool)
    empty = np.zeros((0, 0))
    return start_of(PartFit(np.zeros((0, 0), dtype=bool), field, edges, empty))


def everything_of(fit: TransitionFit) -> Trajectories:
    """Return all that the regression was fitted to, in units of slope one."""
    return _runs(fit, fit.parts[0], fit.parts[0].sees)


def folds_of_states(fit: TransitionFit) -> list[Fold]:
    """Return the folds of a regression; held-out states are as they were observed."""
    assert fit.data is not None  # a regression of states keeps them
    observed = PartFit(fit.parts[0].sees, fit.field, fit.parts[0].support, fit.data.states)
    found = []
    for part in fit.parts[1:]:
        held = fit.parts[0].sees & ~part.sees
        whole = bool((held.any(axis=1) <= ~part.sees.any(axis=1)).all())
        held_out = _runs(fit, observed, held)
        weights = np.ones(len(fit.bias))
        kind = LEFT_OUT if whole else LEFT_OUT_PARTS
        learned = _runs(fit, part, part.sees)
        own, other = (np.zeros(len(one), dtype=np.intp) for one in (learned, held_out))  # states are of one lineage
        found.append(Fold(learned, held_out, held_out.states[:, 0], kind, weights, own, other))
    return found


def _runs(fit: TransitionFit, part: PartFit, used: NDArray[np.bool_]) -> Trajectories:
    """Return the windows of neighbouring intervals that are used, (trajectories, times - 1), as trajectories."""
    assert fit.data is not None
    states, times = [], []
    for row, intervals in enumerate(used):
        for first, last in _windows(intervals):
            states.append(0.5 + fit.slope * (part.states[row, first : last + 1] - 0.5))
            times.append(fit.data.times[row, first : last + 1])
    return Trajectories.of(states, times)


def _windows(used: NDArray[np.bool_]) -> Sequence[tuple[int, int]]:
    """Return first and last state of every run of intervals that are used, (times - 1,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], used, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]
