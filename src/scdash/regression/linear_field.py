"""Trajectories of dx/dt = rates * (bias + effects phi_S(x) + products - x), exact in the decay."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.types import Floats
from scdash.regression.production import softsign

STEP = 0.3  # largest rate * step


@dataclass(frozen=True)
class Field:
    """A gene-wise PHOENIX field; effects are (target, regulator)."""

    effects: Any  # CSR (n, n)
    bias: Floats  # (n,)
    rates: Floats  # (n,)
    slope: float = 1.0
    pairs: NDArray[np.int64] | None = None  # (k, 2) regulators of each product
    product_effects: Any = None  # CSR (n, k)

    def production(self, x: Floats) -> Floats:
        """Return bias + effects phi_S(x) + products for states (n, B)."""
        phi = softsign(x, self.slope)
        result: Floats = self.effects @ phi + self.bias[:, None]
        if self.pairs is not None and len(self.pairs):
            result += self.product_effects @ (phi[self.pairs[:, 0]] * phi[self.pairs[:, 1]])
        return result

    def velocity(self, x: Floats) -> Floats:
        """Return dx/dt (B, n) for states (B, n)."""
        result: Floats = self.rates * (self.production(x.T).T - x)
        return result


def integrate(field: Field, start: Floats, times: Floats, *, largest: float = STEP) -> Floats:
    """Return states (B, T, n) from start states (B, n) at times (T,) or (B, T), the first being the start's.

    A second-order exponential integrator (ETD2RK, Cox and Matthews 2002) with steps of rate * h <= `largest`: without
    regulators it is exact.
    """
    times = np.broadcast_to(times, (len(start), np.shape(times)[-1]))
    x = np.ascontiguousarray(start.T, dtype=np.float64)
    out = np.empty((len(start), times.shape[1], len(x)))
    out[:, 0] = start
    moving = np.flatnonzero(field.rates > 0)
    fastest, rates = float(field.rates.max(initial=0.0)), field.rates[moving, None]
    part = Field(
        sp.csr_matrix(field.effects)[moving],
        field.bias[moving],
        rates[:, 0],
        field.slope,
        field.pairs,
        None if field.product_effects is None else sp.csr_matrix(field.product_effects)[moving],
    )
    for k in range(1, times.shape[1]):
        duration = times[:, k] - times[:, k - 1]
        count = max(1, int(np.ceil(duration.max(initial=0.0) * fastest / largest)))
        z = rates * (duration / count)  # (moving, B)
        gain = -np.expm1(-z)
        curve = 1 - np.divide(gain, z, out=np.ones_like(z), where=z > 0)
        for _ in range(count):
            before = part.production(x)
            trial = x.copy()
            trial[moving] += gain * (before - x[moving])
            x = trial
            x[moving] += curve * (part.production(trial) - before)
        out[:, k] = x.T
    return out
