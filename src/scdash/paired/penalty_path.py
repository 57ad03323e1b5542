"""What the penalty of a network or a regression costs and gains, strength by strength, on held-out cells."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from numpy.typing import NDArray

from scdash._core.logging import logger, step
from scdash._core.parallel import use_jobs
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import FoldsLike, Genes
from scdash._data import as_dense, sanitise
from scdash.paired.evaluation import multivariate_r2
from scdash.paired.panels import PanelModel, panel_of
from scdash.paired.reading import Missing, Paired, fold_labels, read_paired
from scdash.paired.result import BottleneckFit
from scdash.paired.store import check_slots
from scdash.resampling.folds import make_folds
from scdash.resampling.penalty_choice import with_choice


def sparsity_path_mudata(
    mdata: MuData,
    *,
    model: PanelModel = "srrr",
    lambdas: Sequence[float] | None = None,
    folds: FoldsLike = 10,  # as for `scdash.tl.cross_validate_sbnn`
    x: str = "rna",
    y: str = "ephys",
    layer: str | None = None,
    y_layer: str | None = None,
    mask_var: Genes | None = None,
    missing: Missing = "raise",
    allow_counts: bool = False,
    key_added: str = "sparsity_path",  # name of the table in `mdata.uns`
    rng: RNG = 0,
    n_jobs: int | None = None,  # processes of joblib; None: one, or what `joblib.parallel_config` says
    **fit: Any,  # the other arguments of the model, see `scdash.tl.stability`
) -> pd.DataFrame:
    """Fit a regression or a network at every strength of its penalty, and show what sparsity costs on held-out cells.

    `mdata`, `x`, `y`, `layer`, `y_layer`, `mask_var`, `missing`, `allow_counts`, `rng`: as for `scdash.tl.sbnn`.
    `model`: "srrr": lambda of `scdash.tl.srrr`, which decides how many genes are selected; "sbnn": the group lasso of
    `scdash.BottleneckTraining`, with `n_features` genes at every strength. `lambdas`: strengths, positive; None: 20
    for "srrr", from one that selects few genes down to 5 % of it; for "sbnn" 0.1 to 10 times the lasso of the
    training.

    The result is a table with one row per lambda and fold: `lambda`, `model` (the fold), `train_loss` and
    `validation_loss` (1 - R2 of training and held-out cells; 1 is the training mean), `n_genes`, `margin` (how far the
    weights of the genes kept stand out, "sbnn" only), and `chosen`: the largest lambda whose held-out loss is within
    one standard error over folds of the lowest. Written to `mdata.uns[key_added]`.

    Examples
    --------
    >>> table = scdash.tl.sparsity_path(mdata, rank=2, folds=3, lambdas=[0.05, 0.2])
    >>> axes = scdash.pl.sparsity_path(mdata)
    >>> scdash.tl.srrr(mdata, lam=float(table.loc[table["chosen"], "lambda"].iloc[0]), key_added="chosen")
    """
    panel = panel_of("sparsity_path", model, fit, fixed=signature(sparsity_path_mudata).parameters, penalised=True)
    check_slots(mdata, x, y, key_added)
    seed = seed_of(rng)
    with step(f"fitting a path over lambda ({model}, {x} to {y})") as added, use_jobs(n_jobs):
        data = read_paired(
            mdata, x, y, layer=layer, y_layer=y_layer, mask_var=mask_var, missing=missing, allow_counts=allow_counts
        )
        parts = make_folds(len(data.cells), fold_labels(mdata, data, folds), rng=np.random.default_rng([seed, 2]))
        panel.check(data, min(len(fold.train) for fold in parts))
        strengths = panel.strengths(data, parts) if lambdas is None else _checked(lambdas)
        table = path_table(data, panel.fit(data, parts, seed, list(strengths)), strengths)
        if model == "srrr":
            table = table.drop(columns="margin")
        mdata.uns[key_added] = sanitise({"table": table})["table"]
        chosen = table[table["chosen"]]
        table.attrs["report"] = (
            f"chosen: lambda {chosen['lambda'].iloc[0]:.4g} with {chosen['n_genes'].mean():.0f} genes, R2 "
            f"{1 - chosen['validation_loss'].mean():.3f} on held-out cells ({1 - _lowest(table):.3f} at the best)."
        )
        logger.info("    %s", table.attrs["report"])
        added.append(f"added uns[{key_added!r}], a table of {len(strengths)} strengths")
    return table


def _checked(lambdas: Sequence[float]) -> NDArray[np.float64]:
    values = np.unique(np.asarray(lambdas, dtype=np.float64))
    if not len(values) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"lambdas must be positive numbers, at least one, found {list(lambdas)!r}.")
    return values


def _lowest(table: pd.DataFrame) -> float:
    return float(table.groupby("lambda")["validation_loss"].mean().min())


def path_table(data: Paired, fits: Sequence[Sequence[BottleneckFit]], strengths: NDArray[np.float64]) -> pd.DataFrame:
    """Return the losses of every fit (strengths, folds) on its training and held-out cells, with the choice."""
    rows = []
    for lam, own in zip(strengths, fits, strict=True):
        for fit in own:
            train, held_out = (_loss(data, fit, cells) for cells in (fit.fold.train, fit.fold.test))
            row = {"lambda": float(lam), "model": fit.fold.name, "train_loss": train, "validation_loss": held_out}
            rows.append(row | {"n_genes": len(fit.selected), "margin": fit.margin})
    table = pd.DataFrame(rows)
    errors = table["validation_loss"].to_numpy().reshape(len(strengths), -1)
    choice = with_choice(pd.DataFrame({"lambda": strengths}), errors)["chosen"].to_numpy()
    return table.assign(chosen=np.repeat(choice, errors.shape[1]))


def _loss(data: Paired, fit: BottleneckFit, cells: NDArray[np.intp]) -> float:
    said = fit.predict(as_dense(data.matrix[cells][:, fit.selected])).features
    return 1 - multivariate_r2(fit.y_scale.apply(data.features_matrix[cells]), said)
