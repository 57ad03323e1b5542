"""Pathways of the lineages by influence, beside controls: `python -m benchmarks.hematopoiesis.pathways [eryth] [B]`.

One fit by lineage (the package's default with CollecTRI; `n_models` replicates show how stable it is), its influence with
start states from the data, and the same of a fit with a label-shuffled prior, which is a control. Hallmark sets.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks._pathways import pathway_table
from benchmarks.hematopoiesis.data import LINEAGES, TRAIN, VALIDATION, batches, collectri, reference
from benchmarks.hematopoiesis.fits import CONTROLLED, STRATEGIES, fitted

HERE = Path(__file__).parent
SETS = "hallmark_human_msigdb_v7.0.gmt.gz"
KEPT = 10  # best sets by fit in the written table


def table(lineage: str, *, strategy: str = CONTROLLED, n_models: int = 3, seed: int = 0, n_starts: int = 20) -> Any:
    """Fit a lineage with the real and a shuffled prior, print and return the table of gene sets."""
    import scdash

    others = [name for name in batches(lineage) if name not in (TRAIN, VALIDATION)]
    split: dict[str, Any] = {"validation": [VALIDATION], "test": others, "seed": seed}
    adata = fitted(lineage, strategy, controls=False, n_models=n_models, **split)
    options = {name: value for name, value in STRATEGIES[strategy].items() if name != "prior"}
    prior = scdash.simulate.shuffle_prior(collectri(adata.var_names), genes=adata.var_names, rng=1000 + seed)
    scdash.tl.fit_dynamics(
        adata,
        prior=prior,
        rng=seed,
        progress=False,
        key_added="shuffled prior",
        validation=scdash.Validation(null_models=False),
        **options,
    )
    print(f"\n{lineage}: {strategy}")
    found = pathway_table(adata, reference() / "genesets" / SETS, shuffled=["shuffled prior"], n_starts=n_starts)
    return found.assign(lineage=lineage)


def main(lineages: list[str], out: Path) -> None:
    """Print the tables and write the best sets of each fit."""
    tables = pd.concat([table(lineage) for lineage in lineages], ignore_index=True)
    best = tables.groupby(["lineage", "fit"], sort=False).head(KEPT)
    best.to_csv(out / "pathways.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lineages", nargs="*", default=list(LINEAGES))
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    main(given.lineages, given.out)
