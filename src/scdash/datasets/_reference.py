"""Data that are not part of scdash, from the folder of reference data: a knockout screen and branching progenitors."""

import os
from pathlib import Path

import pandas as pd
from anndata import AnnData, read_h5ad

from scdash._core.process_state import guarded

VARIABLE = "SCDASH_REFERENCE_DATA"
LINEAGES = {"myeloid": 1, "erythroid": 2}  # number of each in slingshot's output


def reference_file(folder: "str | Path | None", file: str, what: str, otherwise: str) -> Path:
    """Return the path of a file of the folder, or of the one that the environment variable names.

    The error where it is not there says where it was looked for, and what to do `otherwise`.
    """
    path = Path(folder if folder is not None else os.environ.get(VARIABLE, "")) / file
    if not path.is_file():
        raise FileNotFoundError(
            f"{what} not at {path}: pass folder=, or set {VARIABLE} to the folder that holds {Path(file).parent}/. {otherwise}"
        )
    return path


@guarded
def papalexi(folder: "str | Path | None" = None) -> AnnData:
    """Read a real CRISPR knockout screen: 20,729 THP-1 cells stimulated by interferon gamma, 299 genes, 110 guides.

    The screen is that of Papalexi et al. 2021 (GEO GSE153056), with the genes that the package sceptredata keeps (MIT). It is
    not part of scdash and is read from a folder.

    Parameters
    ----------
    folder
        Folder with `papalexi_eccite/papalexi_lowmoi_299.h5ad`; None: the one that the environment variable
        SCDASH_REFERENCE_DATA names.

    Returns
    -------
    AnnData
        `.X` : CSR float32
            raw UMI counts
        `.obs` : DataFrame
            `guide` (the most abundant), `gene` (its target, "non-targeting" for controls), `top_share` (its part of the guide
            counts of the cell), `guide_umis`, `bio_rep` (three replicates)
        `.obsm["guide_counts"]` : array
            counts of the 110 guides

    Raises
    ------
    FileNotFoundError
        If the file is not there; the message says where it was looked for.

    See Also
    --------
    scdash.pp.assign_guides : Perturbations from counts of guides, or from the names of guides.
    scdash.tl.fit_perturbode : Learn a network from a perturbation screen.

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.datasets.papalexi()  # doctest: +SKIP
    """
    otherwise = "scdash.simulate.sergio() makes a screen without it."
    return read_h5ad(reference_file(folder, "papalexi_eccite/papalexi_lowmoi_299.h5ad", "The screen is", otherwise))


@guarded
def paul15(folder: "str | Path | None" = None) -> AnnData:
    """Read mouse myeloid progenitors that branch: 2,660 cells, 240 genes, weights and pseudotimes of two lineages.

    The cells are those of Paul et al. 2015 (GEO GSE72857), with the genes and the output of slingshot that the package
    tradeSeq keeps (MIT). They are not part of scdash and are read from a folder.

    Parameters
    ----------
    folder
        Folder with `paul15_240/paul15_240.h5ad`; None: the one that the environment variable SCDASH_REFERENCE_DATA names.

    Returns
    -------
    AnnData
        `.X` : CSR float32
            raw UMI counts
        `.obs` : DataFrame
            `cell_type` (7 types) and `cluster`
        `.var` : DataFrame
            `is_tf`, whether a gene is in a broad list of transcription factors
        `.obsm["weights"]`, `.obsm["pseudotimes"]` : DataFrame (cells, 2)
            weight (shared progenitors: near 1 in both) and pseudotime of every cell in the lineages `myeloid` (ends in
            neutrophils and monocytes) and `erythroid`
        `.obsm["X_slingshot"]` : array (cells, 2)
            the embedding that slingshot was run on

    Raises
    ------
    FileNotFoundError
        If the file is not there; the message says where it was looked for.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.perturbation_fates : Predict how the fates of cells change when some genes are knocked out, through CellRank.

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.datasets.paul15()  # doctest: +SKIP
    """
    otherwise = "scdash.datasets.krumsiek11() makes branching data without it."
    adata = read_h5ad(reference_file(folder, "paul15_240/paul15_240.h5ad", "The cells are", otherwise))
    for name, column in (("weights", "weight"), ("pseudotimes", "pseudotime")):
        columns = {lineage: f"{column}_lineage{number}" for lineage, number in LINEAGES.items()}
        adata.obsm[name] = pd.DataFrame({lineage: adata.obs.pop(column) for lineage, column in columns.items()})
    return adata
