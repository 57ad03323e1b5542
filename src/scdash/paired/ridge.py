"""Ridge regression on all genes, its strength by generalised cross-validation: the plain baseline."""

from typing import NamedTuple

import numpy as np

from scdash.paired.design import Design, Floats


class Ridge(NamedTuple):
    """Coefficients (genes, features) for standardised X and Y, and the strength chosen."""

    coefficients: Floats
    lam: float


def ridge(design: Design, y: Floats, lambdas: Floats | None = None) -> Ridge:
    r"""Minimise :math:`\frac{1}{2n}\|Y - XB\|^2 + \frac{\lambda}{2}\|B\|^2`; lambda by GCV (Golub et al. 1979).

    :math:`GCV(\lambda) = n \|Y - XB_\lambda\|^2 / (n - \mathrm{df}_\lambda)^2` with df the trace of the smoother, plus one
    for the mean. All from one eigendecomposition of the smaller of X'X and XX'.

    Parameters
    ----------
    design
        Standardised X.
    y
        Standardised features of the same rows.
    lambdas
        Strengths to choose from; None: 25 from 1e-3 to 1e2 times the mean eigenvalue, wide enough on any scale.
    """
    n, cross = design.n, design.cross(y)
    every = np.arange(design.p)
    if design.p <= n:
        eigenvalues, vectors = np.linalg.eigh(design.gram(every))
    else:
        x = design.columns(every)
        eigenvalues, left = np.linalg.eigh(x @ x.T / n)
        vectors = x.T @ (left / np.sqrt(n * np.maximum(eigenvalues, 1e-12 * eigenvalues[-1])))
    kept = eigenvalues > 1e-10 * eigenvalues[-1]
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    rotated = vectors.T @ cross
    power = np.sum(rotated**2, axis=1)
    total = float(np.sum(y**2)) / n
    grid = np.geomspace(1e-3, 1e2, 25) * eigenvalues.sum() / n if lambdas is None else np.asarray(lambdas)
    scores = []
    for lam in grid:
        shrunk = 1 / (eigenvalues + lam)
        residual = total - float(np.sum(power * shrunk * (2 - eigenvalues * shrunk)))
        freedom = 1 + float(np.sum(eigenvalues * shrunk))
        scores.append(residual / max(1 - freedom / n, 1e-6) ** 2)
    lam = float(grid[int(np.argmin(scores))])
    return Ridge(vectors @ (rotated / (eigenvalues + lam)[:, None]), lam)
