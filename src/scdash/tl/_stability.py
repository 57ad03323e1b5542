"""`stability`: how far a selection can be trusted."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def stability(mdata: Any, **options: Any) -> "pd.DataFrame":
    """Repeat the gene selection of a sparse bottleneck network and count how often each gene is chosen.

    For dynamics, the selection frequency of every edge is part of the fit: `scdash.get.grn(adata)`, and
    `scdash.tl.fit_dynamics(adata, n_models=...)` for whole models with parts of the prior hidden.

    Parameters
    ----------
    mdata
        MuData with two paired modalities.
    options
        `x`, `y`, `n_repeats`, `subsample`, `n_latent`, `n_features`, `layer`, `mask_var`, `key_added`, `rng`, ...: those of
        `scdash.tl.sbnn`, with `n_repeats` (10) trainings on a share `subsample` (1) of the cells.

    Returns
    -------
    Table with one row per gene, most frequent first: `gene`, `frequency`, `count`, `norm`. Written:
    `mdata.uns[key_added]` (default "sbnn_stability"), read by `scdash.get.gene_selection`.

    Raises
    ------
    TypeError
        If `mdata` is no MuData.
    """
    if not hasattr(mdata, "mod"):
        raise TypeError(
            f"mdata must be a MuData, found {type(mdata).__name__}. Two paired modalities are needed: "
            "mudata.MuData({'rna': adata, 'ephys': features}). The stability of the edges of a dynamical model is the "
            "column selection_frequency of scdash.get.grn(adata)."
        )
    from scdash.tl._sbnn_stability import stability_mudata

    return stability_mudata(mdata, **options)
