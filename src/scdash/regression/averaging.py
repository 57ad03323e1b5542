r"""Many fits of one network to one: averaged as vector fields, and pruned.

One held-out batch cannot tell good settings from lucky ones. Fields dx/dt = r (b + S phi(x) - x) that differ in their
rate, lag, penalty and weight of the prior are linear in (r, r b, r S), so their mean is a field of the same kind and still
one network:

.. math:: r = \sum_k w_k r_k,\quad b = \sum_k w_k r_k b_k / r,\quad S = \sum_k w_k r_k S_k / r
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.types import Floats
from scdash.regression.linear_field import Field
from scdash.regression.production import softsign


def average(fields: Sequence[Field], weights: NDArray[np.float64]) -> Field:
    """Return the weighted mean of the velocities of some fields, which share one slope and have no products."""
    used = [(field, weight) for field, weight in zip(fields, weights, strict=True) if weight > 0]
    rates = sum((w * f.rates for f, w in used), np.zeros_like(fields[0].rates))
    bias = sum((w * f.rates * f.bias for f, w in used), np.zeros_like(rates))
    effects = sum(sp.diags_array(w * f.rates) @ sp.csr_array(f.effects) for f, w in used)
    over = np.divide(1, rates, out=np.zeros_like(rates), where=rates > 0)
    return Field(sp.csr_array(sp.diags_array(over) @ effects), over * bias, rates, fields[0].slope)


def prune(field: Field, states: Floats, smallest: float) -> Field:
    """Return the field without edges that carry less than `smallest` of the effects on their target, |S_ij| / sum |S_ij|.

    Their mean production over some states (rows, n) is added to b: a mean of many fits has many faint edges, and what
    they do together is mostly constant.
    """
    effects = sp.csr_array(field.effects)
    target = np.repeat(np.arange(effects.shape[0]), np.diff(effects.indptr))
    total = np.bincount(target, np.abs(effects.data), minlength=effects.shape[0])
    faint = np.abs(effects.data) < smallest * total[target]
    phi = softsign(states, field.slope).mean(axis=0)
    lost = np.bincount(target[faint], (effects.data * phi[effects.indices])[faint], minlength=effects.shape[0])
    kept = effects.copy()
    kept.data = np.where(faint, 0, effects.data)
    kept.eliminate_zeros()
    return Field(kept, field.bias + lost, field.rates, field.slope)
