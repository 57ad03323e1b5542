"""`sparsity_path`: what a penalty costs and gains, strength by strength."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.fit_settings import keys_like_fit
from scdash._core.names import check_key
from scdash._core.process_state import guarded
from scdash._data import sanitise
from scdash._errors import unknown
from scdash._logging import step
from scdash.fitting import FitOptions, Regime, fit_path, settle
from scdash.sparsity import Sparsity
from scdash.tl._inputs import Observations, flag_genes, read_inputs
from scdash.tl._seed import seed_of


@guarded
def sparsity_path(
    adata: Any,
    model: str = "phoenix",
    *,
    sparsity: str | Sparsity = "pathreg",
    lambdas: Sequence[float] | None = None,
    regime: Regime = "start",
    encoder: Literal["genes", "modules"] | None = None,
    transcription_factors: Any = None,
    regulators: Any = None,
    n_hidden: int | tuple[int, ...] | None = None,
    n_models: int = 1,
    time_key: str | None = None,
    trajectory_key: str | None = None,
    batch_key: str | None = None,
    split_key: str | None = None,
    observations: Observations = "auto",
    n_bins: int | None = None,
    layer: str | None = None,
    mask_var: Any = None,
    allow_scaled: bool = False,
    key: str = "dynamics",
    key_added: str = "sparsity_path",
    max_epochs: int | None = None,
    step_epochs: int | None = None,
    training: dict[str, Any] | None = None,
    sparsity_options: dict[str, Any] | None = None,
    rng: Any = 0,
    device: str = "auto",
    progress: bool | None = None,
) -> pd.DataFrame:
    """Fit a model at every strength lambda of a penalty, and show what sparsity costs in held-out error.

    The two regimes of Aliee et al. 2022: sparse from the start, each lambda a model of its own, all trained as one
    stack; or trained without the penalty first, lambda then raised step by step from the weights of the step before.

    Parameters
    ----------
    adata
        As for `scdash.tl.fit_dynamics`.
    model
        As for `scdash.tl.fit_dynamics`; weights start at random.
    sparsity
        A method with a strength: "l0", "cnode", "pathreg", "lassonet", "group_lasso", or a `scdash.sparsity.Sparsity`.
    lambdas
        Strengths; None: 0 and powers of ten around the method's default. For "pathreg" it is the strength of the
        weights; that of the gates stays in proportion (.1 of it; `sparsity_options={"lambdas": (gates, weights)}` sets
        another proportion).
    regime
        "start" (sparse from the start) or "warm" (train without the method, gates and all, then raise lambda).
    encoder, regulators, n_hidden
        As for `scdash.tl.fit_dynamics`.
    transcription_factors
        A boolean `var` column or a list of names that takes no part in the fit: the share of zeros in the columns of all
        OTHER genes is reported as `spurious_sparsity` (higher is better).
    n_models
        Models from different random weights at every lambda.
    time_key, trajectory_key, batch_key, split_key, layer
        As for `scdash.tl.fit_dynamics`; None: those of the fit of dynamics under `key`, if there is one, which the log
        says (layer="X": X all the same).
    observations, n_bins, mask_var, allow_scaled
        As for `scdash.tl.fit_dynamics`.
    key
        Name of a fit whose columns and layer are read by default.
    key_added
        Name of the table in `uns`.
    max_epochs
        Bound on training at each lambda ("start"), or without the penalty ("warm").
    step_epochs
        Bound on training at each lambda for "warm"; None: a fifth of `max_epochs`.
    training, sparsity_options, rng, device, progress
        As for `scdash.tl.fit_dynamics`.

    Returns
    -------
    Table with one row per lambda and model: `lambda`, `model`, `train_loss`, `validation_loss` (mean squared errors of
    the evaluated model, without penalty), `weight_sparsity` (share of weights below 1e-5), `feature_sparsity` (share of
    target x input pairs whose paths sum to less than 1e-5), `spurious_sparsity` where asked for, `epochs`, and `chosen`:
    the largest lambda whose held-out error is within one standard error of the lowest. Models are the best by validation
    of the second half of training, so that none is from before it was sparse. Written as well:

    `uns[key_added]` : DataFrame
        The same table.

    Raises
    ------
    ValueError, KeyError, TypeError
        If an argument does not fit the data or the method; `adata` is unchanged then.

    Examples
    --------
    >>> table = scdash.tl.sparsity_path(adata, "mlp", sparsity="cnode", regime="warm")  # doctest: +SKIP
    >>> scdash.pl.sparsity_path(adata)  # doctest: +SKIP
    """
    check_key(key_added)
    if regime not in ("start", "warm"):
        raise unknown("regime", regime, ("start", "warm"))
    if step_epochs is not None and (regime != "warm" or step_epochs < 1):
        raise ValueError(f"step_epochs is a positive number for regime='warm', found {step_epochs} for {regime!r}.")
    settled = settle(model, sparsity, encoder=encoder, n_hidden=n_hidden)
    seed = seed_of(rng)
    train = dict(training or {}) | ({} if max_epochs is None else {"max_epochs": max_epochs})
    with step(f"fitting a path over lambda ({model})") as added:
        keys = {"time_key": time_key, "trajectory_key": trajectory_key, "batch_key": batch_key}
        keys |= {"split_key": split_key, "layer": layer}
        inputs = read_inputs(
            adata,
            **keys_like_fit(adata, key, keys),
            mask_var=mask_var,
            observations=observations,
            prior=None,
            coregulation=None,
            regulators=regulators,
            n_bins=n_bins,
            seed=seed,
            allow_scaled=allow_scaled,
        )
        flags: NDArray[np.bool_] | None = None
        if transcription_factors is not None:
            flags = np.zeros(len(inputs.columns), dtype=bool)
            flags[flag_genes(adata, transcription_factors, inputs.series.genes, "transcription_factors")] = True
        options = FitOptions(
            model=model,
            sparsity=sparsity,
            start="random",
            **settled,
            n_models=n_models,
            seed=seed,
            device=device,
            cells=inputs.cells,
            training=train,
            sparsity_options=dict(sparsity_options or {}),
            progress=progress,
        )
        table = fit_path(
            inputs.problem,
            options,
            lambdas=lambdas,
            regime=regime,
            step_epochs=step_epochs,
            transcription_factors=flags,
        )
        adata.uns[key_added] = sanitise({"table": table})["table"]
        added.append(f"added uns[{key_added!r}], a table of {table['lambda'].nunique()} strengths")
    return table
