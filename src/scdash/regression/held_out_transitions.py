"""Held-out transitions as a fitted field foresees them from their start, without a look at their end."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scdash._core.types import Floats, Index
from scdash.regression.intervals import Trajectories, Transitions
from scdash.regression.linear_field import Field, integrate
from scdash.regression.production import NODE_WEIGHTS, NODES


@dataclass(frozen=True)
class SimulatedTransitions:
    """Regulators' states at the Gauss nodes of some transitions."""

    states: Floats  # (q, m, p)
    left: Floats  # (q, m), time from the node to the end
    length: Floats  # (q, m), quadrature weight

    def at(self, q: int, rate: float) -> tuple[Floats, Floats]:
        """Return states (m, p) of one node and its weights (m,): its influence on the end, of 1 over all nodes."""
        influence = self.length * np.exp(-rate * self.left)
        return self.states[q], influence[q] / influence.sum(axis=0)


def simulate_transitions(
    field: Field, data: Trajectories, states: Floats, steps: Transitions, rows: NDArray[np.bool_], regulators: Index
) -> SimulatedTransitions:
    """Simulate some transitions (m,) from their start in `states` (B, T, n); keep the regulators at the Gauss nodes."""
    start = steps.at(data.times, 0)[rows]
    end = steps.at(data.times, steps.lag)[rows]
    times, length = [], []
    for step in range(steps.lag):
        begin, stop = steps.at(data.times, step)[rows], steps.at(data.times, step + 1)[rows]
        times.append(begin[:, None] + (NODES + 1) / 2 * (stop - begin)[:, None])
        length.append(NODE_WEIGHTS / 2 * (stop - begin)[:, None])
    at = np.concatenate(times, axis=1)
    path = integrate(field, steps.at(states, 0)[rows], np.column_stack([start, at]))[:, 1:, regulators]
    return SimulatedTransitions(path.swapaxes(0, 1).copy(), (end[:, None] - at).T, np.concatenate(length, axis=1).T)
