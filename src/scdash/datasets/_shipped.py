"""Data that come with the package: no download, no network."""

import gzip
from importlib.resources import as_file, files
from typing import Literal

import pandas as pd
from anndata import AnnData

from scdash._core.errors import check_choice
from scdash._core.process_state import guarded

_FOLDER = "scdash.datasets"


@guarded
def hsmm(*, all_cells: bool = False) -> AnnData:
    """Human myoblasts differentiating into myotubes: 228 cells, 822 genes, log(1 + FPKM) (Trapnell et al. 2014).

    Primary myoblasts were switched from growth (GM) to differentiation medium (DM) at 0 h and sampled at 0, 24, 48 and
    72 h, each cell sequenced full-length. From Bioconductor's HSMMSingleCell (Artistic-2.0, see NOTICE).

    Parameters
    ----------
    all_cells
        Keep the 43 cells of state 3 too, a contaminating branch of interstitial mesenchymal cells.

    Returns
    -------
    AnnData
    `.X` : CSR float32
        natural log(1 + FPKM)
    `.obs` : DataFrame
        `hours`, `media`, and the published Monocle `pseudotime` and `state`
    `.var` : DataFrame
        `ensembl`, `is_tf` (Lambert et al. 2018), `use_for_ordering`

    See Also
    --------
    scdash.datasets.myogenic_prior : 119 published regulations among the genes of `hsmm`, collected by hand: myogenesis, cell cycle, matrix, sterols.
    scdash.datasets.gene_sets : Gene Ontology terms (2022-07, CC BY 4.0, see NOTICE), cut to the genes of `hsmm`: 1390 BP or 170 MF terms.

    Examples
    --------
    >>> import scdash
    >>> scdash.datasets.hsmm().shape
    (228, 822)
    """
    import anndata as ad

    with as_file(files(_FOLDER) / "data" / "hsmm_822.h5ad") as path:
        adata = ad.read_h5ad(path)
    if not all_cells:
        adata = adata[adata.obs["state"].astype(str) != "3"].copy()
        adata.obs["state"] = adata.obs["state"].cat.remove_unused_categories()
    return adata


@guarded
def gene_sets(name: Literal["go_bp", "go_mf"] = "go_bp") -> dict[str, list[str]]:
    """Gene Ontology terms (2022-07, CC BY 4.0, see NOTICE), cut to the genes of `hsmm`: 1390 BP or 170 MF terms.

    For other data give the functions that take gene sets a GMT file or a dict of your own.

    Parameters
    ----------
    name
        "go_bp" (biological process) or "go_mf" (molecular function).

    Returns
    -------
    dict
        dict from "term (GO id)" to gene symbols.

    See Also
    --------
    scdash.tl.pathways : Test which gene sets gather influential genes, several fits and controls side by side.

    Examples
    --------
    >>> import scdash
    >>> "MYOG" in scdash.datasets.gene_sets("go_bp")["skeletal muscle cell differentiation (GO:0035914)"]
    True
    """
    check_choice("gene sets", name, ("go_bp", "go_mf"))
    packed = (files(_FOLDER) / "data" / f"{name}.gmt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    entries = (line.split("\t") for line in lines)
    return {f"{term} ({identifier})": genes for term, identifier, *genes in entries}


@guarded
def myogenic_prior() -> pd.DataFrame:
    """119 published regulations among the genes of `hsmm`, collected by hand: myogenesis, cell cycle, matrix, sterols.

    A small example of a prior, not a database: selective, from several species and cell types, some through a binding
    site of a protein family (see `reference`).

    How it was checked: 92 of the pairs are also in CollecTRI (88, of which 11 with the other sign; it counts what has
    none as activating) or in TRRUST v2, human or mouse (56, 1 with the other sign only); the 27 others rest on their
    paper alone. References (first author, year, journal) were written down from the literature and 4 of them, with 7
    of these 27 pairs, looked up again. Read the paper before relying on an edge.

    Returns
    -------
    DataFrame
        `source`, `target`, `weight` (+1 activates, -1 represses), `topic`, `reference`.

    See Also
    --------
    scdash.datasets.hsmm : Human myoblasts differentiating into myotubes: 228 cells, 822 genes, log(1 + FPKM) (Trapnell et al. 2014).
    scdash.datasets.read_prior : Read a prior network into the one table that models take: source, target, weight.

    Examples
    --------
    >>> import scdash
    >>> scdash.datasets.myogenic_prior().query("source == 'MYOD1' and target == 'MYOG'")["weight"].tolist()
    [1.0]
    """
    with as_file(files(_FOLDER) / "data" / "myogenic_prior.csv") as path:
        return pd.read_csv(path, dtype={"weight": float}, keep_default_na=False)
