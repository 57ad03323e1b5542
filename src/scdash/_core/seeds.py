"""The seed behind an `rng` argument."""

import numpy as np

from scdash._core.random_streams import RNG, as_generator


def seed_of(rng: RNG) -> int:
    """Return a seed: a whole number is itself, a Generator is asked for one, None draws one from the system."""
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"rng must be a seed of at least 0 or a numpy Generator, found {rng}.")
        return int(rng)
    return int(as_generator(rng).integers(2**31 - 1))
