"""Fates: what the knockout of every measured driver does to two lineages that share progenitors, beside its expression.

Of the drivers of myeloid and erythroid cells Klf1, Zfpm1 and Irf8 are among the 240 genes; Gata1, Cebpa and others are not. The
direction that is known is that of the end which the gene belongs to: without it that fate is less probable.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.direction import data
from benchmarks.direction.row import OURS, Row

NAME = "paul15, knockouts"
DRIVERS = {"Klf1": "erythroid", "Zfpm1": "erythroid", "Irf8": "myeloid"}
LAST = 0.1  # of the cells of a lineage, by pseudotime, that are its end
EXPRESSION = "expression in its lineage less the other"


def fates(seed: int) -> Iterator[Row]:
    """Yield changes of the fate of every driver's own lineage, and its effect on the end of both lineages."""
    import scanpy as sc

    import scdash

    adata = data.paul15()
    scdash.tl.fit_dynamics(
        adata,
        time_key="pseudotimes",
        trajectory_key="weights",
        regulators="is_tf",
        rng=seed,
        progress=False,
        validation=scdash.Validation(null_models=False),
    )
    sc.pp.pca(adata, n_comps=30)
    sc.pp.neighbors(adata, n_neighbors=30)
    weights = adata.obsm["weights"]
    adata.obs["end"] = ends(weights, adata.obsm["pseudotimes"])
    shared = (weights.min(axis=1) > 0.5).map({True: "shared progenitors", False: None})
    adata.obs["progenitors"] = shared.astype("category")
    scdash.tl.perturbation_scores(adata)
    scores = scdash.get.perturbation_scores(adata)
    for gene, lineage in DRIVERS.items():
        scdash.tl.perturbation_fates(adata, gene, terminal_states="end", groupby="progenitors")
        table = adata.uns["dynamics_fates"]["table"].set_index("state").loc[lineage]
        measure = f"{gene}: change of the {lineage} fate of shared progenitors"
        yield Row(NAME, measure, OURS, seed, float(table["change"]))
        yield Row(NAME, measure.replace("change", "probability"), OURS, seed, float(table["control"]))
        own = scores[scores["gene"] == gene].set_index("lineage")
        for name in own.index:
            yield Row(NAME, f"{gene}: effect along the {name} path", OURS, seed, float(own["along_path"][name]))
        yield Row(NAME, f"{gene}: targets", OURS, seed, float(own["n_targets"].iloc[0]))
        other = next(name for name in own.index if name != lineage)
        difference = own["expression"][lineage] - own["expression"][other]
        yield Row(NAME, f"{gene}: {EXPRESSION}", "expression alone", seed, float(difference))


def ends(weights: pd.DataFrame, pseudotimes: pd.DataFrame) -> Any:
    """Return the lineage of the last tenth of the cells that belong to one alone, no label for the others."""
    found = pd.Series(np.nan, index=weights.index, dtype=object)
    for name in weights:
        own = (weights[name] > 0.5) & (weights.drop(columns=name).max(axis=1) < 0.5)
        time = pseudotimes[name]
        found[own & (time >= time[own].quantile(1 - LAST))] = name
    return found.astype("category")
