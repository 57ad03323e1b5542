"""Choices by held-out trajectories: pure functions of errors (settings, folds), relative to a constant prediction."""

import numpy as np
from numpy.typing import NDArray

from scdash._decisions import Difference

Errors = NDArray[np.float64]


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


def sparsest_within_one_standard_error(errors: Errors, edges: NDArray[np.int64]) -> int:
    """Return the setting with the fewest edges whose error is within one standard error of the best one's.

    The standard error is that of the difference to the best setting over folds: folds differ far more from each other
    than two settings differ on one fold. With a single fold the best setting is returned.
    """
    smallest = best(errors)
    allowed = []
    for row, error in enumerate(errors):
        difference = error - errors[smallest]
        near = len(difference) > 1 and np.isfinite(error).all() and difference.mean() <= standard_error(difference)
        if row == smallest or near:
            allowed.append(row)
    return min(allowed, key=lambda row: (edges[row], errors[row].mean()))
