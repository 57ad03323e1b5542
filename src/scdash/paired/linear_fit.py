"""Linear fits on the training cells of a fold: sparse reduced-rank regression in the form of a network, and ridge on all genes."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash.paired.design import Design, Floats
from scdash.paired.group_elastic import Penalty
from scdash.paired.reduced_rank import ReducedRank, Regression
from scdash.paired.result import BottleneckFit
from scdash.paired.standardize import Scale, Standardize, learn_scale
from scdash.resampling.folds import Fold


def check_alpha(alpha: float, lam: float | None) -> None:
    """Raise unless alpha and lambda make a problem that can be solved."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 (ridge) and 1 (group lasso), found {alpha}.")
    if lam is not None and not lam > 0:
        raise ValueError(f"lam must be positive, found {lam}.")


def fit_linear(
    matrix: Any,
    y: NDArray[np.float64],
    fold: Fold,
    *,
    rank: int,
    lam: float | None,
    n_features: int,
    alpha: float = 1.0,
    relaxed: bool = True,
    standardize: Standardize = "train",
) -> tuple[ReducedRank, tuple[Scale, Scale]]:
    """Fit the training cells of one fold; missing features count as their training mean.

    Without `lam` it is chosen to select `n_features` genes, or, for `alpha=0`, which selects all, by generalised
    cross-validation as in `ridge`.
    """
    problem, targets, scales = regression_of(matrix, y, fold, standardize)
    if lam is None and alpha == 0:
        lam = ridge(problem.design, targets).lam
    if lam is None:
        return problem.fit_to_size(rank, n_features, alpha=alpha, relaxed=relaxed), scales
    return problem.fit(rank, Penalty(lam, alpha), relaxed=relaxed), scales


def regression_of(
    matrix: Any, y: NDArray[np.float64], fold: Fold, standardize: Standardize
) -> tuple[Regression, Floats, tuple[Scale, Scale]]:
    """Return the regression of the training cells of one fold, its standardised features, and the scales of genes and features."""
    x_scale, y_scale = learn_scale(matrix, fold, standardize), learn_scale(y, fold, standardize)
    targets = np.nan_to_num(y_scale.apply(y[fold.train]))
    return Regression(matrix, targets, x_scale, fold.train), targets, (x_scale, y_scale)


def as_network(found: ReducedRank, fold: Fold, x_scale: Scale, y_scale: Scale) -> BottleneckFit:
    """Return the regression as the network it is: one linear layer to the latent space, one from it."""
    selected = found.selected[np.argsort(-found.selected_norm[found.selected], kind="stable")]
    weights = {
        "encoder_0_weight": found.encoder[selected].astype(np.float32),
        "encoder_0_bias": np.zeros(found.encoder.shape[1], dtype=np.float32),
        "features_0_weight": found.decoder.T.astype(np.float32),
        "features_0_bias": np.zeros(len(found.decoder), dtype=np.float32),
    }
    rounds = np.arange(1, len(found.loss) + 1)
    history = pd.DataFrame({"model": fold.name, "epoch": rounds, "stage": "alternation", "train_loss": found.loss})
    history["train_r2"] = 1 - history["train_loss"]
    kept = Scale(x_scale.mean[selected], x_scale.scale[selected])
    return BottleneckFit(
        fold, selected, found.selected_norm.astype(np.float32), weights, kept, y_scale, history, found.settled
    )


class Ridge(NamedTuple):
    """Coefficients (genes, features) for standardised X and Y, and the strength chosen."""

    coefficients: Floats
    lam: float


def ridge(design: Design, y: Floats, lambdas: Floats | None = None) -> Ridge:
    r"""Minimise :math:`\frac{1}{2n}\|Y - XB\|^2 + \frac{\lambda}{2}\|B\|^2`; lambda by GCV (Golub et al. 1979).

    :math:`GCV(\lambda) = n \|Y - XB_\lambda\|^2 / (n - \mathrm{df}_\lambda)^2` with df the trace of the smoother, plus one
    for the mean. All from one eigendecomposition of the smaller of X'X and XX'.

    `design`: standardised X. `y`: standardised features of the same rows. `lambdas`: strengths to choose from; None:
    25 from 1e-3 to 1e2 times the mean eigenvalue, wide enough on any scale.
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
