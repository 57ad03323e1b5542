"""Solves compiled as a whole, for fields that have one.

With batches of 28 examples and 350 genes an operation of torch takes as long to call as to compute, and a solve makes some
hundreds.
"""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor


class CompiledSolve(ABC):
    """rk4 there and back for a stack of models with certain weights; see `solve.rk4_path` for the equations.

    Arrays are (intervals, models, batch, genes) for paths and their gradients, (intervals, models, batch) for durations
    and (models, batch, genes) for starts. Models from `first` to before `last` are computed, each by itself.
    """

    @abstractmethod
    def keep(self, evaluations: int, batch: int) -> Any:
        """Return empty arrays for what evaluations keep, leading axes (models, evaluations); 1 if nothing goes back."""

    @abstractmethod
    def forward(self, first: int, last: int, durations: Any, steps: int, kept: Any, start: Any, path: Any) -> None:
        """Set `path` to the states at the ends of the intervals from `start`."""

    @abstractmethod
    def backward(
        self,
        first: int,
        last: int,
        durations: Any,
        steps: int,
        kept: Any,
        of_path: Any,
        of_start: Any,
        *,
        wanted: bool,
    ) -> dict[str, Tensor]:
        """Return the gradients of the parameters, and set that of the start (to anything, unless wanted)."""
