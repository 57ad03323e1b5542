"""`sparsity_path`: what a penalty costs and gains, strength by strength."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from scdash._core.errors import check_choice, unused
from scdash._core.labels import check_key
from scdash._core.logging import step
from scdash._core.parallel import use_jobs
from scdash._core.process_state import guarded
from scdash._core.types import Genes
from scdash._data import sanitise
from scdash._data.checks import flag_genes
from scdash.dynamics.arguments import Asked
from scdash.dynamics.call import FitCall
from scdash.dynamics.state_pairs.penalty_path import Strategy, fit_path
from scdash.paired.penalty_path import sparsity_path_mudata


@guarded
def sparsity_path(
    data: AnnData | MuData,
    *,
    lambdas: Sequence[float] | None = None,
    strategy: Strategy = "start",
    step_epochs: int | None = None,
    transcription_factors: Genes | None = None,
    key: str = "dynamics",
    key_added: str = "sparsity_path",
    **fit: Any,
) -> pd.DataFrame:
    """Fit a model at every strength lambda of a penalty, and show what sparsity costs in held-out error.

    Of two paired modalities (MuData) the path is that of `scdash.tl.srrr`, or with ``model="sbnn"`` that of the group lasso of
    `scdash.tl.sbnn`, each strength cross-validated. Of dynamics (AnnData) the two strategies of Aliee et al. 2022: sparse from the start, each lambda a model of its own, all trained as one
    stack; or trained without the penalty first, lambda then raised step by step from the weights of the step before.

    Parameters
    ----------
    data
        AnnData as for `scdash.tl.fit_dynamics`, or a MuData as for `scdash.tl.srrr`.
    lambdas
        Strengths; None: 0 and powers of ten around the method's own. For "pathreg" it is the strength of the
        weights; that of the gates stays in proportion (0.1 of it; `sparsity=PathReg(lambdas=(gates, weights))` sets
        another proportion). Paired modalities: positive; None: 20 for "srrr", from one that selects few genes down to 5 % of it;
        for "sbnn" 0.1 to 10 times the lasso of the training.
    strategy
        "start" (sparse from the start) or "warm" (train without the method, gates and all, then raise lambda).
    step_epochs
        Bound on training at each lambda for "warm"; None: a fifth of `Training(max_epochs=...)`, which bounds training at
        each lambda ("start"), or without the penalty ("warm").
    transcription_factors
        A boolean `var` column or a list of names that takes no part in the fit: the fraction of zeros in the columns of all
        OTHER genes is reported as `spurious_sparsity` (higher is better).
    key
        Name of a fit whose columns of `obs` and layer are read where no others are given, which the log says
        (layer="X": X all the same). Dynamics only, as are the three before it.
    key_added
        Name of the table in `uns`.
    **fit
        Arguments of `scdash.tl.fit_dynamics`, or those of a fit: `**scdash.get.settings(adata)`. `sparsity` is a method with
        a strength ("pathreg" by default), weights start at random, and `n_models` models are trained from different weights
        at every lambda. `prior` counts where the method's penalty asks for it; `validation` plays no part.
        Paired modalities: `model` ("srrr" or "sbnn"), `folds` (10), `x`, `y`, `layer`, `y_layer`, `mask_var`, `missing`, `rng`,
        `n_jobs`, and the other arguments of the model: `rank`, `alpha`, `relaxed`, or `n_latent`, `n_features`, `training`.

    Returns
    -------
    DataFrame
        Table with one row per lambda and model: `lambda`, `model`, `train_loss`, `validation_loss` (mean squared errors of
        the evaluated model, without penalty), `weight_sparsity` (fraction of weights below 1e-5), `feature_sparsity` (fraction of
        target x input pairs whose paths sum to less than 1e-5), `spurious_sparsity` where asked for, `epochs`, and `chosen`:
        the largest lambda whose held-out error is within one standard error of the lowest. Models are the best by validation
        of the second half of training, so that none is from before it was sparse. Of paired modalities one row per lambda and
        fold: `lambda`, `model` (the fold), `train_loss`, `validation_loss` (1 - R2; 1 is the training mean), `n_genes`, for "sbnn"
        `margin` (smallest weights kept over the median of the others), and `chosen`, by the same rule over folds; `attrs["report"]`
        in words. Written as well:
    `uns[key_added]` : DataFrame
        The same table.

    Raises
    ------
    ValueError, KeyError, TypeError
        If an argument does not fit the data or the method; `data` is unchanged then.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.tl.srrr : Predict one modality linearly from a few genes of the other (Kobak et al. 2021; Chen & Huang 2012).
    scdash.pl.sparsity_path : Draw loss (above) and sparsity (below) against lambda.

    Examples
    --------
    >>> table = scdash.tl.sparsity_path(adata, model="mlp", sparsity="cnode", strategy="warm")  # doctest: +SKIP
    >>> scdash.pl.sparsity_path(adata)  # doctest: +SKIP
    >>> table = scdash.tl.sparsity_path(mdata, rank=2, folds=3, lambdas=[0.05, 0.2])
    """
    if hasattr(data, "mod"):
        for name, value, unset in (
            ("strategy", strategy, "start"),
            ("step_epochs", step_epochs, None),
            ("transcription_factors", transcription_factors, None),
            ("key", key, "dynamics"),
        ):
            if value != unset:
                raise unused(name, "it is for dynamics; a MuData has two paired modalities")
        return sparsity_path_mudata(data, lambdas=lambdas, key_added=key_added, **fit)
    adata: AnnData = data
    check_key(key_added)
    check_choice("strategy", strategy, ("start", "warm"))
    if step_epochs is not None and (strategy != "warm" or step_epochs < 1):
        raise ValueError(f"step_epochs is a positive number for strategy='warm', found {step_epochs} for {strategy!r}.")
    call = FitCall.of("sparsity_path", {"sparsity": "pathreg"} | fit)
    asked, seed = call.settle(), call.seed()
    _refuse_unused(asked)
    with step(f"fitting a path over lambda ({asked.names})") as added, use_jobs(call.n_jobs):
        options = call.options(asked, seed, start="random")
        inputs = call.read(adata, asked, options, like=key)
        flags: NDArray[np.bool_] | None = None
        if transcription_factors is not None:
            flags = np.zeros(len(inputs.columns), dtype=bool)
            flags[flag_genes(adata, transcription_factors, inputs.observed.series.genes, "transcription_factors")] = (
                True
            )
        table = fit_path(
            inputs.problem,
            replace(options, cells=inputs.cells),
            lambdas=lambdas,
            strategy=strategy,
            step_epochs=step_epochs,
            transcription_factors=flags,
        )
        adata.uns[key_added] = sanitise({"table": table})["table"]
        added.append(f"added uns[{key_added!r}], a table of {table['lambda'].nunique()} strengths")
    return table


def _refuse_unused(asked: Asked) -> None:
    """Raise for a start or a checkpoint, which a path has not."""
    if asked.start not in ("auto", "random"):
        raise unused("start", "the models of a path start from random weights")
    if asked.training.checkpoint is not None:
        raise unused("checkpoint", "many models are trained")
