"""R2 as the paper defines it, and what it says."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def multivariate_r2(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    r"""Return :math:`1 - \|Y - f(X)\|^2 / \|Y\|^2` (Eq. 3); both (cells, features), centred by the TRAINING means.

    Entries of `truth` that are NaN are left out.
    """
    known = ~np.isnan(truth)
    total = float(np.sum(truth[known] ** 2))
    return 1 - float(np.sum((truth - prediction)[known] ** 2)) / total if total > 0 else float("nan")


def feature_r2(truth: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.float64]:
    """Return R2 of every feature (Eq. 4), NaN for a feature that does not vary about the training mean."""
    residual = np.nansum((truth - prediction) ** 2, axis=0)
    total = np.nansum(np.asarray(truth, dtype=np.float64) ** 2, axis=0)
    return np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), np.nan)


def learned_something(scores: NDArray[Any]) -> bool:
    """Return whether the mean of cross-validated R2 lies above 0, by a one-sided t test over the folds.

    R2 = 0 is the training mean. Folds share training cells, so the test is somewhat too ready to say yes; the level of
    0.01 is strict for that reason.
    """
    from scipy import stats

    scores = np.asarray(scores, dtype=np.float64)
    scores = scores[np.isfinite(scores)]
    if len(scores) < 2:
        return bool(len(scores) and scores[0] > 0)
    if np.ptp(scores) == 0:
        return bool(scores[0] > 0)
    return bool(stats.ttest_1samp(scores, 0.0, alternative="greater").pvalue < 0.01)
