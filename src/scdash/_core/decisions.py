"""Decisions that noise must not make: each is a pure function, used wherever the decision is taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLEAR = 2.0  # standard errors by which a difference must exceed zero


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences with its standard error; one pair has no standard error and decides nothing."""

    mean: float
    error: float  # standard error of the mean, NaN of fewer than two pairs
    pairs: int

    @classmethod
    def of(cls, values: Any) -> "Difference":
        """Return the mean difference of some pairs, (pairs,)."""
        found = np.asarray(values, dtype=np.float64)
        if not len(found):
            return cls(float("nan"), float("nan"), 0)
        spread = float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else float("nan")
        return cls(float(found.mean()), spread, len(found))

    @property
    def tested(self) -> bool:
        """Whether there are pairs enough to tell a difference from noise."""
        return self.pairs > 1 and bool(np.isfinite(self.mean)) and bool(np.isfinite(self.error))

    @property
    def lower_bound(self) -> float:
        """The mean less two standard errors; minus infinity where nothing was tested."""
        return two_errors_below(self.mean, self.error) if self.tested else -np.inf

    @property
    def clearly_positive(self) -> bool:
        """Whether the mean exceeds zero by more than two standard errors."""
        return self.lower_bound > 0


def two_errors_below(value: float, error: float) -> float:
    """Return an estimate less two of its standard errors."""
    return value - CLEAR * error


def clearly_above(value: float, error: float, level: float) -> bool:
    """Return whether an estimate exceeds a level by more than two of its standard errors."""
    return bool(two_errors_below(value, error) > level)


def better_by_one_error(errors: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]]) -> bool:
    """Return whether paired errors (cases,) lie below others by more than one standard error in the mean."""
    gain = others - errors
    return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))


def largest_within_one_error(tried: Mapping[float, NDArray[np.floating[Any]]]) -> float:
    """Return the largest setting whose mean error exceeds the lowest mean by at most one standard error.

    `tried` holds paired errors of every setting, (cases,); the standard error is that of the difference from the best
    setting, over the cases.
    """
    best = min(tried, key=lambda setting: float(tried[setting].mean()))
    excess = {setting: errors - tried[best] for setting, errors in tried.items()}
    return max(setting for setting, e in excess.items() if e.mean() <= e.std() / np.sqrt(len(e)))
