"""Regulators of many genes are penalised less."""

import numpy as np

from scdash._core.types import Floats


def relative_contribution(effects: Floats) -> Floats:
    """Return |S_ij| / sum_j |S_ij| of effects (target, regulator); rows of zeros stay zero (the paper's D~)."""
    size = np.abs(effects)
    total = size.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(size, total, out=np.zeros_like(size), where=total > 0))


def hub_factors(contribution: Floats, exponent: float) -> Floats:
    """Return ((mean h + 0.05) / (h + 0.05)) ** exponent within [0.1, 10], h (p,) the summed relative contributions."""
    weight = contribution.sum(axis=0)
    result: Floats = np.clip(((weight.mean() + 0.05) / (weight + 0.05)) ** exponent, 0.1, 10.0)
    return result
