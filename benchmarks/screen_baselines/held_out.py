"""Settings of a comparator chosen by perturbations that were left out of training."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from benchmarks.screen_baselines.inputs import Cells

Settings = TypeVar("Settings")
FRACTION = 0.2  # of the perturbations, left out (as in the authors' code of DCDFG)


def choose(
    candidates: Sequence[Settings], cells: Cells, error: Callable[[Settings, Cells, Cells], float], *, seed: int
) -> Settings:
    """Return the settings with the least `error(settings, trained, left_out)`; control cells are always trained on."""
    perturbed = np.unique(cells.perturbation[(cells.free == 0).any(1).numpy()])
    number = max(1, round(FRACTION * len(perturbed)))
    trained, left_out = cells.split(np.random.default_rng(seed).choice(perturbed, number, replace=False))
    return min(candidates, key=lambda settings: error(settings, trained, left_out))
