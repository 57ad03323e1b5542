"""Cells, bins, splits and priors of the two lineages."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
LINEAGES = ("eryth", "B")
TRAIN, VALIDATION = "s1d2", "s1d1"  # protocol (a)
BINS, BOOTSTRAPS = 20, 8


def reference() -> Path:
    """Return the folder of reference data."""
    return Path(os.environ.get("SCDASH_REFERENCE_DATA", HERE.parents[2] / "shared" / "data"))


def cells(lineage: str) -> Any:
    """Return the cells of a lineage, log1p of size-factor-normalised counts."""
    import anndata

    adata = anndata.read_h5ad(reference() / "hematopoiesis" / f"{lineage}.h5ad")
    adata.X = adata.X.log1p()
    return adata


def batches(lineage: str) -> list[str]:
    """Return the batches that have the lineage."""
    return sorted(cells(lineage).obs["batch"].astype(str).unique())


def bins(lineage: str, *, validation: list[str], test: list[str], seed: int) -> Any:
    """Return smoothed bins of every batch with bootstraps; unnamed batches are for training.

    Pseudotime is turned into ranks within each batch; minimum and range of the genes are the training batches'.
    """
    import scdash

    adata = cells(lineage)
    batch = adata.obs["batch"].astype(str)
    adata.obs["split"] = np.select([batch.isin(validation), batch.isin(test)], ["validation", "test"], "train")
    return scdash.pp.trajectories(
        adata,
        time_key="pseudotime",
        lineage_key="lineage",
        batch_key="batch",
        split_key="split",
        n_bins=BINS,
        n_bootstrap=BOOTSTRAPS,
        rng=seed,
    )


def protocol_a(lineage: str) -> dict[str, list[str]]:
    """Return the split of the paper: train on s1d2, choose on s1d1, test on the rest."""
    return {"validation": [VALIDATION], "test": [b for b in batches(lineage) if b not in (TRAIN, VALIDATION)]}


def protocol_b(lineage: str, batch: str, seed: int) -> dict[str, list[str]]:
    """Return a split that tests on one batch; the rest is learned from, but for one by turns of the seed.

    Settings of regression and of the predictors without a network are chosen by leaving out every batch but the test batch in
    turn; that one batch decides whether training as an ODE is kept.
    """
    inner = [b for b in batches(lineage) if b != batch]
    return {"validation": [inner[seed % len(inner)]], "test": [batch]}


def collectri(genes: pd.Index) -> pd.DataFrame:
    """Return CollecTRI's edges among some genes, signed."""
    table = pd.read_csv(reference() / "priors" / "collectri_human.csv.gz", keep_default_na=False)
    kept = table["source"].isin(genes) & table["target"].isin(genes) & (table["source"] != table["target"])
    return table[kept].reset_index(drop=True)


def base_grn() -> pd.DataFrame:
    """Return the promoter network shipped with the data, cut to its genes: 55 % of its pairs are edges."""
    matrix = pd.read_csv(reference() / "hematopoiesis" / "base_grn_529.csv.gz", index_col=0)
    table = matrix.rename_axis("source").reset_index().melt("source", var_name="target", value_name="weight")
    return table[(table["weight"] != 0) & (table["source"] != table["target"])].reset_index(drop=True)
