"""Areas under the ROC curve, paired bootstrap intervals of their differences, and what is left beyond the baselines."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

DRAWS = 2000
EXPLAINED = ("mean expression", "signed change", "absolute change")  # what the residual score is free of

Flags = NDArray[np.bool_]


def auc(score: NDArray[np.float64], positive: Flags) -> float:
    """Return how often a positive gene has a larger score than another one; ties count half."""
    ranks, inside = rankdata(score), int(positive.sum())
    outside = len(score) - inside
    return float((ranks[positive].sum() - inside * (inside + 1) / 2) / (inside * outside))


def contrasts(truth: pd.DataFrame) -> dict[str, tuple[Flags, Flags]]:
    """Return which genes are compared and which of them count as positive, for every question.

    Of strong phenotypes the partial ones take no part, as they are no examples of a gene that is not needed.
    """
    required = (truth["call"] == "required").to_numpy()
    strong = required & (truth["strength"] == "strong").to_numpy()
    dispensable = (truth["call"] == "dispensable").to_numpy()
    every = np.ones(len(truth), dtype=bool)
    return {
        "required, rest": (every, required),
        "required, dispensable": (required | dispensable, required),
        "strong, rest": (strong | ~required, strong),
        "strong, dispensable": (strong | dispensable, strong),
    }


def residual(scores: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return the ranks of a score after a linear regression on the ranks of expression and of its changes."""
    ranks = scores.rank().to_numpy(dtype=float)
    columns = [scores.columns.get_loc(one) for one in EXPLAINED if one != name]
    design = np.column_stack([np.ones(len(ranks)), ranks[:, columns]])
    own = ranks[:, scores.columns.get_loc(name)]
    return np.asarray(own - design @ np.linalg.lstsq(design, own, rcond=None)[0])


def interval_of_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], positive: Flags, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of AUC(first) - AUC(second), from genes drawn again, the same for both."""
    rng = np.random.default_rng(seed)
    inside, outside = int(positive.sum()), int((~positive).sum())
    # how often each gene is drawn; a difference of areas is a sum over pairs of a positive and another gene
    of_inside = rng.multinomial(inside, np.full(inside, 1 / inside), DRAWS)
    of_outside = rng.multinomial(outside, np.full(outside, 1 / outside), DRAWS)
    gain = _wins(first, positive) - _wins(second, positive)
    found = ((of_inside @ gain) * of_outside).sum(axis=1) / (inside * outside)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _wins(score: NDArray[np.float64], positive: Flags) -> NDArray[np.float64]:
    """Return for every positive gene (row) and every other one (column) 1, 0, or 1/2 for equal scores."""
    difference = score[positive][:, None] - score[~positive]
    return np.asarray((np.sign(difference) + 1) / 2)
