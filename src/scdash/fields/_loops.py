"""Velocities for whole solves compiled by numba: every kind of weights brings its own loops for these two names.

A solver calls `velocity` and `velocity_back`; numba finds their code by the type of `weights`, as
`numba.extending.overload` has registered it (see `_modules_loops`). With batches of 28 examples and 350 genes an operation
of torch takes as long to call as to compute, and a solve makes some hundreds.
"""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor


def velocity(weights: Any, kept: Any, model: int, place: int, x: Any, out: Any) -> None:
    """Set out to the velocity of one model at x, both (batch, genes), and keep evaluation number `place`."""
    raise TypeError(f"no compiled velocity for {type(weights).__name__}")


def velocity_back(
    weights: Any, kept: Any, model: int, place: int, gradient: Any, out: Any, spare: Any, wanted: Any
) -> None:
    """Take the gradient of evaluation `place` back to x, into out (if wanted), and keep what that of weights needs."""
    raise TypeError(f"no compiled velocity for {type(weights).__name__}")


class Compiled(ABC):
    """A velocity that compiled solvers can call, for one solve."""

    weights: Any  # NamedTuple of arrays, leading axis models

    @abstractmethod
    def keep(self, evaluations: int, batch: int) -> Any:
        """Return empty arrays for what evaluations keep, leading axes (models, evaluations)."""

    @abstractmethod
    def spare(self, batch: int) -> Any:
        """Return arrays that one evaluation may use on its way back."""

    @abstractmethod
    def collect(self, kept: Any, first: int, last: int) -> dict[str, Tensor]:
        """Return the gradients of the parameters of some models after the way back."""
