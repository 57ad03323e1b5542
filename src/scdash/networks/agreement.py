"""How far models of an ensemble agree on a ranking of genes: a seed is not stability."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

TOP = 20  # genes that are compared


def agreement(by_model: NDArray[Any]) -> dict[str, float]:
    """Return the mean rank correlation and mean overlap of the `TOP` genes over all pairs of models.

    `by_model`: scores, (genes, models); one model has no pairs and gives NaN.

    The result is a dict with `models`, `rank_correlation`, `top_overlap` (genes shared by two lists), `top`,
    `chance_overlap` (expected of two random lists).
    """
    scores = np.asarray(by_model, dtype=np.float64)
    n, models = scores.shape
    top = min(TOP, n)
    found = {"models": float(models), "top": float(top), "chance_overlap": top * top / max(n, 1)}
    if models < 2 or n < 2:
        return found | {"rank_correlation": float("nan"), "top_overlap": float("nan")}
    pairs = list(combinations(range(models), 2))
    best = [set(np.argsort(-scores[:, model], kind="stable")[:top]) for model in range(models)]
    varied = np.ptp(scores, axis=0) > 0
    correlations = [
        spearmanr(scores[:, a], scores[:, b]).statistic if varied[a] and varied[b] else 0.0 for a, b in pairs
    ]
    overlaps = [len(best[a] & best[b]) for a, b in pairs]
    return found | {"rank_correlation": float(np.mean(correlations)), "top_overlap": float(np.mean(overlaps))}
