"""The table of held-out errors: one row for the model, its start, every null model and every baseline."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from scdash._decisions import Difference
from scdash.dynamics.selection import Errors


def error_table(model: str, ours: Errors, others: Mapping[str, Errors]) -> pd.DataFrame:
    """Return one row per predictor, the model first.

    Parameters
    ----------
    model
        Name of the model.
    ours, others
        Mean squared errors over that of a constant, (folds,), of the model and of all others by name.

    Returns
    -------
    Columns `predictor`, `error` (mean over folds; infinite where predictions diverge), `standard_error` (over folds, NaN of one), `difference` (to the model:
    positive where the model is better), `difference_error` (standard error of the paired difference) and `fold 1`, ...
    """
    rows = []
    for name, errors in ({model: ours} | dict(others)).items():
        finite = bool(np.isfinite(errors).all() and np.isfinite(ours).all())
        own, paired = Difference.of(errors), Difference.of(errors - ours if finite else np.full(len(ours), np.nan))
        row = {"predictor": name, "error": float(np.mean(errors)), "standard_error": own.error if finite else np.nan}
        row |= {"difference": paired.mean, "difference_error": paired.error}
        rows.append(row | {f"fold {k + 1}": float(value) for k, value in enumerate(errors)})
    return pd.DataFrame(rows)
