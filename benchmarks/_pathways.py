"""The pathway table of any fitted AnnData, for the benchmarks that have real genes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def pathway_table(
    adata: Any,
    gene_sets: str | Path | Mapping[str, Sequence[str]],
    *,
    keys: Sequence[str] = ("dynamics",),
    shuffled: Sequence[str] = (),
    scores: pd.DataFrame | None = None,
    n_starts: int = 50,
    min_size: int = 8,
    n_top: int = 8,
) -> pd.DataFrame:
    """Compute influences (start states from the data) of fits that have none, test gene sets, print and return.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to, under each of `keys` and `shuffled`.
    gene_sets
        As in `scdash.tl.pathways`.
    keys, shuffled
        Fits, and fits with a shuffled prior, which count as controls.
    scores
        Further scores to test, (genes, scores).
    n_starts, min_size, n_top
        Start states, smallest set, and sets printed per fit.
    """
    import scdash

    for key in (*keys, *shuffled):
        if f"{key}_influence" not in adata.varm:
            scdash.tl.gene_influence(adata, key=key, starts="data", n_starts=n_starts, progress=False)
    scdash.tl.pathways(
        adata, gene_sets, keys=[*keys, *shuffled], scores=scores, controls=list(shuffled), min_size=min_size,
        max_permutations=50_000,
    )  # fmt: skip
    table = scdash.get.pathways(adata)
    print("\nGene sets by influence, beside controls that know no dynamics")
    shown = ["pathway", "size", "z", "z_spread", "p_value", "bonferroni", "in_control", "leading_genes"]
    for name, part in table.groupby("fit", sort=False):
        part = part.head(n_top)[shown].assign(leading_genes=part["leading_genes"].str.slice(0, 40))
        print(f"\n{name}\n{part.to_string(index=False, float_format=lambda x: f'{x:.3g}')}")
    print("\n" + str(table.attrs["report"]))
    return table
