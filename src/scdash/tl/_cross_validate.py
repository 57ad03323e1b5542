"""`cross_validate`: how far to trust the prior, chosen by held-out error."""

from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from scdash._core.fit_settings import keys_like_fit
from scdash._core.process_state import guarded
from scdash._logging import step
from scdash.fitting import FitOptions, cross_validate_lambdas, settle
from scdash.sparsity import GeometricSchedule
from scdash.tl._inputs import Observations, read_inputs
from scdash.tl._seed import seed_of


@guarded
def cross_validate(
    adata: Any,
    *,
    prior: Any,
    grid: Sequence[tuple[float, float]] | Sequence[float] | None = None,
    n_folds: int = 5,
    budget: float | None = None,
    model: str = "phoenix",
    encoder: Literal["genes", "modules"] | None = None,
    start: Literal["auto", "matching", "random"] = "auto",
    coregulation: Any = None,
    scale: Literal["matched", "paper"] | None = None,
    missing: Literal["mean", "zero"] | None = None,
    schedule: GeometricSchedule | None = None,
    regulators: Any = None,
    n_hidden: int | tuple[int, ...] | None = None,
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
    max_epochs: int | None = None,
    training: dict[str, Any] | None = None,
    rng: Any = 0,
    device: str = "auto",
    progress: bool | None = None,
) -> pd.DataFrame:
    """Choose DASH's lambdas, the weights of the prior, by K folds (Hossain, Fischer et al. 2024, B.4).

    All settings and folds train as one stack, from the same weights on the same batches. Folds are whole trajectories, where
    there are at least `n_folds`, else stretches of time; states labelled "test" take no part. Of smoothed bins of cells
    neighbouring ones share cells, so that errors of stretches are too small, alike for all settings.

    Parameters
    ----------
    adata
        As for `scdash.tl.fit_dynamics`.
    prior
        As for `scdash.tl.fit_dynamics`.
    grid
        Settings (lambda1, lambda2), or single numbers for both; None: a 5 x 5 grid, or 5 numbers for a gene-wise
        network, which has one layer.
    n_folds
        Number of folds; 1 holds out what is labelled "validation" (or would be in a fit).
    budget
        None trains all settings to the end. A number (at least 2) bounds the epochs of all settings together, in units of
        training one to the end, 4 for example: settings are compared several times and the better third goes on each time,
        until two are trained to the end (successive halving; Karnin, Koren & Somekh 2013). They are compared by the mean
        over folds of the lowest validation error since the last pruning. Those that go on end with the same numbers as
        without a budget (to rounding, where thousands of genes train on sparse products). A setting that is best in the end
        but not early is missed, the more easily the smaller the budget and the shorter the training.
    model, encoder, start, coregulation, scale, missing, schedule, regulators, n_hidden
        As for `scdash.tl.fit_dynamics`.
    time_key, trajectory_key, batch_key, split_key, layer
        As for `scdash.tl.fit_dynamics`; None: those of the fit of dynamics under `key`, if there is one, which the log
        says (layer="X": X all the same).
    observations, n_bins, mask_var, allow_scaled
        As for `scdash.tl.fit_dynamics`.
    key
        Name of a fit whose columns and layer are read by default.
    max_epochs, training, rng, device, progress
        As for `scdash.tl.fit_dynamics`.

    Returns
    -------
    Table with one row per setting: `l1`, `l2`, `mean` and `se` (standard error over folds, NaN of one) of the validation
    error, `epochs` (for how long it was trained), `finished` (False for settings that a `budget` stopped early: their
    errors are those they were dropped for), `chosen` (the lowest mean of the finished), `fold0`, `fold1`, ... Nothing is
    written to `adata`.

    Raises
    ------
    ValueError
        Without a prior, if the schedule prunes nothing within `max_epochs`, if `budget` is too small for the number of
        settings, or if an argument does not fit the data.

    Examples
    --------
    >>> table = scdash.tl.cross_validate(adata, prior=prior, n_folds=5)  # doctest: +SKIP
    >>> scdash.pl.lambdas(table)  # doctest: +SKIP
    """
    settled = settle(model, "dash", encoder=encoder, scale=scale, missing=missing, n_hidden=n_hidden)
    seed = seed_of(rng)
    train = dict(training or {})
    if max_epochs is not None:
        train["max_epochs"] = max_epochs
    with step("cross-validating lambdas") as added:
        keys = {"time_key": time_key, "trajectory_key": trajectory_key, "batch_key": batch_key}
        keys |= {"split_key": split_key, "layer": layer}
        inputs = read_inputs(
            adata,
            **keys_like_fit(adata, key, keys),
            mask_var=mask_var,
            observations=observations,
            prior=prior,
            coregulation=coregulation,
            regulators=regulators,
            n_bins=n_bins,
            seed=seed,
            allow_scaled=allow_scaled,
        )
        options = FitOptions(
            model=model,
            start=start,
            schedule=schedule,
            **settled,
            seed=seed,
            device=device,
            cells=inputs.cells,
            training=train,
            progress=progress,
        )
        pairs = None if grid is None else [g if isinstance(g, (tuple, list)) else (g, g) for g in grid]
        table = cross_validate_lambdas(inputs.problem, options, grid=pairs, n_folds=n_folds, budget=budget)
        added.append(f"a table of {len(table)} settings")
    return table
