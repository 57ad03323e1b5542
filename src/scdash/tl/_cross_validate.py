"""`cross_validate`: the weight of the prior, chosen by held-out error."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from anndata import AnnData

from scdash._core.errors import unused
from scdash._core.logging import step
from scdash._core.parallel import use_jobs
from scdash._core.process_state import guarded
from scdash.dynamics.call import FitCall
from scdash.dynamics.lambda_choice import cross_validate_lambdas


@guarded
def cross_validate(
    adata: AnnData,
    *,
    grid: Sequence[tuple[float, float]] | Sequence[float] | None = None,
    n_folds: int = 5,
    budget: float | None = None,
    key: str = "dynamics",
    **fit: Any,
) -> pd.DataFrame:
    """Choose DASH's lambdas, the weights of the prior, by K folds (Hossain, Fischer et al. 2024, B.4).

    All settings and folds train as one stack, from the same weights on the same batches. Folds are whole trajectories, where
    there are at least `n_folds`, else windows of time; states labelled "test" take no part. Of smoothed bins of cells
    neighbouring ones share cells, so that errors of windows are too small, alike for all settings.

    Parameters
    ----------
    adata
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
    key
        Name of a fit whose columns of `obs` and layer are read where no others are given, which the log says
        (layer="X": X all the same).
    **fit
        Arguments of `scdash.tl.fit_dynamics`, `prior` among them, or those of a fit: `**scdash.get.settings(adata)`.
        What is done with a model after training plays no part (`n_models`, `validation`, `write_velocity`), nor do the
        lambdas of `sparsity=DASH(...)`.

    Returns
    -------
    DataFrame
        Table with one row per setting: `l1`, `l2`, `mean` and `se` (standard error over folds, NaN of one) of the validation
        error, `epochs` (for how long it was trained), `finished` (False for settings that a `budget` stopped early: their
        errors are those they were dropped for), `chosen` (the lowest mean of the finished), `fold0`, `fold1`, ... Nothing is
        written to `adata`.

    Raises
    ------
    ValueError, TypeError
        Without a prior, if the schedule prunes nothing within `max_epochs`, if `budget` is too small for the number of
        settings, or if an argument does not fit the data or is none of `scdash.tl.fit_dynamics`.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    scdash.pl.lambdas : Draw the cross-validated loss over a grid of lambda1 and lambda2; the chosen pair is framed.

    Examples
    --------
    >>> table = scdash.tl.cross_validate(adata, prior=prior, n_folds=5)  # doctest: +SKIP
    >>> scdash.pl.lambdas(table)  # doctest: +SKIP
    """
    call = FitCall.of("cross_validate", fit)
    asked, seed = call.settle(), call.seed()
    if asked.training.checkpoint is not None:
        raise unused("checkpoint", "many models are trained")
    with step("cross-validating lambdas") as added, use_jobs(call.n_jobs):
        options = call.options(asked, seed, n_models=1, lambdas=None)
        inputs = call.read(adata, asked, options, like=key)
        options = replace(options, cells=inputs.cells)
        pairs = None if grid is None else [g if isinstance(g, (tuple, list)) else (g, g) for g in grid]
        table = cross_validate_lambdas(inputs.problem, options, grid=pairs, n_folds=n_folds, budget=budget)
        added.append(f"a table of {len(table)} settings")
    return table
