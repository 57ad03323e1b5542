r"""The start of training: the mean of sparse regressions between states of a trajectory.

Each regression has one rate r, one lag and one penalty for all genes, dx/dt = r (b + S phi(x) - x). Which of them will
predict trajectories that were left out cannot be seen from those that were not: weak penalties keep the support that
pruning has to choose from, strong ones shrink effects that do not repeat. The mean of their velocities is a field of the
same form, and training moves it to where whole trajectories go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash.regression import Field, TransitionSettings, WeightedVelocity, average, path_of_fields, prune
from scdash.training.rollouts import GeneWise, Trajectories


@dataclass(frozen=True)
class Regressions:
    """Which regressions are averaged."""

    lags: tuple[int, ...] = (1, 3)
    """Distance between the states of a pair, in states."""
    rates: tuple[float, ...] = (0.12, 0.6)
    """Rate of relaxation, per median interval between states."""
    lambdas: tuple[float, ...] = (1.2, 0.6, 0.31, 0.155, 0.079, 0.04, 0.02, 0.01)
    """Penalties of the path, decreasing."""
    averaged: int = 5
    """Weakest penalties that enter the mean; the others are on the path for its speed alone."""
    smallest_share: float = 0.01
    """Edges that carry less than this fraction of the effects on their target are left out of the mean."""

    def __str__(self) -> str:
        rates = ", ".join(f"{rate:g}" for rate in self.rates)
        return f"rates {rates}; penalties from {self.lambdas[-self.averaged]:g} to {self.lambdas[-1]:g}"


Paths: TypeAlias = dict[tuple[int, float], list[Field]]  # of transitions alone, by lag and rate


def regression_start(
    trajectories: Trajectories,  # states in units of about [0, 1], and measured velocities if there are any
    *,
    prior: sp.csr_matrix | None = None,  # sparse (target, regulator); every nonzero entry is an edge
    prior_weight: float = 1.0,  # edges of the prior pay the penalty divided by this weight; 1 ignores the prior
    velocity_weight: float = 0.0,
    regulators: NDArray[np.int64] | None = None,  # genes that may regulate; None: all
    regressions: Regressions | None = None,  # which regressions are averaged
) -> GeneWise:
    """Return the mean of regressions on some trajectories.

    `velocity_weight`: how much all measured velocities count beside all transitions; 0 ignores them. Velocities that
    were not measured, or are noise, are those of the regressions on transitions alone.
    """
    starts = regression_starts(
        trajectories,
        (velocity_weight,),
        prior=prior,
        prior_weight=prior_weight,
        regulators=regulators,
        regressions=regressions,
    )
    return starts[0]


def regression_starts(
    trajectories: Trajectories,
    velocity_weights: Sequence[float],
    *,
    prior: sp.csr_matrix | None = None,
    prior_weight: float = 1.0,
    regulators: NDArray[np.int64] | None = None,
    regressions: Regressions | None = None,
    paths: Paths | None = None,
) -> list[GeneWise]:
    """Return `regression_start` for several weights of measured velocities.

    `paths` keeps those of transitions alone between calls that differ in which of them are averaged.
    """
    chosen = regressions or Regressions()
    used = prior if prior_weight != 1 else None
    settings = TransitionSettings.for_cells(lambdas=chosen.lambdas)
    longest = int(trajectories.lengths.max())
    lags = [lag for lag in chosen.lags if lag < longest] or [1]

    def path(lag: int, rate: float, velocity: WeightedVelocity | None) -> list[Field]:
        return path_of_fields(
            trajectories.states,
            trajectories.times,
            trajectories.lengths,
            lag=lag,
            rate=rate,
            prior=used,
            prior_weight=prior_weight,
            regulators=regulators,
            settings=settings,
            velocity=velocity,
        )

    known = {} if paths is None else paths

    def mean(velocity: WeightedVelocity | None) -> Field:
        found: list[Field] = []
        for lag in lags:
            for rate in chosen.rates:
                if velocity is None and (lag, rate) not in known:
                    known[lag, rate] = path(lag, rate, None)
                fields = known[lag, rate] if velocity is None else path(lag, rate, velocity)
                found += fields[-chosen.averaged :]
        return average(found, np.full(len(found), 1 / len(found)))

    alone, rows = mean(None), trajectories.velocity
    filled = None if rows is None or not any(velocity_weights) else rows.filled(alone.velocity(rows.states))
    states = trajectories.states.reshape(-1, trajectories.states.shape[2])
    pruned = (
        prune(
            alone if filled is None or not weight else mean(WeightedVelocity(filled, weight)),
            states,
            chosen.smallest_share,
        )
        for weight in velocity_weights
    )
    return [GeneWise.of(field.effects, field.bias, field.rates) for field in pruned]
