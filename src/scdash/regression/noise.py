"""Measurement noise: its variance, the genes that do not change, and states corrected by a simulation."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from scdash._core.types import Floats
from scdash.regression.intervals import Trajectories

LEAST_NOISE = 1e-10  # variance below which states count as exact, in squared units of [0, 1]
LEAST_SHARE = 0.02  # of the genes have to look constant before noise is read off them
RARE = 1e-4  # chance that white noise looks uneven over time
LEAST_FREEDOM = 50  # with fewer degrees of freedom, constant and changing genes cannot be told apart


def within_variance(data: Trajectories, keep: NDArray[np.bool_]) -> tuple[Floats, int]:
    """Return every gene's variance over time within trajectories (n,), and its degrees of freedom.

    `keep` (trajectories, times) marks the states to use.
    """
    use = (keep & data.real).astype(np.float64)
    count = use.sum(axis=1)
    mean = np.einsum("btn,bt->bn", data.states, use) / np.maximum(count, 1)[:, None]
    squares = np.einsum("btn,bt->n", (data.states - mean[:, None]) ** 2, use)
    freedom = int(np.maximum(count - 1, 0).sum())
    return squares / max(freedom, 1), freedom


def looks_white(data: Trajectories, keep: NDArray[np.bool_], variance: Floats, freedom: int) -> NDArray[np.bool_]:
    """Tell for every gene whether its variation within trajectories is white noise, (n,).

    Two signs of change over time: steps from one observation to the next are smaller than the variance says (von
    Neumann's ratio, here below 1 by three standard errors), and deviations from a trajectory's mean are larger at some
    time than at others (beyond chi-squared), as they are at the start of a relaxation.
    """
    use = keep & data.real
    both = (use[:, 1:] & use[:, :-1]).astype(np.float64)
    squares = np.einsum("btn,bt->n", np.diff(data.states, axis=1) ** 2, both)
    slow = squares / max(2 * both.sum(), 1) < (1 - 3 * np.sqrt(2 / freedom)) * variance
    weight = use.astype(np.float64)
    count = weight.sum(axis=1)
    mean = np.einsum("btn,bt->bn", data.states, weight) / np.maximum(count, 1)[:, None]
    at_time = np.einsum("btn,bt->tn", (data.states - mean[:, None]) ** 2, weight)
    expected = (weight * (1 - 1 / np.maximum(count, 1))[:, None]).sum(axis=0)  # of noise, in units of its variance
    count = np.maximum(weight.sum(axis=0), 1)
    bound = chi2.isf(RARE / len(count), count) / count
    uneven = (at_time > (expected * bound)[:, None] * variance).any(axis=0)
    result: NDArray[np.bool_] = ~slow & ~uneven
    return result


def noise_and_constants(data: Trajectories, keep: NDArray[np.bool_]) -> tuple[float | None, NDArray[np.bool_]]:
    """Return the noise variance (None: not seen), and which genes are constant over time.

    What varies over time by noise alone is white (see `looks_white`). Constant are the white genes whose variance is
    within six standard errors of the 10 % quantile of all white genes' variances; their mean is the noise variance.
    Trajectories of two states cannot show this.
    """
    variance, freedom = within_variance(data, keep)
    nothing = np.zeros(len(variance), dtype=bool)
    if data.times.shape[1] < 3 or freedom < LEAST_FREEDOM:
        return None, nothing
    error = np.sqrt(2 / freedom)
    still = variance <= LEAST_NOISE
    white = still | looks_white(data, keep, variance, freedom)
    if white.sum() < max(2, LEAST_SHARE * len(variance)):
        return None, nothing
    noise = max(float(np.quantile(variance[white], 0.1)), LEAST_NOISE)
    constant = white & (variance < noise * (1 + 6 * error))
    return max(float(variance[constant].mean()), LEAST_NOISE), constant


def average_constants(data: Trajectories, constant: NDArray[np.bool_]) -> Floats:
    """Return states (B, T, n) in which every constant gene has its mean over time in each trajectory."""
    weight = data.real * data.weights
    mean = np.einsum("btn,bt->bn", data.states[:, :, constant], weight) / weight.sum(axis=1)[:, None]
    states = data.states.copy()
    states[:, :, constant] = mean[:, None]
    return states


def denoise(data: Trajectories, simulated: Floats, noise: float, keep: NDArray[np.bool_]) -> Floats:
    """Return simulation + K (observation - simulation) with K = v / (v + noise), v the model's own error variance.

    v is evaluated per gene on the states of `keep` (trajectories, times), beyond each first state, which is observed. Where
    neither has an error, as of a fold with a single interval, they are the same.
    """
    use = (keep & data.real).astype(np.float64)
    use[:, 0] = 0
    difference = data.states - simulated
    residual = np.einsum("btn,bt->n", difference**2, use) / max(use.sum(), 1)
    model = np.maximum(residual - noise, 0)
    total = model + noise
    gain = np.divide(model, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(simulated + gain * difference)
