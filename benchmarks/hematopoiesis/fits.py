"""The models of the table, each as one call of `fit_dynamics`."""

import time
from dataclasses import replace
from typing import Any

import numpy as np

import scdash
from benchmarks.hematopoiesis.data import base_grn, bins, collectri

MODULES = {"start": "random", "model": scdash.models.Phoenix(encoder="modules", n_hidden=50)}
LAYERS = {"start": "random", "model": scdash.models.MLP((50, 50))}
TRUST = (0.05, 0.25, 0.5, 0.75)  # DASH's trust in the prior (both layers), chosen by the validation batch
STRATEGIES: dict[str, dict[str, Any]] = {
    "PHOENIX, none": {"sparsity": "none", **MODULES},
    "PHOENIX, IMP": {"sparsity": "imp", **MODULES},
    "PHOENIX, DASH CollecTRI": {
        "sparsity": scdash.sparsity.DASH(),
        "prior": "collectri",
        "strengths": TRUST,
        **MODULES,
    },
    "PHOENIX, DASH base GRN": {"sparsity": scdash.sparsity.DASH(), "prior": "base_grn", "strengths": TRUST, **MODULES},
    "PHOENIX, prior alone CollecTRI": {"sparsity": "bio", "prior": "collectri", **MODULES},
    "PHOENIX, post hoc": {"sparsity": "posthoc", **MODULES},
    "PHOENIX, L0": {"sparsity": "l0", **MODULES},
    "PHOENIX, C-NODE": {"sparsity": "cnode", **MODULES},
    "PHOENIX, PathReg": {"sparsity": "pathreg", **MODULES},
    "L0, MLP": {"sparsity": "l0", **LAYERS},
    "C-NODE, MLP": {"sparsity": "cnode", **LAYERS},
    "PathReg, MLP": {"sparsity": "pathreg", **LAYERS},
    "LassoNet, MLP": {"sparsity": "lassonet", **LAYERS},
    "GroupLasso, MLP": {"sparsity": "group_lasso", "start": "random", "model": scdash.models.MLP((4, 4))},
    "regression, no prior": {"regulators": "is_tf", "training": scdash.Training(max_epochs=0)},
    "regression, CollecTRI": {"regulators": "is_tf", "prior": "collectri", "training": scdash.Training(max_epochs=0)},
    "regression, base GRN": {"regulators": "is_tf", "prior": "base_grn", "training": scdash.Training(max_epochs=0)},
    "default (regression, then ODE), CollecTRI": {"regulators": "is_tf", "prior": "collectri"},
}
CONTROLLED = "default (regression, then ODE), CollecTRI"  # the fit whose controls stand for all


def fitted(
    lineage: str,
    strategy: str = CONTROLLED,
    *,
    validation: list[str],
    test: list[str],
    seed: int = 0,
    controls: bool = True,
    prior: Any = None,
    **changes: Any,
) -> Any:
    """Return the bins with a fit in `uns["dynamics"]`; CPU seconds are in its metrics.

    Parameters
    ----------
    lineage, strategy
        One of `data.LINEAGES` and of `STRATEGIES`.
    validation, test
        Batches that choose and that judge; all others are learned from.
    seed
        Of bootstraps and fit.
    controls
        Also run the controls of the verdict.
    prior
        A table instead of the strategy's prior.
    changes
        Further arguments of `fit_dynamics`.
    """
    scdash.settings.verbosity = 0
    adata = bins(lineage, validation=validation, test=test, seed=seed)
    options = dict(STRATEGIES[strategy]) | changes
    name = options.pop("prior", None)
    if prior is None and name is not None:
        prior = collectri(adata.var_names) if name == "collectri" else base_grn()
    began, found = time.process_time(), []
    for strength in options.pop("strengths", (None,)):
        own = adata.copy()
        if strength is not None:
            options["sparsity"] = replace(options["sparsity"], lambdas=(strength, strength))
        scdash.tl.fit_dynamics(
            own, prior=prior, rng=seed, progress=False, validation=scdash.Validation(null_models=controls), **options
        )
        found.append(own)
    best = found[int(np.argmin([validation_loss(one) for one in found]))] if len(found) > 1 else found[0]
    best.uns["dynamics"]["metrics"]["cpu_seconds"] = time.process_time() - began  # of the choice, too
    return best


def validation_loss(adata: Any) -> float:
    """Return the validation loss of the epoch that was kept."""
    entry = adata.uns["dynamics"]
    history = entry["history"].set_index("epoch")["validation_loss"]
    return float(history.loc[int(entry["metrics"]["best_epoch"])])
