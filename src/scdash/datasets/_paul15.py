"""Myeloid progenitors of Paul et al. 2015 with two lineages, from the folder of reference data."""

from pathlib import Path

import pandas as pd
from anndata import AnnData

from scdash._core.process_state import guarded
from scdash.datasets._reference import reference_file

FILE = "paul15_240/paul15_240.h5ad"
LINEAGES = {"myeloid": 1, "erythroid": 2}  # number of each in slingshot's output


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
    import anndata

    path = reference_file(
        folder, FILE, "The cells are", "scdash.datasets.krumsiek11() makes branching data without it."
    )
    adata = anndata.read_h5ad(path)
    for name, column in (("weights", "weight"), ("pseudotimes", "pseudotime")):
        columns = {lineage: f"{column}_lineage{number}" for lineage, number in LINEAGES.items()}
        adata.obsm[name] = pd.DataFrame({lineage: adata.obs.pop(column) for lineage, column in columns.items()})
    return adata
