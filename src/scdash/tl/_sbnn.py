"""`sbnn`: features of cells from a few of their genes through a bottleneck, on MuData."""

import time
from typing import Any

from mudata import MuData

from scdash._core.logging import logger, step
from scdash._core.parallel import resolve_device
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import Genes
from scdash._data import writable
from scdash.paired.evaluation import check_sizes, evaluate_fit, held_out, warn_if_hardly_separated
from scdash.paired.reading import Missing, read_paired
from scdash.paired.schedule import BottleneckTraining, training_of
from scdash.paired.stacks import fit_networks
from scdash.paired.standardize import Standardize
from scdash.paired.store import check_slots, store_network


@guarded
def sbnn(
    mdata: MuData,
    *,
    x: str = "rna",
    y: str = "ephys",
    n_latent: int = 2,
    n_features: int = 25,
    training: BottleneckTraining | None = None,
    layer: str | None = None,
    y_layer: str | None = None,
    mask_var: Genes | None = None,
    missing: Missing = "raise",
    standardize: Standardize = "train",
    test_fraction: float = 0.1,
    autoencoder: bool = True,
    allow_counts: bool = False,
    key_added: str = "sbnn",
    rng: RNG = 0,
    device: str = "auto",
    progress: bool | None = None,
    copy: bool = False,
) -> MuData | None:
    r"""Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).

    An encoder genes -> 512 -> 128 -> `n_latent` and a decoder `n_latent` -> 128 -> 512 -> features, ELU between,
    minimise :math:`\frac{1}{Nq}\|Y - f(X)\|^2 + \lambda \sum_i \|W_i\|_2`, where :math:`W_i` are gene i's weights in
    the first layer. Stages: telling k-means clusters of the features apart; regression with the two bottom layers
    frozen; with all layers; pruning to the `n_features` genes of largest :math:`\|W_i\|` and tuning without the
    penalty; last, with the encoder frozen, a second head that draws the genes over the latent space.

    Parameters
    ----------
    mdata
        Two paired modalities; cells in only one of them are reported and not learned from.
    x, y
        Modality of the genes, log-normalised (`scdash.pp.normalize_paired`), and of the features.
    n_latent
        Units of the bottleneck. 2 can be drawn as it is; 64 predicts better and selects genes more stably.
    n_features
        Genes kept.
    training
        Constants of the five stages, `scdash.BottleneckTraining(tuning_epochs=...)`; None: those of the paper.
    layer, y_layer
        Layers to read instead of X.
    mask_var
        Genes to choose from: boolean array or column of the genes' var; None: `highly_variable` if present, else all.
    missing
        What to do about NaN among the features: "raise", leave out the "cells", or only the "entries".
    standardize
        Unit variance of genes and features learned on the "train" cells, on "all" cells (as the released code does
        before cross-validation, a leak), or "none". Means always come from the training cells.
    test_fraction
        Fraction of cells held out at random for `test_r2`; 0 trains on all cells, as the paper's figures do.
    autoencoder
        Train the head that draws gene expression.
    allow_counts
        Accept expression that looks like counts.
    key_added
        Name of the results; not that of a modality.
    rng
        Seed or Generator; results on the CPU are the same bit for bit with the same number of threads.
    device
        "auto" (CUDA where there is one), "cpu" or "cuda".
    progress
        Progress bar; None: at verbosity 2 or more.
    copy
        Return a changed copy instead of changing `mdata`.

    Returns
    -------
    MuData or None
        None, or the copy. Written, for ``key_added="sbnn"``:
    `mdata.obsm["X_sbnn"]` : float32
        (cells, n_latent), the bottleneck; NaN for cells without x
    `mdata.obs["sbnn_split"]` : categorical
        train, test or unused
    `mdata[x].var["sbnn_selected"]` : bool
    `mdata[x].var["sbnn_norm"]` : float
        :math:`\|W_i\|` before pruning
    `mdata[x].varm["sbnn"]` : CSR float32
        (genes, 512), first layer after tuning
    `mdata[x].obsm["sbnn_features"]`, `mdata[x].obsm["sbnn_genes"]` : float32
        both heads, standardised; their columns are `features` and `genes` of `mdata.uns["sbnn"]`
    `mdata[y].layers["sbnn"]` : float32
        predicted features in their own units
    `mdata.uns["sbnn"]` : dict
        params, genes, features, weights, scales, masks, norms, history, metrics, per_feature, report

    Raises
    ------
    TypeError, KeyError, ValueError
        If an argument does not fit the data; the message says which and what to do.

    See Also
    --------
    scdash.tl.srrr : Predict one modality linearly from a few genes of the other (Kobak et al. 2021; Chen & Huang 2012).
    scdash.tl.cross_validate_sbnn : Cross-validate a sparse bottleneck network, with linear models on the same folds beside it.
    scdash.pl.sbnn : Draw the latent space with what the network predicts over it (Bernaerts, Berens & Kobak, Figure 5).
    scdash.get.selected_genes : Return the selected genes, those with the largest weights first.

    Examples
    --------
    >>> mdata = scdash.simulate.paired()  # doctest: +SKIP
    >>> scdash.pp.normalize_paired(mdata)  # doctest: +SKIP
    >>> scdash.tl.sbnn(mdata, n_features=10)  # doctest: +SKIP
    >>> scdash.pl.sbnn(mdata, color="cell_type")  # doctest: +SKIP
    """
    constants = training_of(training)
    check_slots(mdata, x, y, key_added)
    seed = seed_of(rng)
    with step(f"fitting a sparse bottleneck network ({x} to {y}, {n_latent} latent, {n_features} genes)") as added:
        data = read_paired(
            mdata, x, y, layer=layer, y_layer=y_layer, mask_var=mask_var, missing=missing, allow_counts=allow_counts
        )
        fold = held_out(len(data.cells), test_fraction, seed)
        constants = constants.for_cells(len(fold.train))
        check_sizes(data, n_latent, n_features, constants.n_clusters, len(fold.train), standardize)
        began = time.perf_counter()
        fit = fit_networks(
            data.matrix,
            data.features_matrix,
            [fold],
            n_latent=n_latent,
            n_features=n_features,
            schedule=constants,
            standardize=standardize,
            autoencoder=autoencoder,
            rng=seed,
            device=device,
            progress=progress,
        )[0]
        found = evaluate_fit(fit, data, time.perf_counter() - began)
        logger.info("    %s", found.report)
        warn_if_hardly_separated(fit)
        target = writable(mdata, copy=copy)
        params: dict[str, Any] = {"model": "sbnn", "x": x, "y": y, "layer": layer, "y_layer": y_layer}
        params |= {"n_latent": n_latent, "n_features": n_features}
        params |= {"missing": missing, "standardize": standardize, "test_fraction": float(test_fraction), "rng": seed}
        params |= {"autoencoder": autoencoder, "device": str(resolve_device(device)), "schedule": constants.config()}
        added += store_network(target, fit, data, found, params, key_added)
    return target if copy else None
