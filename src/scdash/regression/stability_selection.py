"""Edges over half-samples of trajectories (Meinshausen and Buehlmann 2010): how often used, and how much."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.types import Floats, Index
from scdash.regression.gram import Moments
from scdash.regression.hub_penalties import relative_contribution
from scdash.regression.l1_paths import l1_path
from scdash.regression.problems import Regression

ENTRIES_AT_ONCE = 20_000_000  # bound on the dense coefficients in memory together


def half_sample_fits(
    regression: Regression,
    samples: list[NDArray[np.bool_]],
    targets: Index,
    lambdas: Floats,
    penalty: Floats,
    allowed: NDArray[np.bool_],
    *,
    standardize: bool,
    start: Any = None,
) -> tuple[Any, Any]:
    """Return selection frequencies and mean relative contributions over half-samples and penalties, CSR (t, p) each.

    `samples`: rows of each half-sample. `lambdas`: decreasing penalties of every target, (k, t). `penalty`, `allowed`: factor
    of the penalty of every edge, and edges allowed, (p, n). `start`: effects of all the data in their units, CSR (t, p).
    """
    features, size = regression.x.shape[1], max(1, ENTRIES_AT_ONCE // (len(lambdas) * regression.x.shape[1]))
    count = len(samples) * len(lambdas)
    frequency, contribution = [], []
    for first in range(0, len(targets), size):
        part = slice(first, first + size)
        some = targets[part]
        used = np.zeros((features, len(some)))
        fraction = np.zeros((len(some), features))
        for rows in samples:
            y = regression.y[np.ix_(rows, some)]
            moments = Moments.of(regression.x[rows], y, regression.precision[rows], standardize=standardize)
            first_guess = None
            if start is not None:
                first_guess = start[part].toarray().T * moments.scale[:, None] / moments.target_scale
            path = l1_path(
                moments.gram,
                moments.cross(),
                lambdas[:, part],
                penalty=penalty[:, some],
                allowed=allowed[:, some],
                start=first_guess,
            )
            used += (path != 0).sum(axis=0)
            for solution in path:
                fraction += relative_contribution((solution / moments.scale[:, None]).T)
        frequency.append(sp.csr_array(used.T / count))
        contribution.append(sp.csr_array(fraction / count))
    return sp.vstack(frequency, format="csr"), sp.vstack(contribution, format="csr")
