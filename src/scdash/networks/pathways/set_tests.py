"""Tests of gene sets on the scores of several fits and controls, by one of three methods, in one table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from scdash.networks.pathways.enrichment import over_representation, prerank
from scdash.networks.pathways.gene_sets import Membership, membership
from scdash.networks.pathways.permutation import Alternative, null_moments
from scdash.networks.pathways.report import in_control
from scdash.networks.pathways.scores import pathway_table

Method = Literal["sum", "over_representation", "prerank"]
GeneSets = Mapping[str, Iterable[str]]


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
