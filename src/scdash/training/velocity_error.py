r"""The part of training's objective that measured velocities have, with its derivative.

Of rows with a state x and a velocity v it is the mean of :math:`\rho_i \bigl(f_i(x) - v_i\bigr)^2 / r^2`: the field's
:math:`f_i = r_i (p_i(x) - x_i)` is compared in units of the production p, as the regression's rows are and as states are.
The rate r is the mean of those that training began with: no rate grows to make velocities matter less.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from scdash._data import VelocityRows
from scdash.training.rollouts import Floats, GeneWise

ROWS = 128  # that a step of training sees
# of the weight of velocities in the regression: what they have wrong in common, such as a gene's rate of degradation, no
# noise within rows shows. In five simulated circuits 1 raised the error of trajectories by up to 13 %, and 0 predicted true
# velocities worse
SHARE = 0.3
BLOCK = 1 << 22  # pairs of genes whose products are held at once


@dataclass(frozen=True)
class MeasuredVelocity:
    """Rows as training sees them: in single precision, with the probability of being drawn and the weights of genes."""

    states: Floats  # (rows, genes)
    velocities: Floats  # (rows, genes)
    probability: NDArray[np.float64]  # (rows,), precise rows are drawn more often
    weights: Floats  # (genes,), of squared differences of velocities

    @classmethod
    def of(cls, rows: VelocityRows, rates: Floats, gene_weights: Floats) -> Self:
        """Return the rows for a model with some rates (genes,), and for squared errors that `gene_weights` (genes,) weigh."""
        rate = float(rates.mean()) or 1.0
        precision, weights = rows.precision(rate), gene_weights * rows.reliability / rate**2
        return cls(
            rows.states.astype(np.float32),
            rows.velocities.astype(np.float32),
            precision / precision.sum(),
            weights.astype(np.float32),
        )

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return states and velocities (rows, genes) of `ROWS` rows, drawn by their precision."""
        some = rng.choice(len(self.probability), ROWS, p=self.probability)
        return self.states[some], self.velocities[some]


def velocity_error(
    model: GeneWise, states: Floats, velocities: Floats, weights: Floats
) -> tuple[float, Floats, Floats, Floats]:
    """Return the weighted mean squared error of the model's velocity, and its derivatives: weights, bias, rates.

    States and measured velocities are (rows, genes), `weights` (genes,) those of the squares.
    """
    features = np.concatenate(features_of(model, states), axis=1).T
    toward = model.weights @ features + model.bias[:, None] - states.T
    difference = model.rates[:, None] * toward - velocities.T
    weighted = (weights / np.float32(difference.size))[:, None] * difference
    of_velocity = 2 * weighted
    of_production = model.rates[:, None] * of_velocity
    return (
        float((weighted * difference).sum()),
        _on_edges(model, of_production, features),
        of_production.sum(axis=1),
        (of_velocity * toward).sum(axis=1),
    )


def features_of(model: GeneWise, states: Floats) -> tuple[Floats, Floats]:
    """Return the features of the field at some states (rows, genes): of genes, and of pairs; see `rollout_kernel`."""
    centred = states - np.float32(0.5)
    phi = centred / (1 + np.abs(centred))
    return phi, phi[:, model.pairs[:, 0]] * phi[:, model.pairs[:, 1]]


def _on_edges(model: GeneWise, of_production: Floats, features: Floats) -> Floats:
    """Return the sum over rows of derivative times feature for every edge, (edges,)."""
    begin, feature, targets = model.weights.indptr, model.weights.indices, len(of_production)
    found = np.empty(len(feature), np.float32)
    step = max(1, BLOCK // len(features))
    for first in range(0, targets, step):
        last = min(first + step, targets)
        edges = slice(begin[first], begin[last])
        target = np.repeat(np.arange(last - first), np.diff(begin[first : last + 1]))
        found[edges] = (of_production[first:last] @ features.T)[target, feature[edges]]
    return found
