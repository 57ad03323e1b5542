"""The linear model of perturbations with embeddings of genes, a baseline that predicts unseen perturbations."""

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

    Parameters
    ----------
    changes, targets
        Observed changes and targets, (perturbations, genes).
    asked
        Targets of the perturbations to predict, (asked, genes).
    mean
        Mean change of every gene, (genes,).
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
