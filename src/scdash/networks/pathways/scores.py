"""Pathway scores of gene scores: sums over gene sets against random sets of the same size.

The score of a set is the sum of its genes' scores (Hossain et al. 2024, B.8). The null permutes the scores over the
genes of the universe, the same permutation for every set, so that overlapping sets stay overlapping.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from scdash._core.random_streams import RNG
from scdash.networks.pathways.gene_sets import Membership
from scdash.networks.pathways.permutation import (
    Alternative,
    bonferroni,
    null_moments,
    permutation_test,
)

MARGIN = 5  # permutations allowed beyond those that a p-value at 5 % after Bonferroni needs


def enough_permutations(n_sets: int) -> int:
    """Return permutations with which the smallest p can pass Bonferroni at 5 %, with a margin of 5."""
    return int(min(1_000_000, max(1000, MARGIN * n_sets / 0.05)))


def leading_genes(
    scores: NDArray[Any], members: NDArray[np.int64], centre: float, *, sign: float = 1
) -> NDArray[np.int64]:
    """Return the fewest members that make up half of the set's excess over `centre`, strongest first.

    `scores`: scores of all genes. `members`: indices of the set's genes. `centre`: mean score of the universe. `sign`:
    -1 for sets that stand out by low scores.
    """
    excess = sign * (np.asarray(scores, dtype=np.float64)[members] - centre)
    order = np.argsort(-excess, kind="stable")
    positive = np.maximum(excess[order], 0)
    if not positive.sum():
        return members[:0]
    half = int(np.searchsorted(np.cumsum(positive), positive.sum() / 2)) + 1
    return members[order[:half]]


def pathway_table(
    scores: NDArray[Any],  # scores of `sets.genes`, finite
    sets: Membership,  # gene sets restricted to the universe
    *,
    alternative: Alternative = "greater",
    n_permutations: int = 1000,
    max_permutations: int | None = None,
    exceedances: int = 20,
    rng: RNG = 0,
) -> pd.DataFrame:
    """Test every set and return a tidy table, smallest p first.

    `alternative`, `n_permutations`, `max_permutations`, `exceedances`, `rng`: see `permutation_test`;
    `max_permutations=None` is `enough_permutations`.

    The result is a DataFrame with columns pathway, size (genes tested), size_full, score (sum), mean_score, z
    (closed-form null), p_value, n_permutations, bonferroni, fdr_bh, fwer, leading_genes (";"-joined).
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != sets.genes.shape or not np.isfinite(scores).all():
        raise ValueError(f"scores must be {len(sets.genes)} finite numbers, one a gene, found shape {scores.shape}.")
    if np.ptp(scores) == 0:
        raise ValueError("All genes have the same score, so no set can stand out. Has the model any edge left?")
    limit = enough_permutations(len(sets.names)) if max_permutations is None else max_permutations
    test = permutation_test(
        scores,
        sets.matrix,
        alternative=alternative,
        n_permutations=n_permutations,
        max_permutations=max(limit, n_permutations) if max_permutations is None else limit,
        exceedances=exceedances,
        rng=rng,
    )
    total, (mean, variance) = sets.matrix @ scores, null_moments(scores, sets.sizes)
    z = np.divide(total - mean, np.sqrt(variance), out=np.zeros_like(total), where=variance > 0)
    low = (alternative == "less") | ((alternative == "two-sided") & (z < 0))
    table = pd.DataFrame(
        {
            "pathway": sets.names,
            "size": sets.sizes,
            "size_full": sets.full_sizes,
            "score": total,
            "mean_score": total / sets.sizes,
            "z": z,
            "p_value": test.p_value,
            "n_permutations": test.n_permutations,
            "bonferroni": bonferroni(test.p_value),
            "fdr_bh": false_discovery_control(test.p_value),
            "fwer": test.fwer,
            "leading_genes": _leading(scores, sets, np.broadcast_to(low, z.shape)),
        }
    )
    return table.sort_values(["p_value", "z"], ascending=[True, False], key=abs, ignore_index=True)


def _leading(scores: NDArray[np.float64], sets: Membership, low: NDArray[np.bool_]) -> list[str]:
    centre = float(scores.mean())
    rows = (leading_genes(scores, sets.members(row), centre, sign=-1 if low[row] else 1) for row in range(len(low)))
    return [";".join(sets.genes[row]) for row in rows]
