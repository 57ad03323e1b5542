"""Learning rates in cosine cycles, each twice as long as the one before, and whether another one is worth its time."""

from dataclasses import dataclass
from itertools import accumulate
from math import cos, pi
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scdash._core.decisions import Difference


@dataclass(frozen=True)
class Cycles:
    """Steps at which cycles end, increasing (Loshchilov & Hutter 2017, SGDR with a factor of two)."""

    ends: tuple[int, ...]

    @classmethod
    def doubling(cls, first: int, steps: int) -> Self:
        """Return cycles of `first`, 2 `first`, ... steps; the last takes what is left of `steps`."""
        lengths: list[int] = []
        while sum(lengths) < steps:
            lengths.append(min(first * 2 ** len(lengths), steps - sum(lengths)))
        return cls(tuple(accumulate(lengths)))

    @classmethod
    def settling(cls, steps: int) -> Self:
        """Return a long cycle and one of a fifth of all `steps` in which weights settle after the last pruning."""
        first = steps - steps // 5
        return cls((first, steps) if first < steps else (steps,))

    def factor(self, step: int) -> float:
        """Return the fraction of the learning rate at `step`: 1 where a cycle begins, falling to 0 as a cosine."""
        start, end = 0, self.ends[0]
        for later in self.ends[1:]:
            if step < end:
                break
            start, end = end, later
        return 0.5 * (1 + cos(pi * min(step - start, end - start) / (end - start)))


def gained(before: NDArray[Any], now: NDArray[Any]) -> bool:
    """Whether errors of the same perturbations fell by more than two standard errors of their mean difference."""
    gain = Difference.of(np.asarray(before, dtype=float) - np.asarray(now, dtype=float))
    return gain.clearly_positive if gain.tested else gain.mean > 0
