"""The linear model of perturbations with embeddings of genes, and sums of single ones: what predicts unseen perturbations simply."""

import numpy as np
from numpy.typing import NDArray

from scdash.screens.statistics import Floats

COMPONENTS = 10  # of the embedding, at most
RIDGE = 0.1  # relative to the mean square of the embedding


def linear_model(changes: Floats, targets: NDArray[np.bool_], asked: NDArray[np.bool_], mean: Floats) -> Floats:
    r"""Return predicted changes (asked, genes) of perturbations from those of others.

    .. math:: Y \approx P M G^T + b

    with G the loadings of genes on the principal components of the observed changes Y (perturbations, genes), P the sum of
    the rows of G of the targets, b the mean change and M by ridge regression (Ahlmann-Eltze et al. 2025, Eq. 1).
    """
    centred = changes - mean
    _, size, loadings = np.linalg.svd(centred, full_matrices=False)
    k = int(min(COMPONENTS, (size > 1e-9).sum()))
    if not k:
        return np.broadcast_to(mean, asked.shape).copy()
    genes = loadings[:k].T * np.sqrt(len(mean))  # mean square 1
    source = targets.astype(float) @ genes
    left = source.T @ source + RIDGE * len(source) * np.eye(k)
    right = genes.T @ genes + RIDGE * len(genes) * np.eye(k)
    middle = np.linalg.solve(left, source.T @ centred @ genes) @ np.linalg.inv(right)
    predicted: Floats = asked.astype(float) @ genes @ middle @ genes.T + mean
    return predicted


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
