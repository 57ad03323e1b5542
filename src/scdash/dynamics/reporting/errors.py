"""The table of held-out errors: one row for the model, its start, every null model and every baseline."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from scdash._core.decisions import Difference
from scdash.dynamics.whole_trajectories.selection import Errors


def error_table(model: str, ours: Errors, others: Mapping[str, Errors]) -> pd.DataFrame:
    """Return one row per predictor, the model first.

    `model`: name of the model. `ours`, `others`: mean squared errors over that of a constant, (folds,), of the model
    and of all others by name; NaN on folds on which a null model was not fitted.

    The result has columns `predictor`, `error` (mean over folds; infinite where predictions diverge),
    `standard_error` (over folds, NaN of one), `difference` (to the model: positive where the model is better),
    `difference_error` (standard error of the paired difference) and `fold 1`, ...
    """
    rows = []
    for name, errors in ({model: ours} | dict(others)).items():
        fitted = ~np.isnan(errors)
        own, paired = Difference.of(errors[fitted]), difference(errors, ours)
        row = {"predictor": name, "error": own.mean, "standard_error": own.error}
        row |= {"difference": paired.mean, "difference_error": paired.error}
        rows.append(row | {f"fold {k + 1}": float(value) for k, value in enumerate(errors)})
    return pd.DataFrame(rows)


def difference(errors: Errors, ours: Errors) -> Difference:
    """Return by how much errors exceed those of the model, paired over the folds that both have."""
    fitted = np.isfinite(errors) & np.isfinite(ours)
    return Difference.of((errors - ours)[fitted] if not np.isinf(errors).any() else [])
