"""The level that means "not expressed": where every knocked-out gene is held."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data.expression_matrix import Expression

NOISE = 0.1  # of a gene's range: values that are no lower than this below 0 are 0 and noise


def lowest_values(values: Expression) -> NDArray[np.float64]:
    """Return the lowest value of every gene over all cells, (genes,), read block by block."""
    lowest = np.full(len(values.genes), np.inf)
    for _, block in values.blocks():
        if block.shape[0]:
            found = block.min(axis=0)
            found = found.toarray() if sp.issparse(found) else found
            lowest = np.minimum(lowest, np.asarray(found, dtype=np.float64).ravel())
    return lowest


def knockout_levels(entry: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the level at which each modelled gene of a stored fit is held when it is knocked out, (genes,).

    This is 0 where the data of the fit are not negative, or are so by noise alone. A gene whose values reach further below
    0 was scaled or centred, so that 0 is the mean of its cells or close to it; such a gene is held at the lowest value that
    the fit has seen.
    """
    states = np.asarray(entry["series"]["states"], dtype=np.float64)
    lowest = np.asarray(entry.get("lowest", states.min(axis=0)), dtype=np.float64)
    return np.where(lowest < -NOISE * np.ptp(states, axis=0), lowest, 0.0)
