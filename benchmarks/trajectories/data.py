"""The sets of the rows: cells as their users hold them, and the data keys of the call."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData

HERE = Path(__file__).parent
Keys: TypeAlias = dict[str, str]


def reference() -> Path:
    """Return the folder of the reference data."""
    return Path(os.environ.get("SCDASH_REFERENCE_DATA", HERE.parents[2] / "shared" / "data"))


def read(name: str) -> "AnnData":
    """Return a file of the reference data."""
    import anndata

    return anndata.read_h5ad(reference() / name)


def myoblasts() -> tuple["AnnData", Keys]:
    """Return the embedded human myoblasts, 228 cells and 822 genes, ordered from hour 0."""
    import scdash

    adata = scdash.datasets.hsmm()
    scdash.pp.order_cells(adata, root=("hours", 0), key_added="dpt_pseudotime")
    return adata, {"regulators": "is_tf"}


def paul15(lineage: int) -> tuple["AnnData", Keys]:
    """Return one lineage of mouse myeloid progenitors by the pseudotime of slingshot, 240 genes."""
    import scdash

    adata = read("paul15_240/paul15_240.h5ad")
    scdash.pp.normalize(adata)
    own = (adata.obs[f"weight_lineage{lineage}"] > 0.5).to_numpy()
    return adata[own].copy(), {"time_key": f"pseudotime_lineage{lineage}"}


def ginhoux() -> tuple["AnnData", Keys]:
    """Return mouse dendritic-cell progenitors, 245 cells, their 500 most variable genes, ordered from MDP."""
    import scanpy

    import scdash

    adata = read("ginhoux_dc/ginhoux_dc.h5ad")
    scdash.pp.order_cells(adata, root=("cell_type", "MDP"))
    scanpy.pp.highly_variable_genes(adata, n_top_genes=500)
    return adata, {}


def semrau() -> tuple["AnnData", Keys]:
    """Return mouse ES cells under retinoic acid by pseudotime, 2449 cells and 41 genes, ordered from hour 0."""
    import scdash

    adata = read("semrau_ra/semrau_ra_41.h5ad")
    adata.X = np.log1p(adata.X)
    scdash.pp.order_cells(adata, root=("hours", 0))
    return adata, {}


def hematopoiesis(lineage: str, batch: str | None = None) -> tuple["AnnData", Keys]:
    """Return one batch of a human bone-marrow lineage, or all of them as one trajectory each; 529 genes."""
    adata = read(f"hematopoiesis/{lineage}.h5ad")
    adata.X = adata.X.log1p()
    keys = {"time_key": "pseudotime", "regulators": "is_tf"}
    if batch is None:
        return adata, keys | {"batch_key": "batch"}
    return adata[(adata.obs["batch"].astype(str) == batch).to_numpy()].copy(), keys


SETS: dict[str, Callable[[], tuple["AnnData", Keys]]] = {
    "semrau_ra": semrau,
    "myoblasts": myoblasts,
    "paul15 lineage 1": lambda: paul15(1),
    "paul15 lineage 2": lambda: paul15(2),
    "erythroid s1d1": lambda: hematopoiesis("eryth", "s1d1"),
    "B cells s1d1": lambda: hematopoiesis("B", "s1d1"),
    "ginhoux_dc": ginhoux,
    "erythroid, all batches": lambda: hematopoiesis("eryth"),
    "B cells, all batches": lambda: hematopoiesis("B"),
}
