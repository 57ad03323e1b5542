"""Settings of a comparator chosen by perturbations that were left out of training."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Settings = TypeVar("Settings")
FRACTION = 0.2  # of the perturbations, left out (as in the authors' code of DCDFG)


def choose(
    candidates: Sequence[Settings],
    perturbed: NDArray[np.int64],
    error: Callable[[Settings, NDArray[np.int64]], float],
    *,
    seed: int,
) -> Settings:
    """Return the settings with the least `error(settings, left_out)`, where `left_out` are some of the `perturbed`."""
    number = max(1, round(FRACTION * len(perturbed)))
    left_out = np.random.default_rng(seed).choice(perturbed, number, replace=False)
    return min(candidates, key=lambda settings: error(settings, left_out))
