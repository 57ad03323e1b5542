"""Rows of a regression that come from measured velocities: state and dx/dt instead of two states."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._data import VelocityRows
from scdash.regression.problems import Regression
from scdash.regression.production import softsign


@dataclass(frozen=True)
class WeightedVelocity:
    """Rows with a velocity, and how much all of them count beside all transitions (1: as much)."""

    rows: VelocityRows
    weight: float


def with_velocity(
    regression: Regression, given: WeightedVelocity, regulators: NDArray[np.intp], rate: float, slope: float
) -> Regression:
    r"""Return a regression with rows for measured velocities beside its transitions.

    :math:`dx_i/dt = r (b_i + \sum_j S_{ij} \varphi(x_j) - x_i)` says that :math:`x_i + v_i / r` is linear in the
    regulators, as the production over an interval is. Its variance is that of :math:`x_i` plus that of :math:`v_i` over
    :math:`r^2`, and rows count by the inverse; their sum is the weight times that of the transitions.
    """
    rows = given.rows
    precision = rows.precision(rate)
    precision *= given.weight * regression.precision[regression.fit].sum() / precision.sum()
    new: Any = np.ones(len(rows), dtype=bool)
    return replace(
        regression,
        x=np.concatenate([regression.x, softsign(rows.states[:, regulators], slope)]),
        y=np.concatenate([regression.y, rows.states + rows.velocities / rate]),
        precision=np.concatenate([regression.precision, precision]),
        fit=np.concatenate([regression.fit, new]),
        held=np.concatenate([regression.held, ~new]),
    )
