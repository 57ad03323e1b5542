"""The ECCITE-seq knockout screen of Papalexi et al. 2021, from the folder of reference data."""

import os
from pathlib import Path

from anndata import AnnData

from scdash._core.process_state import guarded

FILE = "papalexi_eccite/papalexi_lowmoi_299.h5ad"


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
    import anndata

    path = Path(folder if folder is not None else os.environ.get("SCDASH_REFERENCE_DATA", "")) / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"The screen is not at {path}: pass folder=, or set SCDASH_REFERENCE_DATA to the folder that holds "
            "papalexi_eccite/. scdash.simulate.sergio() makes a screen without it."
        )
    return anndata.read_h5ad(path)
