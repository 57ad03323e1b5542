r"""Production of a gene averaged over an interval, which is linear in what drives it.

With rate r over an interval D,  x(t+D) = e x(t) + (1 - e) mean production,  e = exp(-r D), where the mean is weighted by
r exp(-r (D - s)) / (1 - e). So  y = (x(t+D) - e x(t)) / (1 - e)  is regressed on the same mean of phi(x_j).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scdash._core.types import Floats
from scdash.regression.intervals import Trajectories, Transitions

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(5)


def softsign(x: Floats, slope: float = 1.0) -> Floats:
    """phi_S(x) = u / (1 + slope |u|), u = x - 1/2: PHOENIX's activation at slope 1, the identity at 0."""
    shifted = x - 0.5
    result: Floats = shifted / (1 + slope * np.abs(shifted))
    return result


def within(
    data: Trajectories, states: Floats, steps: Transitions, rate: float, kind: str
) -> Iterator[tuple[Floats, Floats]]:
    """Yield states (m, genes) within the transitions and their weights (m,), which sum to 1 over all yielded.

    `states` (trajectories, times, genes) are interpolated; `rate` is that of the target, and of the exponential relaxations
    from observation to observation. `kind`: "exponential": five Gauss nodes an interval, weighted by their influence on the
    end; "trapezoid": the observations themselves, weighted by the time between them.
    """
    start, end = steps.at(data.times, 0), steps.at(data.times, steps.lag)
    mass = -np.expm1(-rate * (end - start))
    for step in range(steps.lag):
        first, last = steps.at(states, step), steps.at(states, step + 1)
        begin, stop = steps.at(data.times, step), steps.at(data.times, step + 1)
        length = stop - begin
        if kind == "trapezoid":
            fraction = length / (end - start) / 2
            yield first.copy(), fraction.copy()
            yield last.copy(), fraction.copy()
            continue
        nodes = (NODES + 1) / 2 * length[:, None]  # (m, 5)
        weights = NODE_WEIGHTS * np.exp(-rate * (length[:, None] - nodes))
        fraction = np.exp(-rate * (end - stop)) * -np.expm1(-rate * length) / mass
        weights *= (fraction / weights.sum(axis=1))[:, None]
        gone = np.expm1(-rate * nodes) / np.expm1(-rate * length)[:, None]  # fraction of the way to `last`
        for q in range(len(NODES)):
            yield first + (last - first) * gone[:, [q]], weights[:, q]


def productions(data: Trajectories, steps: Transitions, rate: float) -> tuple[Floats, NDArray[np.float64]]:
    """Return the mean production of every gene over every transition (m, n), and the precision of each row (m,).

    The precision is that of (x(t+D) - e x(t)) / (1 - e) when both states carry noise of one variance (divided by their
    weights): (1 - e)^2 / (1 + e^2).
    """
    decay = np.exp(-rate * (steps.at(data.times, steps.lag) - steps.at(data.times, 0)))
    first, last = steps.at(data.states, 0), steps.at(data.states, steps.lag)
    production = (last - decay[:, None] * first) / (1 - decay)[:, None]
    variance = 1 / steps.at(data.weights, steps.lag) + decay**2 / steps.at(data.weights, 0)
    return production, (1 - decay) ** 2 / variance
