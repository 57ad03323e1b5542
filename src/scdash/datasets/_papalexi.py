"""The ECCITE-seq knockout screen of Papalexi et al. 2021, from the folder of reference data."""

from pathlib import Path

from anndata import AnnData

from scdash._core.process_state import guarded
from scdash.datasets._reference import reference_file

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

    otherwise = "scdash.simulate.sergio() makes a screen without it."
    return anndata.read_h5ad(reference_file(folder, FILE, "The screen is", otherwise))
