"""The result of the regression of transitions: a gene-wise PHOENIX field with a ranking of its edges."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.types import Floats
from scdash.regression.fold_fits import PartFit
from scdash.regression.intervals import Trajectories
from scdash.regression.linear_field import Field, integrate
from scdash.regression.settings import TransitionSettings


@dataclass(frozen=True)
class TransitionFit:
    """dx/dt = rates * (bias + effects phi(x) + product_effects [phi(x_a) phi(x_b)]_pairs - x) for n genes.

    phi(x) = u / (1 + slope |u|), u = x - 1/2. At slope 1 this is the gene-wise PHOENIX field; `in_units_of_slope_one`
    gives the same dynamics as such a field in other units. Effects are (target, regulator).
    """

    effects: Any  # CSR (n, n)
    bias: Floats  # (n,)
    rates: Floats  # (n,), 0 for genes that do not change
    constant: NDArray[np.bool_]  # (n,)
    products: NDArray[np.int64] | None  # (k, 2) genes of each product
    product_effects: Any  # CSR (n, k) or None
    contribution: Any  # CSR (n, n), |S_ij| / sum_j |S_ij| of the linear fit
    frequency: Any  # CSR (n, n), fraction of half-samples (and penalties) that use an edge
    stability: Any  # CSR (n, n), mean relative contribution over the same fits
    noise_variance: float | None
    slope: float
    settings: TransitionSettings
    prior_weight: float
    lambdas: Floats  # (n,), penalty chosen for every gene; NaN for constant ones
    table: pd.DataFrame  # what was tried: stage, rate, slope, prior_weight, cv_error, seconds
    data: Trajectories | None = None  # the states that were fitted
    parts: tuple[PartFit, ...] = ()  # of all the data, then of every fold

    @property
    def field(self) -> Field:
        """The vector field."""
        return Field(self.effects, self.bias, self.rates, self.slope, self.products, self.product_effects)

    def in_units_of_slope_one(self) -> Self:
        """Return the same dynamics for states 1/2 + slope (x - 1/2), in which the activation is PHOENIX's own."""
        if self.slope in (0.0, 1.0):
            if self.slope == 0:
                raise ValueError("slope 0 is linear: no units give it PHOENIX's activation.")
            return self
        noise = None if self.noise_variance is None else self.noise_variance * self.slope**2
        return replace(
            self,
            bias=0.5 + self.slope * (self.bias - 0.5),
            product_effects=None if self.product_effects is None else self.product_effects / self.slope,
            noise_variance=noise,
            slope=1.0,
        )


def simulate(fit: TransitionFit, x0: Floats, times: NDArray[np.floating[Any]]) -> Floats:
    """Return trajectories (B, T, n) of a fit from start states, (B, n) or (n,), in the units that were fitted.

    The first of the times, (T,) or (B, T), is the start's.
    """
    start = np.atleast_2d(np.asarray(x0, dtype=np.float64))
    if start.shape[1] != len(fit.bias):
        raise ValueError(f"x0 has {start.shape[1]} genes, the fit has {len(fit.bias)}.")
    states = integrate(fit.field, start, np.asarray(times, dtype=np.float64))
    return states[0] if np.ndim(x0) == 1 else states
