"""Choices by held-out trajectories: pure functions of errors (settings, folds), relative to a constant prediction."""

import numpy as np
from numpy.typing import NDArray

from scdash._core.decisions import Difference

Errors = NDArray[np.float64]
MANY = 10  # held-out trajectories of which a standard error is one


def standard_error(differences: Errors) -> float:
    """Return the standard error of the mean over folds; infinite for a single fold."""
    found = Difference.of(differences)
    return found.error if found.tested else float("inf")


def best(errors: Errors) -> int:
    """Return the setting (row) with the smallest mean error over folds; rows with a non-finite error never win."""
    mean = np.where(np.isfinite(errors).all(axis=1), errors.mean(axis=1), np.inf)
    return int(mean.argmin())


def clearly_better(errors: Errors, than: Errors) -> bool:
    """Return whether errors (folds,) lie below others by more than one standard error of the difference in the mean.

    A single fold has no standard error, so that nothing is ever clearly better on it.
    """
    gain = than - errors
    return bool(gain.mean() > standard_error(gain))


def within_one_standard_error(errors: Errors, cases: Errors | None = None) -> list[int]:
    """Return the settings (rows) whose error is within one standard error of the best one's, the best among them.

    The standard error is that of the difference to the best setting over folds, (settings, folds): where folds are few,
    they differ far more from each other than two settings differ on one fold. With a single fold the best setting is
    returned alone. Where `cases`, errors of at least `MANY` held-out trajectories (settings, trajectories), are given,
    it is that of the best setting's error over them (the rule of Breiman et al. 1984, section 3.4.3): noise in the states
    that predictions begin with can be averaged by edges that are not there, which lowers every error a little.
    """
    smallest = best(errors)
    many = cases is not None and cases.shape[1] >= MANY
    margin = standard_error(cases[smallest]) if cases is not None and many else 0.0
    allowed = []
    for row, error in enumerate(errors):
        difference = error - errors[smallest]
        if not many and len(difference) > 1:
            margin = standard_error(difference)
        if row == smallest or (len(difference) > 1 and np.isfinite(error).all() and difference.mean() <= margin):
            allowed.append(row)
    return allowed


def sparsest_within_one_standard_error(errors: Errors, edges: NDArray[np.int64], cases: Errors | None = None) -> int:
    """Return the setting with the fewest edges among those of `within_one_standard_error`."""
    return min(within_one_standard_error(errors, cases), key=lambda row: (edges[row], errors[row].mean()))
