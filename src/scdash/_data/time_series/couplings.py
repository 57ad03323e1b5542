r"""Couplings of cells between sampled times, by optimal transport or as given, and groups of related cells along them.

A coupling P of the cells of two times says how much mass of cell i arrives in cell j. Unbalanced optimal transport with
entropy (Chizat et al. 2018; for cells Schiebinger et al. 2019) lets the mass of a cell grow or shrink,

.. math:: \min_P \langle C, P\rangle + \epsilon\,\mathrm{KL}(P \mid a b^T) + \tau\,\mathrm{KL}(P 1 \mid a) + \tau\,\mathrm{KL}(P^T 1 \mid b),

with squared distances C in principal components, in units of their median. Cells that are alike at one time are followed
to their descendants, :math:`w_{k+1} = P^T (w_k / a)`, and back to their ancestors, :math:`w_{k-1} = P (w_k / b)`. The means of such a
group at all times are a trajectory of its own: how groups differ from each other early, and how later, is what the mean
of all cells cannot show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

MOST_CELLS = 500  # per time and trajectory that take part in couplings: a random sample where there are more
COMPONENTS = 20  # principal components in which cells are compared
ENTROPY, GROWTH = 0.05, 1.0  # epsilon and tau, in units of the median cost
ITERATIONS = 500
WIDTH = 0.5  # of a group, in median squared distances from its centre

Pair = tuple[int, int]  # numbers of two times


@dataclass(frozen=True)
class TimedCells:
    """Cells of one trajectory by time; what takes part in couplings."""

    rows: list[NDArray[np.int64]]  # of every time, rows of the data
    values: list[NDArray[np.float64]]  # (cells, genes) each
    weights: list[NDArray[np.float64]]  # (cells,) each, sum 1
    ahead: list[NDArray[np.float64]]  # (cells,) each, by how much they are ahead of their sampled time

    def mean(self, time: int, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Return the mean of the cells of one time under weights, (genes,), and by how much they are ahead of it."""
        total = weights.sum()
        return np.asarray(weights @ self.values[time] / total), float(weights @ self.ahead[time] / total)


def principal_components(values: Sequence[NDArray[np.float64]], rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Return the cells of some times in the principal components of all of them."""
    from sklearn.utils.extmath import randomized_svd

    sizes = np.cumsum([len(part) for part in values])[:-1]
    every = np.concatenate(values)
    every = every - every.mean(axis=0)
    number = min(COMPONENTS, *every.shape)
    u, s, _ = randomized_svd(every, number, random_state=int(rng.integers(2**31 - 1)))
    return np.split(u * s, sizes)


def optimal_transport(
    first: NDArray[np.float64], second: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the unbalanced coupling of cells (cells, k) with weights a and b, (cells, cells)."""
    import warnings

    import ot

    cost = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    cost /= max(float(np.median(cost)), 1e-300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged to the last digit
        found = ot.unbalanced.sinkhorn_unbalanced(a, b, cost, reg=ENTROPY, reg_m=GROWTH, numItermax=ITERATIONS)
    return np.asarray(found, dtype=np.float64)


def couple(
    cells: TimedCells, kept: Sequence[int], given: Mapping[Pair, Any] | None, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Return the coupling of every two consecutive ones of some times; `given` ones are composed over times left out.

    `given` maps pairs of times to sparse (rows of the data, rows of the data); None: optimal transport.
    """
    pairs = list(zip(kept[:-1], kept[1:], strict=True))
    if given is not None:
        return [_given(cells, given, first, last) for first, last in pairs]
    space = dict(zip(kept, principal_components([cells.values[k] for k in kept], rng), strict=True))
    return [optimal_transport(space[i], space[j], cells.weights[i], cells.weights[j]) for i, j in pairs]


def _given(cells: TimedCells, given: Mapping[Pair, Any], first: int, last: int) -> NDArray[np.float64]:
    """Return a given coupling among the cells that take part, through the times in between where there is none for it."""
    steps = [(first, last)] if (first, last) in given else [(k, k + 1) for k in range(first, last)]
    found = np.asarray(sp.csr_matrix(given[steps[0]])[cells.rows[steps[0][0]]][:, cells.rows[steps[0][1]]].todense())
    for step in steps[1:]:
        following = np.asarray(sp.csr_matrix(given[step])[cells.rows[step[0]]][:, cells.rows[step[1]]].todense())
        found = (found / cells.weights[step[0]]) @ following
    return found


def follow_groups(
    cells: TimedCells,
    kept: Sequence[int],
    couplings: Sequence[NDArray[np.float64]],
    rng: np.random.Generator,
    groups: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the means of groups of related cells at some times, (groups, times, genes), and by how much they are ahead.

    A group is a random cell of a random time with the cells near it, followed along the couplings to both ends. One
    whose mass gets lost on the way is left out.
    """
    space = principal_components([cells.values[k] for k in kept], rng)
    found, ahead = [], []
    for _ in range(groups):
        start = int(rng.integers(len(kept)))
        distance = ((space[start] - space[start][rng.integers(len(space[start]))]) ** 2).sum(axis=1)
        width = WIDTH * max(float(np.median(distance)), 1e-300)
        mass: dict[int, NDArray[np.float64]] = {start: np.exp(-distance / width) * cells.weights[kept[start]]}
        for k in range(start, len(kept) - 1):
            mass[k + 1] = _unit(couplings[k].T @ (mass[k] / cells.weights[kept[k]]))
        for k in range(start, 0, -1):
            mass[k - 1] = _unit(couplings[k - 1] @ (mass[k] / cells.weights[kept[k]]))
        if all(part.sum() > 0 for part in mass.values()):
            means, shifts = zip(*(cells.mean(time, mass[k]) for k, time in enumerate(kept)), strict=True)
            found.append(np.stack(means))
            ahead.append(shifts)
    if not found:
        return np.zeros((0, len(kept), cells.values[0].shape[1])), np.zeros((0, len(kept)))
    return np.stack(found), np.array(ahead)


def _unit(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    total = float(mass.sum())
    return np.asarray(mass / total if total > 0 else mass)
