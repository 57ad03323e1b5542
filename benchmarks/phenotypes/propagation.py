"""A propagation of knock-outs in the manner of CellOracle (Kamimoto et al. 2023), written anew from its description.

Every gene is regressed on its regulators over the cells of a lineage (ridge, penalty by generalised cross-validation); the
loss of a transcription factor is carried along these weights for three rounds, with the factor held at its loss and no
gene below 0. As its authors do, the shift of every cell is compared with the direction of differentiation; its size is
given beside it.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

ROUNDS = 3  # of propagation, as published
PENALTIES = tuple(np.geomspace(1, 1e4, 9))
MOST = 700  # cells, evenly along pseudotime, that weights are learned from and a loss is propagated in
WIDTH = 0.1  # of the ranks of pseudotime over which the direction of differentiation is taken


def weights(x: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the effect of every regulator (row) on every gene (column), from cells (cells, genes)."""
    found = np.zeros((x.shape[1], x.shape[1]))
    for target in range(x.shape[1]):
        sources = np.flatnonzero(allowed[:, target] & (x.std(axis=0) > 0))
        sources = sources[sources != target]
        if len(sources):
            found[sources, target] = RidgeCV(PENALTIES).fit(x[:, sources], x[:, target]).coef_
    return found


def direction(x: NDArray[np.float64], time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much expression changes around every cell along pseudotime, (cells, genes)."""
    order = np.argsort(time, kind="stable")
    half = max(int(WIDTH * len(time)), 1)
    total = np.vstack([np.zeros(x.shape[1]), np.cumsum(x[order], axis=0)])
    place = np.arange(len(time))
    low, high = np.maximum(place - half, 0), np.minimum(place + half, len(time))
    before = (total[place + 1] - total[low]) / (place + 1 - low)[:, None]
    after = (total[high] - total[place]) / np.maximum(high - place, 1)[:, None]
    found = np.empty_like(x)
    found[order] = after - before
    return found


def propagate(
    x: NDArray[np.float64], effects: NDArray[np.float64], regulators: NDArray[np.int64], gene: int
) -> NDArray[np.float64]:
    """Return the shift of every cell after the loss of a gene, (cells, genes); `effects` (regulators, genes)."""
    shift = np.zeros_like(x)
    shift[:, gene] = -x[:, gene]
    for _ in range(ROUNDS):
        shift = shift[:, regulators] @ effects
        shift[:, gene] = -x[:, gene]
        shift = np.maximum(shift, -x)
    return shift


def scores(
    x: NDArray[np.float64], time: NDArray[np.float64], allowed: NDArray[np.bool_], genes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far the loss of each gene runs against the direction of differentiation, and the size of the shift."""
    flow = direction(x, time)
    some = np.argsort(time, kind="stable")[:: -(-len(time) // MOST)]
    x, flow = x[some], flow[some]
    every = weights(x, allowed)
    regulators = np.union1d(np.flatnonzero(every.any(axis=1)), genes)
    effects = every[regulators]
    against, size = np.zeros(len(genes)), np.zeros(len(genes))
    for k, gene in enumerate(genes):
        shift = propagate(x, effects, regulators, int(gene))
        shift[:, gene] = 0.0  # its own loss is no effect
        against[k], size[k] = -(shift * flow).sum(axis=1).mean(), np.linalg.norm(shift, axis=1).mean()
    return against, size
