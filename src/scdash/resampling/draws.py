"""Random parts of data and bootstraps, for refits on other data of the same kind."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


def stratified_part(kinds: NDArray[np.int64], size: Callable[[int], int], rng: np.random.Generator) -> Index:
    """Return random positions in `kinds`: of every kind, `size(number of its kind)` of them."""
    order = rng.permutation(len(kinds))
    parts = [order[kinds[order] == kind] for kind in np.unique(kinds)]
    return np.concatenate([part[: size(len(part))] for part in parts])


def drawn_within(
    groups: Iterable[Index], size: Callable[[int], int], rng: np.random.Generator, *, replace: bool = False
) -> list[Index]:
    """Return `size(members)` random members of every group; with `replace`, a bootstrap within groups."""
    return [rng.choice(of, size(len(of)), replace=replace) if len(of) else of for of in groups]
