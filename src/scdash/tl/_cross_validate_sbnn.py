"""`cross_validate_sbnn`: what a network is worth on cells it has not seen, beside linear models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from scdash._core.errors import check_choice
from scdash._core.logging import step
from scdash._core.parallel import use_jobs
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import FoldsLike, Genes
from scdash.paired.evaluation import check_sizes
from scdash.paired.reading import Missing, fold_labels, read_paired
from scdash.paired.schedule import BottleneckTraining, training_of
from scdash.paired.score_tables import cross_validation_entry
from scdash.paired.stacks import fit_networks
from scdash.paired.standardize import Standardize
from scdash.paired.store import check_slots
from scdash.resampling.folds import make_folds
from scdash.resampling.stability import write_result

BASELINES = ("srrr", "ridge")


@guarded
def cross_validate_sbnn(
    mdata: MuData,
    *,
    x: str = "rna",
    y: str = "ephys",
    n_latent: int = 2,
    n_features: int = 25,
    training: BottleneckTraining | None = None,
    folds: FoldsLike = 10,
    baselines: Sequence[str] = BASELINES,
    layer: str | None = None,
    y_layer: str | None = None,
    mask_var: Genes | None = None,
    missing: Missing = "raise",
    standardize: Standardize = "train",
    allow_counts: bool = False,
    key_added: str = "sbnn_cv",
    rng: RNG = 0,
    device: str = "auto",
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Cross-validate a sparse bottleneck network, with linear models on the same folds beside it.

    All folds train as one stack. Standardisation, clusters and the selection of genes see training cells only. The
    score is the paper's R2 (Eq. 3) on the held-out cells after the LAST epoch; 0 is the training mean. On the paper's
    M1 neurons rank-16 `srrr` equals the network with two latent units; its gain is over rank 2.

    What a method is worth is one number, found by one rule in the log, the report, the summary and the figures: the R2 of
    a fold over all features together (rows whose `feature` is "all"), and the mean of that over folds, every fold
    counting the same. The mean over the rows of single features is another quantity, in which a feature that hardly varies
    counts as much as one that varies much.

    Parameters
    ----------
    mdata, x, y, n_latent, n_features, training, layer, y_layer, mask_var, missing, allow_counts, rng, device, progress
        As for `scdash.tl.sbnn`.
    folds
        Number of folds, or a column of `mdata.obs` (or one label per cell) that names them: cells labelled -1 train in
        every fold and are never tested.
    baselines
        "srrr": relaxed sparse reduced-rank regression with as many genes, of rank `n_latent` and of full rank;
        "ridge": ridge on all genes, strength by generalised cross-validation. Where entries of the features are
        missing, both put the training mean there.
    standardize
        "train" (no leak), or "all" to reproduce the released code's figures.
    n_jobs
        Processes of joblib; None: one, or what `joblib.parallel_config` says.
    key_added
        Name of the results in `mdata.uns`.

    Returns
    -------
    DataFrame
        Table with one row per `method` (sbnn-2, srrr-2, srrr-16, ridge), `fold` and `feature` ("all": multivariate), with
        the held-out `r2` and the number of genes `n_genes`. The means of the report, `table.attrs["report"]`, are those of
        ``table[table["feature"] == "all"].groupby("method")["r2"].mean()``. Written:
    `mdata.uns["sbnn_cv"]` : dict
        params, scores (the table), summary (mean and standard deviation over folds), history of every fold with `test_r2`
        per epoch, selection (how often each gene was selected), metrics, report

    See Also
    --------
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).
    scdash.get.feature_scores : Return the cross-validated R2 of every method and feature.
    scdash.pl.feature_scores : Draw cross-validated R2 of every feature as bars, one standard deviation over folds (paper: Figure 3).

    Examples
    --------
    >>> table = scdash.tl.cross_validate_sbnn(mdata, n_features=25)  # doctest: +SKIP
    >>> scdash.pl.feature_scores(mdata)  # doctest: +SKIP
    """
    constants = training_of(training)
    check_slots(mdata, x, y, key_added)
    for name in baselines:
        check_choice("baseline", name, BASELINES)
    seed = seed_of(rng)
    with (
        step(f"cross-validating a sparse bottleneck network ({x} to {y}, {n_latent} latent)") as added,
        use_jobs(n_jobs),
    ):
        data = read_paired(
            mdata, x, y, layer=layer, y_layer=y_layer, mask_var=mask_var, missing=missing, allow_counts=allow_counts
        )
        parts = make_folds(len(data.cells), fold_labels(mdata, data, folds), rng=np.random.default_rng([seed, 2]))
        constants = constants.for_cells(max(len(fold.train) for fold in parts))
        check_sizes(
            data, n_latent, n_features, constants.n_clusters, min(len(fold.train) for fold in parts), standardize
        )
        fits = fit_networks(
            data.matrix,
            data.features_matrix,
            parts,
            n_latent=n_latent,
            n_features=n_features,
            schedule=constants,
            standardize=standardize,
            autoencoder=False,
            rng=seed,
            device=device,
            progress=progress,
            description=f"sBNN, {len(parts)} folds",
        )
        params: dict[str, Any] = {"model": "sbnn_cv", "x": x, "y": y, "n_latent": n_latent, "n_features": n_features}
        params |= {"folds": len(parts), "standardize": standardize, "missing": missing, "rng": seed}
        params |= {"method": f"sbnn-{n_latent}", "baselines": list(baselines) or "none", "schedule": constants.config()}
        entry = cross_validation_entry(data, fits, baselines, params)
        said = f"scores, history, selection; R2 of {len(parts)} folds"
        return write_result(mdata.uns, key_added, "scores", entry, added, said)
