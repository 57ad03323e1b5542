"""Choices by held-out data: pure functions of errors (settings, folds), relative to a constant prediction."""

import numpy as np
from numpy.typing import NDArray

from scdash._core.decisions import Difference
from scdash.dynamics.whole_trajectories.folds import OTHER_HALF, TIME_POINTS

Errors = NDArray[np.float64]
MANY = 10  # held-out trajectories of which a standard error is one
HARDLY = 1.05  # times the lowest error: of few trajectories that is the same
AS_MUCH = 0.975  # of what the best model explains of the other half of the cells; see `sparsest_that_explains_as_much`


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
    """Return the setting with the fewest edges among those of `within_one_standard_error`.

    Fewer than `MANY` held-out trajectories say little of their own standard error: of four batches of a lineage it was so
    wide that the sparsest network within it had an error 17 % above the best one's, and of five batches of another one so
    narrow that no edge was removed, although a thirteenth of them had an error 3 % above. Settings must then also be among
    those that `explain_as_much`, and those that are `hardly_worse` are allowed, too.
    """
    allowed = set(within_one_standard_error(errors, cases))
    if cases is None or cases.shape[1] < MANY:
        allowed = (allowed | set(hardly_worse(errors))) & set(explain_as_much(errors))
    return min(allowed, key=lambda row: (edges[row], errors[row].mean()))


def hardly_worse(errors: Errors) -> list[int]:
    """Return the settings whose mean error is at most `HARDLY` times that of the best one; of a single fold the best alone."""
    smallest = best(errors)
    if errors.shape[1] < 2:
        return [smallest]
    mean = np.where(np.isfinite(errors).all(axis=1), errors.mean(axis=1), np.inf)
    return [int(row) for row in np.flatnonzero(mean <= HARDLY * mean[smallest])]


def explain_as_much(errors: Errors) -> list[int]:
    """Return the settings that explain at least `AS_MUCH` of what the best one explains, the best among them.

    What is explained is 1 less the mean of the relative errors (settings, folds). Where nothing is explained, the best
    setting is returned alone.
    """
    smallest = best(errors)
    with np.errstate(invalid="ignore"):
        explained = np.where(np.isfinite(errors).all(axis=1), 1 - errors.mean(axis=1), -np.inf)
    if explained[smallest] <= 0:
        return [smallest]
    return [int(row) for row in np.flatnonzero(explained >= AS_MUCH * explained[smallest])]


def sparsest_that_explains_as_much(errors: Errors, edges: NDArray[np.int64]) -> int:
    """Return the setting with the fewest edges among those of `explain_as_much`.

    This is the rule for halves of the same cells: they are no independent replicates, and their standard error, which
    falls as more of them are drawn, says nothing about other cells. The margin was set by other cells: of models that were
    fitted to one batch of two lineages and pruned step by step, the error on the other batches was lowest at levels that
    explained 97 to 99 % of what the best one did on the other half, and rose below (docs/concepts/evidence.md).
    """
    return min(explain_as_much(errors), key=lambda row: (edges[row], errors[row].mean()))


def chosen_level(kind: str, errors: Errors, edges: NDArray[np.int64], cases: Errors | None = None) -> int:
    """Return the level of pruning that folds choose; `kind` says what they leave out.

    Of left-out trajectories the sparsest within one standard error (see there for `cases`), of the other half of the cells
    the sparsest that explains as much, and of left-out times, which are few and unlike each other, the best one.
    """
    if kind == TIME_POINTS:
        return best(errors)
    if kind == OTHER_HALF:
        return sparsest_that_explains_as_much(errors, edges)
    return sparsest_within_one_standard_error(errors, edges, cases)
