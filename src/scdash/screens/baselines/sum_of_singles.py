"""Combined perturbations as the sum of their single ones, a baseline without any model."""

import numpy as np
from numpy.typing import NDArray

from scdash.screens.statistics import Floats


def sum_of_singles(changes: Floats, targets: NDArray[np.bool_], asked: NDArray[np.bool_]) -> Floats:
    """Return the sum of the observed changes of the single perturbations, (asked, genes).

    The change of a gene that was perturbed alone several times, such as knocked out and knocked down, is their mean. NaN
    where a single perturbation was not observed, and for asked perturbations of one gene or none.

    `changes`, `targets`: observed changes and targets, (perturbations, genes). `asked`: targets of the perturbations
    to predict, (asked, genes).
    """
    single = targets.sum(axis=1) == 1
    found = np.full(asked.shape, np.nan)
    for row, genes in zip(found, (np.flatnonzero(one) for one in asked), strict=True):
        parts = [changes[single & targets[:, gene]] for gene in genes]
        if len(parts) > 1 and all(len(part) for part in parts):
            row[:] = np.sum([part.mean(axis=0) for part in parts], axis=0)
    return found
