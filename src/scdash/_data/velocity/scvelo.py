"""Velocities from spliced and unspliced counts through scVelo: moments over neighbours and its steady-state model."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

NEIGHBOURS, COMPONENTS = 30, 30  # scVelo's own defaults


def has_scvelo() -> bool:
    """Return whether scVelo can be imported."""
    from importlib.util import find_spec

    return find_spec("scvelo") is not None


def steady_state_velocity(
    spliced: sp.csr_matrix, unspliced: sp.csr_matrix, logged: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    r"""Return dx/dt of x = log(1 + s) for some cells, (cells, genes), and the genes that scVelo's model fits.

    :math:`ds/dt = u - \gamma s` with the moments (means over neighbours) of both, in units of each gene's rate of splicing
    (La Manno et al. 2018, Bergen et al. 2020), and :math:`dx/dt = (ds/dt) / (1 + s)`.

    `spliced`, `unspliced`: counts, (cells, genes), every cell scaled to the same total of each; spliced ones in units
    of exp(logged) - 1. `logged`: log expression of the same cells, (cells, genes), by which neighbours are found.
    """
    import anndata as ad
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scVelo warns of its own future
        import scvelo as scv

        cells = ad.AnnData(np.asarray(logged, dtype=np.float32))
        cells.layers["spliced"] = sp.csr_matrix(spliced, dtype=np.float32)
        cells.layers["unspliced"] = sp.csr_matrix(unspliced, dtype=np.float32)
        before = scv.settings.verbosity
        scv.settings.verbosity = 0
        try:
            sc.pp.pca(cells, n_comps=min(COMPONENTS, *(side - 1 for side in cells.shape)))
            sc.pp.neighbors(cells, n_neighbors=min(NEIGHBOURS, cells.n_obs - 1))
            scv.pp.moments(cells, n_pcs=None, n_neighbors=None)
            scv.tl.velocity(cells, mode="deterministic", min_r2=0.01)
        finally:
            scv.settings.verbosity = before
    velocity = np.asarray(cells.layers["velocity"], dtype=np.float64)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(velocity).all(axis=0) & velocity.any(axis=0))
    if "velocity_genes" in cells.var:  # scVelo writes no such column where hardly any gene fits its model
        known = known & cells.var["velocity_genes"].to_numpy(dtype=bool)
    return np.where(known, velocity / (1 + np.asarray(cells.layers["Ms"])), 0.0), known
