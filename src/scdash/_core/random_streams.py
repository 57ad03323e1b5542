"""One `rng` argument everywhere: a seed or a numpy Generator, from which every other stream is derived."""

from typing import TypeAlias

import numpy as np

RNG: TypeAlias = "int | np.integer | np.random.Generator | np.random.SeedSequence | None"


def as_generator(rng: RNG) -> np.random.Generator:
    """Return a Generator; an existing one is used (and advanced), None draws a fresh seed from the system."""
    return np.random.default_rng(rng)


def seed_of(rng: RNG) -> int:
    """Return a seed: a whole number is itself, a Generator is asked for one, None draws one from the system."""
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"rng must be a seed of at least 0 or a numpy Generator, found {rng}.")
        return int(rng)
    return int(as_generator(rng).integers(2**31 - 1))
