"""The data of the rows, as their users hold them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def reference() -> Path:
    """Return the folder of the reference data."""
    return Path(os.environ.get("SCDASH_REFERENCE_DATA", HERE.parents[2] / "shared" / "data"))


def semrau(way: str) -> Any:
    """Return mouse ES cells under retinoic acid at nine times, 41 genes: log1p of counts, or normalised first.

    The genes are a chosen panel, whose total changes with the state of the cell, so that normalising by it is doubtful.
    """
    import anndata

    import scdash

    adata = anndata.read_h5ad(reference() / "semrau_ra" / "semrau_ra_41.h5ad")
    if way == "log1p":
        adata.X = np.log1p(adata.X)
    else:
        scdash.pp.normalize(adata)
    return adata


def chip_pairs() -> pd.DataFrame:
    """Return the tested pairs of genes (`source`, `target`, `chip_support`); RA is no gene of the data."""
    table = pd.read_csv(reference() / "semrau_ra" / "chip_reference.csv").rename(columns={"regulator": "source"})
    return table[(table["source"] != "RA") & (table["source"] != table["target"])].reset_index(drop=True)


def hsmm() -> Any:
    """Return human myoblasts at 0, 24, 48 and 72 hours, without the contaminating branch, 822 genes."""
    import anndata

    adata = anndata.read_h5ad(reference() / "hsmm_myoblast" / "hsmm_822.h5ad")
    return adata[adata.obs["state"].astype(str) != "3"].copy()


def renge_controls() -> Any:
    """Return human iPS control cells at days 2 to 5, 103 genes."""
    import anndata

    adata = anndata.read_h5ad(reference() / "renge_hipsc" / "renge_hipsc.h5ad")
    return adata[adata.obs["perturbation"].astype(str) == "control"].copy()


def paul15() -> Any:
    """Return myeloid progenitors with the weights and pseudotimes of slingshot, 240 genes.

    `obs` has one label per cell besides, that of the larger weight, with the pseudotime of that lineage.
    """
    import scdash

    adata = scdash.datasets.paul15(reference())
    scdash.pp.normalize(adata)
    first = (adata.obsm["weights"]["myeloid"] >= adata.obsm["weights"]["erythroid"]).to_numpy()
    adata.obs["lineage"] = np.where(first, "myeloid", "erythroid")
    adata.obs["pseudotime"] = np.where(first, *(adata.obsm["pseudotimes"][name] for name in ("myeloid", "erythroid")))
    return adata


def pancreas() -> Any:
    """Return pancreas endocrinogenesis with spliced and unspliced counts, the 400 most variable genes marked, in order."""
    import anndata

    import scdash

    adata = anndata.read_h5ad(reference() / "veloviz_pancreas" / "pancreas_739.h5ad")
    scdash.pp.normalize(adata, n_top_genes=400)
    scdash.pp.order_cells(adata, root=("clusters", "Ductal"))
    return adata
