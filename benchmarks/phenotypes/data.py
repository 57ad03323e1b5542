"""Cells, priors, curated phenotypes and fits."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.hematopoiesis.data import base_grn, cells, reference

HERE = Path(__file__).parent
LINEAGES = {"erythroid": "eryth", "B cell": "B", "myoblast": "hsmm"}
TABLES = {"erythroid": "erythroid", "B cell": "b_cell", "myoblast": "myoblast"}
PRIORS = {"erythroid": ("collectri", "base_grn", "none"), "B cell": ("collectri", "base_grn", "none"),
          "myoblast": ("collectri", "none")}  # fmt: skip
Keys = dict[str, Any]


def lineage_cells(lineage: str, seed: int) -> tuple[Any, Keys]:
    """Return the cells of a lineage, and where a fit finds time, batch and split.

    No cell is for test: batches are left out in turn by the fit itself. The seed says which batch is called validation.
    """
    if lineage == "myoblast":
        import scdash

        return scdash.datasets.hsmm(), {"time_key": "pseudotime"}
    adata = cells(LINEAGES[lineage])
    batch = adata.obs["batch"].astype(str)
    names = sorted(batch.unique())
    adata.obs["split"] = np.where(batch == names[seed % len(names)], "validation", "train")
    return adata, {"time_key": "pseudotime", "batch_key": "batch", "split_key": "split"}


def edges_of(prior: str, genes: pd.Index) -> pd.DataFrame | None:
    """Return the edges of a prior among some genes; None where there is none."""
    if prior == "none":
        return None
    if prior == "base_grn":
        return base_grn()
    table = pd.read_csv(reference() / "priors" / "collectri_human.csv.gz", keep_default_na=False)
    kept = table["source"].isin(genes) & table["target"].isin(genes) & (table["source"] != table["target"])
    return table[kept].reset_index(drop=True)


def path_of(lineage: str, prior: str, seed: int, folder: Path | None) -> Path:
    """Return where a fit is kept."""
    if folder is None:
        raise ValueError("--only-kept needs --fits, the folder that fits are kept in.")
    return folder / f"{LINEAGES[lineage]}_{prior}_{seed}.h5ad"


def fitted(lineage: str, prior: str, seed: int, kept_in: Path | None = None) -> Any:
    """Return the cells with a fit in `uns["dynamics"]`, read from `kept_in` where it was made before."""
    import anndata

    import scdash

    scdash.settings.verbosity = 0
    path = None if kept_in is None else path_of(lineage, prior, seed, kept_in)
    if path is not None and path.exists():
        return anndata.read_h5ad(path)
    adata, keys = lineage_cells(lineage, seed)
    scdash.tl.fit_dynamics(
        adata,
        prior=edges_of(prior, adata.var_names),
        regulators="is_tf",
        rng=seed,
        write_velocity=False,
        progress=False,
        validation=scdash.Validation(null_models=False),
        **keys,
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        adata.write_h5ad(path)
    return adata


def phenotypes(lineage: str) -> pd.DataFrame:
    """Return the curated calls, by gene."""
    path = reference() / "ko_phenotypes" / f"{TABLES[lineage]}.csv"
    return pd.read_csv(path, keep_default_na=False).set_index("gene")
