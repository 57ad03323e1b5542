"""The yeast cell cycle of the PHOENIX paper: two replicate time courses, its motif prior and ChIP edges."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from scdash._core.process_state import guarded
from scdash.datasets._phoenix_files import gene_names, read_trajectories
from scdash.datasets._published import published_files

_RAW = "https://raw.githubusercontent.com/"
_PHOENIX = _RAW + "QuackenbushLab/phoenix/{commit}/pramila_yeast_data/clean_data/{name}"
_COMMITS = {
    "pramila_3551genes_1sample_24T.csv": "b092e5e9c31eb594070fe6a5625fc52d3728db11",
    "pramila_3551genes_1VALsample_24T.csv": "6d47c167ce0dbda89b9d9c54f9e4c937cebc40ba",
    "pramila3551_gene_names.csv": "366104931bdb0c70549a1786b4e36ebf7f539887",
    "pramila500_gene_names.csv": "7c856dc4373984da95ce686a0707da83a929db78",
    "motif_prior.csv": "b092e5e9c31eb594070fe6a5625fc52d3728db11",
}
TRAIN, VALIDATION, GENES, GENES_500, MOTIFS = _COMMITS
CHIP = "CHIP.csv"
URLS = {name: _PHOENIX.format(commit=commit, name=name) for name, commit in _COMMITS.items()} | {
    CHIP: _RAW + "soelmicheletti/giraffe/7732cf8fc5b2878a65471f936d0e2db5db1b4718/notebooks/data/yeast/CHIP.csv"
}
# What was published, whatever the bytes of the files: both replicates in millionths, (48, genes) little-endian int64,
# training first, genes by name; and the edges "regulator target" of the prior, sorted, one a line.
EXPRESSION_SHA256 = "0f602894261afa21574858495961f3bf1af4c997119a5f045a914ee86f35dc0d"
PRIOR_SHA256 = "a708fb742c173fbdcc47456c8d18900916489221d6fd78eb327a2c55236110f4"
CHIP_P = 0.001  # the published ROC curves count the 3,255 pairs below it as true
REPLICATES = ("train", "validation")


@guarded
def yeast_cell_cycle(
    *,
    n_genes: int = 3551,
    folder: "str | Path | None" = None,
    sha256: Mapping[str, str] | None = None,
    check: bool = True,
) -> AnnData:
    """Read two time courses of the yeast cell cycle: 24 times, 3,551 genes, a motif prior and edges seen by ChIP-chip.

    The data of Pramila et al. 2006 (GEO GSE4987) as the PHOENIX paper uses them (Hossain et al. 2024;
    github.com/QuackenbushLab/phoenix, MIT), with the binding data of Harbison et al. 2004 (github.com/soelmicheletti/giraffe,
    MIT), all at pinned commits. They are not part of the package: download the six files once (called without arguments, the
    function says from where) and pass their folder; or pass the hashes of files that you trust.

    Parameters
    ----------
    n_genes
        3551, or 500: the most variable ones, with the prior and the edges among them.
    folder
        Folder with the authors' files, or the folder of reference data that holds `phoenix_yeast/`. None without `sha256`:
        the one that the environment variable SCDASH_REFERENCE_DATA names.
    sha256
        Hash of each of the six files, `{"motif_prior.csv": "...", ...}`: they are downloaded once with pooch (extra
        `datasets`) into its cache, and refused if they differ.
    check
        Compare expression and prior with what was published, and raise if they differ.

    Returns
    -------
    AnnData
        AnnData, (48, 3551) or (48, 500):
    `.X` : float32
        log ratios to an unsynchronised culture
    `.obs` : DataFrame
        `replicate` ("train" and "validation", as the paper uses the two technical replicates), `minutes` (0 to 120)
    `.uns["prior"]` : DataFrame
        `source`, `target`, `weight` (1): motifs, 51,254 (1,146) edges
    `.uns["truth"]` : DataFrame
        `source`, `target`: 3,255 edges of 63 regulators with p < 0.001

    Raises
    ------
    FileNotFoundError
        If a file is missing, with its address.
    ValueError
        If `n_genes` is another number, or the files are not the published ones.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics and the network inside it.
    scdash.datasets.sim350 : Read the simulated system of the same paper.

    Examples
    --------
    >>> adata = scdash.datasets.yeast_cell_cycle(n_genes=500)  # doctest: +SKIP
    >>> keys = {"time_key": "minutes", "trajectory_key": "replicate"}
    >>> scdash.tl.fit_dynamics(adata, adata.uns["prior"], **keys)  # doctest: +SKIP
    """
    if n_genes not in (3551, 500):
        raise ValueError(f"n_genes must be 3551 or 500, the sizes of the paper, found {n_genes}.")
    kept = _reference(folder) if sha256 is None else None
    adata, few = _read_reference(kept) if kept is not None else _read_published(folder, sha256)
    if check:
        check_published(adata)
    if n_genes == 500:
        adata = adata[:, adata.var_names.isin(few)].copy()
        for name in ("prior", "truth"):
            edges = adata.uns[name]
            inside = edges["source"].isin(adata.var_names) & edges["target"].isin(adata.var_names)
            adata.uns[name] = edges[inside].reset_index(drop=True)
    return adata


def _reference(folder: "str | Path | None") -> Path | None:
    """Return the folder of reference data if that is what is meant."""
    named = folder if folder is not None else os.environ.get("SCDASH_REFERENCE_DATA")
    if named is None:
        return None
    path = Path(named) / "phoenix_yeast"
    return path if (path / "phoenix_yeast_3551.h5ad").is_file() else None


def _read_reference(path: Path) -> "tuple[AnnData, pd.Index]":
    import anndata

    adata = anndata.read_h5ad(path / "phoenix_yeast_3551.h5ad")
    few = anndata.read_h5ad(path / "phoenix_yeast_500.h5ad", backed="r").var_names
    names = {"regulator": "source"}
    prior = pd.read_csv(path / "prior_3551.csv.gz").rename(columns=names)
    truth = pd.read_csv(path / "gold_harbison_chip.csv.gz").rename(columns=names)
    adata.uns["prior"] = prior[["source", "target"]].assign(weight=1.0)
    adata.uns["truth"] = truth[["source", "target"]]
    return adata, few


def _read_published(folder: "str | Path | None", sha256: Mapping[str, str] | None) -> "tuple[AnnData, pd.Index]":

    paths = published_files("yeast_cell_cycle", URLS, folder, sha256)
    genes, few = (pd.Index(pd.read_csv(paths[name])["x"].astype(str)) for name in (GENES, GENES_500))
    trajectories = [trajectory for name in (TRAIN, VALIDATION) for trajectory in read_trajectories(paths[name])]
    for values, _ in trajectories:
        gene_names(list(genes), values.shape[1])
    replicate = np.repeat(REPLICATES, [len(times) for _, times in trajectories])
    minutes = np.concatenate([times for _, times in trajectories])
    labels = [f"{name}_{time:g}min" for name, time in zip(replicate, minutes, strict=True)]
    adata = AnnData(
        np.concatenate([values for values, _ in trajectories]).astype(np.float32),
        obs=pd.DataFrame({"replicate": pd.Categorical(replicate), "minutes": minutes}, index=labels),
        var=pd.DataFrame(index=genes),
    )
    adata.uns["prior"] = read_motifs(paths[MOTIFS], genes)
    adata.uns["truth"] = read_chip(paths[CHIP], adata.uns["prior"], genes)
    return adata, few


def read_motifs(path: "str | Path", genes: pd.Index) -> pd.DataFrame:
    """Return the edges of the motif prior with both ends among the genes."""
    table = pd.read_csv(path, skipinitialspace=True)
    edges = pd.DataFrame({"source": table["reg"].astype(str), "target": table["aff"].astype(str), "weight": 1.0})
    edges = edges[edges["source"].isin(genes) & edges["target"].isin(genes)]
    return edges.drop_duplicates(["source", "target"]).reset_index(drop=True)


def read_chip(path: "str | Path", prior: pd.DataFrame, genes: pd.Index) -> pd.DataFrame:
    """Return the bound pairs, p < 0.001, of regulators that the prior names; the file has a row per regulator."""
    table = pd.read_csv(path, index_col=0)
    table = table.loc[table.index.isin(prior["source"]) & table.index.isin(genes), table.columns.isin(genes)]
    row, column = np.nonzero(table.to_numpy(dtype=np.float64) < CHIP_P)
    return pd.DataFrame({"source": table.index[row].astype(str), "target": table.columns[column].astype(str)})


def fingerprints(adata: AnnData) -> tuple[str, str]:
    """Return hashes of expression and prior, the same for any order of genes and edges."""
    genes = sorted(adata.var_names)
    rows = np.concatenate([np.flatnonzero(adata.obs["replicate"] == name) for name in REPLICATES])
    values = np.asarray(adata[rows, genes].X, dtype=np.float64)
    expression = np.ascontiguousarray(np.rint(values * 1e6), dtype="<i8").tobytes()
    prior = adata.uns["prior"]
    edges = "\n".join(sorted(f"{a} {b}" for a, b in zip(prior["source"], prior["target"], strict=True)))
    return hashlib.sha256(expression).hexdigest(), hashlib.sha256(edges.encode()).hexdigest()


def check_published(adata: AnnData) -> None:
    """Raise unless expression and prior are the published ones."""
    found = fingerprints(adata)
    if found != (EXPRESSION_SHA256, PRIOR_SHA256):
        raise ValueError(
            f"yeast_cell_cycle: what was read is not what was published (expression "
            f"{'agrees' if found[0] == EXPRESSION_SHA256 else 'differs'}, prior "
            f"{'agrees' if found[1] == PRIOR_SHA256 else 'differs'}). Download the files again, or pass check=False."
        )
