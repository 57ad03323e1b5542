"""`srrr`: sparse reduced-rank regression, the linear counterpart of `sbnn`, on MuData."""

import time
from typing import Any

from mudata import MuData

from scdash._core.logging import logger, step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import Genes
from scdash._data import writable
from scdash.paired.evaluation import check_sizes, evaluate_fit, held_out, warn_if_unsettled
from scdash.paired.linear_fit import as_network, check_alpha, fit_linear
from scdash.paired.reading import Missing, read_paired
from scdash.paired.standardize import Standardize
from scdash.paired.store import check_slots, store_network


@guarded
def srrr(
    mdata: MuData,
    *,
    x: str = "rna",
    y: str = "ephys",
    rank: int = 2,
    n_features: int = 25,
    lam: float | None = None,
    alpha: float = 1.0,
    relaxed: bool = True,
    layer: str | None = None,
    y_layer: str | None = None,
    mask_var: Genes | None = None,
    missing: Missing = "raise",
    standardize: Standardize = "train",
    test_fraction: float = 0.1,
    allow_counts: bool = False,
    key_added: str = "srrr",
    rng: RNG = 0,
    copy: bool = False,
) -> MuData | None:
    r"""Predict one modality linearly from a few genes of the other (Kobak et al. 2021; Chen & Huang 2012).

    Minimises

    .. math:: \frac{1}{2n}\|Y - XWV^\top\|^2 + \lambda[\alpha\sum_i\|W_i\|_2 + \frac{1-\alpha}{2}\|W\|^2]

    with :math:`V^\top V = I`, alternating between W (active set on the Gram matrix) and V (Procrustes). The relaxed fit then
    refits the selected genes by ridge with the same lambda. On the M1 neurons of the paper full rank predicts as well
    as `sbnn` with two latent units (R2 0.40); what the network gains is over rank 2 (0.35).

    Parameters
    ----------
    mdata, x, y, layer, y_layer, mask_var, standardize, test_fraction, allow_counts, copy
        As for `scdash.tl.sbnn`.
    rank
        Columns of W, at most the number of features.
    n_features
        Genes wanted; lambda is chosen to select that many, or as near as can be.
    lam
        lambda, instead of `n_features`.
    alpha
        Fraction of the group lasso; the rest is ridge. 0 is a ridge regression on all genes, lambda by generalised
        cross-validation unless `lam` is given.
    relaxed
        Refit the selected genes by ridge.
    missing
        "raise", or leave out "cells" with missing features; "entries" is for `sbnn` only.
    key_added
        Name of the results; not that of a modality.
    rng
        Seed or Generator: which cells are held out.

    Returns
    -------
    MuData or None
        None, or the copy. Written as by `scdash.tl.sbnn`, for ``key_added="srrr"``: `mdata.obsm["X_srrr"]` (XW),
        `mdata.obs["srrr_split"]`, `mdata[x].var["srrr_selected"]` and `["srrr_norm"]` (row norms of the unrelaxed W),
        `mdata[x].varm["srrr"]` (W), `mdata[x].obsm["srrr_features"]`, `mdata[y].layers["srrr"]`, `mdata.uns["srrr"]`.

    See Also
    --------
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).
    scdash.pl.sbnn : Draw the latent space with what the network predicts over it (Bernaerts, Berens & Kobak, Figure 5).

    Examples
    --------
    >>> scdash.tl.srrr(mdata, rank=2, n_features=25)  # doctest: +SKIP
    """
    check_slots(mdata, x, y, key_added)
    check_alpha(alpha, lam)
    if missing == "entries":
        raise ValueError("missing='entries' is not defined for srrr; use missing='cells', or fill the gaps first.")
    seed = seed_of(rng)
    with step(f"fitting a sparse reduced-rank regression ({x} to {y}, rank {rank})") as added:
        data = read_paired(
            mdata, x, y, layer=layer, y_layer=y_layer, mask_var=mask_var, missing=missing, allow_counts=allow_counts
        )
        fold = held_out(len(data.cells), test_fraction, seed)
        check_sizes(data, rank, n_features if lam is None and alpha else 1, 1, len(fold.train), standardize)
        began = time.perf_counter()
        found, scales = fit_linear(
            data.matrix,
            data.features_matrix,
            fold,
            rank=rank,
            lam=lam,
            n_features=n_features,
            alpha=alpha,
            relaxed=relaxed,
            standardize=standardize,
        )
        if not len(found.selected):
            raise ValueError(f"lam={found.penalty.lam:g} selects no gene; lower it, or pass n_features instead.")
        fit = as_network(found, fold, *scales)
        result = evaluate_fit(fit, data, time.perf_counter() - began)
        logger.info("    %d genes at lambda %.4g; %s", len(fit.selected), found.penalty.lam, result.report)
        warn_if_unsettled([fit.settled])
        target = writable(mdata, copy=copy)
        params: dict[str, Any] = {"model": "srrr", "x": x, "y": y, "layer": layer, "y_layer": y_layer, "rank": rank}
        params |= {"alpha": alpha, "lam": found.penalty.lam, "lam_given": lam is not None}
        params |= {"n_features": n_features, "relaxed": relaxed}
        params |= {"missing": missing, "standardize": standardize, "test_fraction": float(test_fraction), "rng": seed}
        added += store_network(target, fit, data, result, params, key_added)
    return target if copy else None
