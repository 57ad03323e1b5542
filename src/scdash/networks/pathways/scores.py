"""Pathway scores of gene scores: sums over gene sets against random sets of the same size.

The score of a set is the sum of its genes' scores (Hossain et al. 2024, B.8). The null permutes the scores over the
genes of the universe, the same permutation for every set, so that overlapping sets stay overlapping.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from scdash._core.random_streams import RNG
from scdash.networks.pathways.enrichment import over_representation, prerank
from scdash.networks.pathways.gene_sets import Membership, membership
from scdash.networks.pathways.permutation import (
    Alternative,
    bonferroni,
    null_moments,
    permutation_test,
)
from scdash.networks.pathways.report import in_control

MARGIN = 5  # permutations allowed beyond those that a p-value at 5 % after Bonferroni needs
Method = Literal["sum", "over_representation", "prerank"]
GeneSets = Mapping[str, Iterable[str]]


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


@dataclass(frozen=True)
class SetTests:
    """How gene sets are tested; see `scdash.tl.pathways`."""

    method: Method
    alternative: Alternative
    n_top: int
    min_size: int
    max_size: int
    annotated_only: bool
    n_permutations: int
    max_permutations: int | None
    seed: int

    def table(self, values: pd.Series, named: GeneSets, models: pd.DataFrame | None) -> pd.DataFrame:
        """Return the tests on one score of all genes; `models` are the scores of every model of a fit."""
        values = values[np.isfinite(values)]
        sizes = {"min_size": self.min_size, "max_size": self.max_size}
        sets = membership(named, values.index, **sizes, annotated_only=self.annotated_only)
        universe = values.loc[sets.genes].to_numpy()
        if self.method == "prerank":
            return prerank(universe, sets, n_permutations=self.n_permutations, rng=self.seed)
        if self.method == "over_representation":
            # every modelled gene counts as background, annotated or not
            background = membership(named, values.index, **sizes, annotated_only=False)
            return over_representation(values.sort_values(ascending=False).index[: self.n_top], background)
        found = pathway_table(
            universe,
            sets,
            alternative=self.alternative,
            n_permutations=self.n_permutations,
            max_permutations=self.max_permutations,
            rng=self.seed,
        )
        found.insert(list(found.columns).index("z") + 1, "z_spread", _z_spread(models, sets, found))
        return found


def table_of_tests(
    fits: Mapping[str, pd.Series],
    controls: Mapping[str, pd.Series],
    named: GeneSets,
    how: SetTests,
    ensembles: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Return the tests on the scores of fits and of controls, with `fit`, `control` and `in_control`."""
    parts = []
    for name, values in {**fits, **controls}.items():
        part = how.table(values, named, ensembles.get(name))
        part.insert(0, "control", name in controls)
        part.insert(0, "fit", name)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table.insert(len(table.columns) - 1, "in_control", in_control(table))
    return table


def _z_spread(models: pd.DataFrame | None, sets: Membership, table: pd.DataFrame) -> Any:
    """Return the standard deviation over models of the closed-form z of every set, in the order of the table."""
    if models is None:
        return np.nan
    z = []
    for name in models:
        scores = models[name].loc[sets.genes].to_numpy()
        mean, variance = null_moments(scores, sets.sizes)
        excess = sets.matrix @ scores - mean
        z.append(np.divide(excess, np.sqrt(variance), out=np.zeros_like(excess), where=variance > 0))
    return pd.Series(np.std(z, axis=0, ddof=1), index=sets.names).loc[table["pathway"]].to_numpy()
