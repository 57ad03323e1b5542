"""Sums of scores over gene sets: moments under random sets in closed form, p-values by permuting all sets together."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.errors import check_choice
from scdash._core.random_streams import RNG, as_generator

Alternative = Literal["greater", "less", "two-sided"]
BLOCK = 4_000_000  # permuted scores held at a time


def null_moments(scores: NDArray[Any], sizes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance of the sum of m scores drawn without replacement from all N.

    mean = m mu, variance = m s^2 (N - m) / (N - 1), with s^2 the population variance (ddof 0).

    `scores`: scores of the N genes of the universe. `sizes`: set sizes m, (sets,).
    """
    scores = np.asarray(scores, dtype=np.float64)
    m, n = np.asarray(sizes, dtype=np.float64), len(scores)
    if n < 2 or m.min(initial=1) < 1 or m.max(initial=1) > n:
        raise ValueError(f"sizes must lie between 1 and the number of scores, {n} (at least 2), found {sizes}.")
    return m * scores.mean(), m * scores.var() * (n - m) / (n - 1)


@dataclass(frozen=True)
class Permutations:
    """Outcome of the permutation test, one entry per set."""

    p_value: NDArray[np.float64]
    n_permutations: NDArray[np.int64]
    fwer: NDArray[np.float64]


@dataclass(frozen=True)
class _Null:
    """What a permutation needs: the scores, the sets, and the sums to reach."""

    scores: NDArray[np.float64]  # (genes,)
    sets: sp.csr_matrix  # (sets, genes)
    mean: NDArray[np.float64]  # (sets,)
    sd: NDArray[np.float64]  # (sets,)
    alternative: Alternative
    generator: np.random.Generator

    def extremity(self, sums: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how far sums (sets, ...) lie towards the alternative."""
        excess = sums - self.mean[rows].reshape(-1, *[1] * (sums.ndim - 1))
        return {"greater": excess, "less": -excess}.get(self.alternative, np.abs(excess))

    def draw(self, count: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the extremities of `count` permutations, one permutation for all sets, (sets, count)."""
        repeated = np.broadcast_to(self.scores, (count, len(self.scores)))
        permuted = np.ascontiguousarray(self.generator.permuted(repeated, axis=1).T)
        return self.extremity(self.sets[rows] @ permuted, rows)


def permutation_test(
    scores: NDArray[Any],  # scores of the genes, (genes,)
    sets: sp.csr_matrix,  # membership, (sets, genes), 0/1
    *,
    alternative: Alternative = "greater",  # whether large sums, small sums or either are of interest
    n_permutations: int = 1000,
    max_permutations: int = 100_000,
    exceedances: int = 20,
    rng: RNG = 0,
) -> Permutations:
    """Permute the scores over the genes, all sets together, and count how often a set's sum is reached.

    p = (1 + #{permuted >= observed}) / (K + 1). Every set gets K = `n_permutations`; those reached fewer than
    `exceedances` times go on until the draw before the one that completes this number, or until `max_permutations`.
    p stays valid under this stopping (P(p <= a) <= a for every a): above exceedances / (n_permutations + 1) it is
    the plain permutation p, below it the sequential one of Besag and Clifford (1991).

    `fwer` is the single-step maxT p-value (Westfall and Young 1993): how often the largest z among ALL sets reaches
    the set's own z in the first `n_permutations`. It takes the overlap of the sets into account, which Bonferroni
    does not, but cannot be below 1 / (n_permutations + 1).
    """
    check_choice("alternative", alternative, get_args(Alternative))
    if not 1 <= n_permutations <= max_permutations or exceedances < 1:
        raise ValueError(
            "n_permutations, max_permutations and exceedances must be positive and n_permutations <= max_permutations, "
            f"found {n_permutations}, {max_permutations}, {exceedances}."
        )
    scores = np.asarray(scores, dtype=np.float64)
    mean, variance = null_moments(scores, np.diff(sets.indptr))
    null = _Null(scores, sets, mean, np.sqrt(variance), alternative, as_generator(rng))
    observed = null.extremity(sets @ scores, np.arange(sets.shape[0]))
    # equal sums added in another order differ in their last digits: count them as reached
    threshold = observed - 1e-12 * np.abs(scores).sum()
    counts, fwer = _first_stage(null, observed, threshold, n_permutations)
    counts, drawn = _continue(null, threshold, counts, n_permutations, max_permutations, exceedances)
    return Permutations((1 + counts) / (drawn + 1), drawn, fwer)


def _first_stage(
    null: _Null, observed: NDArray[np.float64], threshold: NDArray[np.float64], total: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how often each set was reached, and how often the largest z of all sets reached its z."""
    rows, largest = np.arange(null.sets.shape[0]), np.empty(total)
    counts = np.zeros(len(rows), np.int64)
    per_sd = np.divide(1.0, null.sd, out=np.zeros_like(null.sd), where=null.sd > 0)
    block = max(1, BLOCK // max(null.sets.shape))
    for start in range(0, total, block):
        drawn = null.draw(min(block, total - start), rows)
        counts += (drawn >= threshold[:, None]).sum(1)
        largest[start : start + block] = (drawn * per_sd[:, None]).max(0)
    below = np.searchsorted(np.sort(largest), observed * per_sd - 1e-9)
    return counts, (1 + total - below) / (total + 1)


def _continue(
    null: _Null,
    threshold: NDArray[np.float64],
    counts: NDArray[np.int64],
    total: int,
    maximum: int,
    exceedances: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Go on with the sets reached fewer than `exceedances` times; return counts and draws of every set."""
    counts, drawn = counts.copy(), np.full(len(counts), total)
    active = np.flatnonzero(counts < exceedances)
    while total < maximum and len(active):
        size = min(maximum - total, max(1, BLOCK // len(null.scores)))
        reached = null.draw(size, active) >= threshold[active, None]
        running = counts[active, None] + np.cumsum(reached, axis=1)
        ended = running[:, -1] >= exceedances
        before = np.argmax(running >= exceedances, axis=1)  # draws before the one that completes the number
        counts[active] = np.where(ended, exceedances - 1, running[:, -1])
        drawn[active] = total + np.where(ended, before, size)
        active, total = active[~ended], total + size
    return counts, drawn


def bonferroni(p_value: NDArray[Any]) -> NDArray[np.float64]:
    """Return p times the number of tests, at most 1."""
    return np.minimum(1.0, np.asarray(p_value, dtype=np.float64) * len(p_value))
