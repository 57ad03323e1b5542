"""`stability`: how often a selection comes back on data drawn again."""

from inspect import signature
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdash._core.process_state import guarded

# arguments that only a MuData has a use for
PAIRED = {"x", "y", "y_layer", "n_latent", "n_features", "subsample", "rank"}


@guarded
def stability(data: AnnData | MuData, **options: Any) -> pd.DataFrame:
    """Repeat a fit on data drawn again and count how often each gene, or each edge of a network, is selected.

    Refits are spread by joblib: `with joblib.parallel_config("loky" | "dask" | "ray"): scdash.tl.stability(...)`, or
    `n_jobs=`.

    Parameters
    ----------
    data
        MuData with two paired modalities: gene selection of a sparse bottleneck network, or of a sparse reduced-rank
        regression (``model="srrr"``). AnnData with a fit of a
        perturbation screen under `key` ("dynamics"): edges over bootstraps of cells, or halves of perturbations. Any other
        AnnData: edges of dynamics over random halves of trajectories or cells.
    options
        MuData: `model` ("sbnn" or "srrr"), `n_repeats` (10), `subsample` (fraction of the cells each repeat sees: 1 for networks,
        which differ in their training, 0.5 for regressions, which do not), `key_added`, `n_jobs`, and the arguments of
        `scdash.tl.sbnn` (`n_latent`, `n_features`, `training`, ...) or `scdash.tl.srrr` (`rank`, `lam` or `n_features`, `alpha`, ...).
        Screens: `n_repeats` (100), `resample` ("cells" or "perturbations"), `key`, `n_jobs`, `rng`.
        Dynamics: `n_repeats` (10), `fraction` (0.5), `key` ("dynamics"), `key_added`, `n_jobs`, `rng`, and the arguments of
        `scdash.tl.fit_dynamics` that are to differ from those of the fit under `key` (`scdash.get.settings`).

    Returns
    -------
    DataFrame
        Table, most frequent first: `gene`, `frequency`, `count`, `norm` (MuData, written to `uns["sbnn_stability"]` or `uns["srrr_stability"]`), or
        `source`, `target`, `frequency`, and mean and SD of the score (screens; also written as `selection_frequency` of
        the fit's edges) or the mean weight (dynamics), written to `uns["dynamics_stability"]`. `table.attrs["report"]`
        says it in words.

    Raises
    ------
    TypeError
        If `data` is neither MuData nor AnnData.

    See Also
    --------
    scdash.get.gene_selection : Return how often each gene was selected, the most frequent first.
    scdash.pl.gene_selection : Draw how often genes were selected over repeats, and how many genes how often (paper: Figure 4).
    scdash.get.grn : Return the network as a table of edges, strongest evidence first.

    Examples
    --------
    >>> scdash.tl.fit_perturbode(adata)  # doctest: +SKIP
    >>> scdash.tl.stability(adata, n_repeats=100, n_jobs=4).head()  # doctest: +SKIP
    """
    if hasattr(data, "mod"):
        from scdash.paired.stability import stability_mudata

        return stability_mudata(data, **options)
    if not hasattr(data, "obs") or not hasattr(data, "var_names"):
        raise TypeError(
            f"data must be a MuData (two paired modalities) or an AnnData, found {type(data).__name__}. For example "
            "mudata.MuData({'rna': adata, 'ephys': features})."
        )
    paired = sorted(PAIRED & set(options))
    if paired:
        raise TypeError(
            f"mdata must be a MuData, found {type(data).__name__}. {', '.join(paired)}: arguments for two paired "
            "modalities, mudata.MuData({'rna': adata, 'ephys': features})."
        )
    entry = data.uns.get(options.get("key", "dynamics"))
    if isinstance(entry, dict) and "screen" in entry:
        from scdash.screens.stability import stability_screen

        return stability_screen(data, **options)
    from scdash.dynamics.call import FitCall
    from scdash.dynamics.stability import stability_dynamics

    known = [*signature(stability_dynamics).parameters, *FitCall.__dataclass_fields__]
    foreign = [name for name in options if name not in known and name not in ("copy", "key_added")]
    if foreign:
        raise TypeError(
            f"mdata must be a MuData, found AnnData. {', '.join(foreign)} belong to paired modalities, e.g. "
            "mudata.MuData({'rna': adata, 'ephys': features}); edges of dynamics take the arguments of fit_dynamics."
        )
    return stability_dynamics(data, **options)
