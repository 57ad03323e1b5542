"""The screens of the table, each as AnnData that a user would hand over, with its truth where there is one."""

import os
from functools import cache
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

DATA = Path(os.environ.get("SCDASH_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))
SERGIO_FILES = {
    "dag100": "sergio_dag100/sergio_dag100.h5ad",
    "midresponse": "sergio_dag100/sergio_dag100_midresponse.h5ad",
    "yeast400": "sergio_yeast400/sergio_yeast400.h5ad",
}


@cache
def dream4(size: int, number: int) -> anndata.AnnData:
    """Return the steady states of one network of DREAM4: wild types, knockouts and knockdowns, one row each.

    `obs["perturbation"]` names the gene, `obs["kind"]` says knockout or knockdown; `varp["truth"]`, a row regulates a
    column.
    """
    adata = anndata.read_h5ad(DATA / f"dream4/size{size}_{number}_steady.h5ad")
    kind = adata.obs["type"].astype(str)
    adata.obs["kind"] = np.where(kind.str.contains("down"), "knockdown", "knockout")
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str)
    edges = adata.uns["truth"]
    at = [pd.Index(adata.var_names).get_indexer(edges[name].astype(str)) for name in list(edges.columns)[:2]]
    adata.varp["truth"] = sparse.csr_matrix((np.ones(len(at[0])), at), shape=(adata.n_vars, adata.n_vars))
    return adata


@cache
def papalexi() -> anndata.AnnData:
    """Return the ECCITE-seq screen, log-normalised: cells in which one guide has more than 0.8 of the guide counts."""
    import scanpy as sc

    adata = anndata.read_h5ad(DATA / "papalexi_eccite/papalexi_lowmoi_299.h5ad")
    adata = adata[adata.obs["top_share"] > 0.8].copy()
    adata.obs["perturbation"] = adata.obs["gene"].astype(str)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


@cache
def sergio(name: str) -> anndata.AnnData:
    """Return one of the given SERGIO screens, log1p."""
    adata = anndata.read_h5ad(DATA / SERGIO_FILES[name])
    adata.X = np.log1p(np.asarray(adata.X))
    adata.varp["truth"] = sparse.csr_matrix(adata.varp["grn"])
    return adata


def counted(adata: anndata.AnnData, umi: float, rng: int) -> anndata.AnnData:
    """Return log-normalised Poisson counts of concentrations, with `umi` counts a gene and cell on average."""
    import scanpy as sc

    x = np.asarray(adata.X, dtype=float)
    counts = np.random.default_rng(rng).poisson(x * umi / x.mean()).astype(np.float32)
    result = anndata.AnnData(sparse.csr_matrix(counts), obs=adata.obs.copy(), var=adata.var.copy())
    result.varp["truth"] = adata.varp["truth"]
    sc.pp.normalize_total(result)
    sc.pp.log1p(result)
    return result


@cache
def counted_sergio(umi: float, cells: int, seed: int = 0) -> anndata.AnnData:
    """Return `simulate.sergio` (100 genes, 100 perturbations of five genes) with counts, `cells` a perturbation."""
    import scdash

    return counted(scdash.simulate.sergio(cells_per_perturbation=cells, rng=seed), umi, seed)


def truth(adata: anndata.AnnData) -> NDArray[np.bool_]:
    """Return the true edges, (regulator, target)."""
    return np.asarray(adata.varp["truth"].toarray() != 0)


def aupr(score: NDArray[np.floating], edges: NDArray[np.bool_]) -> float:
    """Return the area under the precision-recall curve over ordered pairs of genes, without self edges."""
    from sklearn.metrics import average_precision_score

    off = ~np.eye(len(edges), dtype=bool)
    return float(average_precision_score(edges[off], score[off]))


def planted(seed: int, *, genes: int = 300, perturbed: int = 59, cells: int = 100, umi: float = 0.3) -> anndata.AnnData:
    """Return counts of a knockout screen in which every perturbed gene changes 12 others by up to a factor of seven."""
    import scanpy as sc

    rng = np.random.default_rng(seed)
    names = [f"g{i:03d}" for i in range(genes)]
    effect = np.zeros((genes, genes))
    for gene in range(perturbed):
        others = rng.choice(np.delete(np.arange(genes), gene), 12, replace=False)
        effect[gene, others] = rng.choice([-1, 1], 12) * rng.uniform(0.6, 2.0, 12)
    level = rng.gamma(1.0, 1.0, genes) + 0.05
    level *= umi / level.mean()
    change = np.vstack([np.zeros(genes), effect[:perturbed] - 2 * np.eye(genes)[:perturbed]])
    rate = np.repeat(level * np.exp(change), cells, axis=0) * rng.lognormal(0, 0.3, (cells * (perturbed + 1), 1))
    labels = np.repeat(["control", *names[:perturbed]], cells)
    obs = pd.DataFrame({"perturbation": labels}, index=[f"c{i}" for i in range(len(labels))])
    counts = sparse.csr_matrix(rng.poisson(rate).astype(np.float32))
    adata = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=names))
    adata.varp["truth"] = sparse.csr_matrix(effect != 0)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata
