"""One fit of sparse reduced-rank regression on the training cells of a fold, in the form of a network."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash.paired.group_elastic import Penalty
from scdash.paired.reduced_rank import ReducedRank, Regression
from scdash.paired.result import BottleneckFit
from scdash.paired.ridge import ridge
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
    x_scale, y_scale = learn_scale(matrix, fold, standardize), learn_scale(y, fold, standardize)
    targets = np.nan_to_num(y_scale.apply(y[fold.train]))
    problem = Regression(matrix, targets, x_scale, fold.train)
    if lam is None and alpha == 0:
        lam = ridge(problem.design, targets).lam
    if lam is None:
        return problem.fit_to_size(rank, n_features, alpha=alpha, relaxed=relaxed), (x_scale, y_scale)
    return problem.fit(rank, Penalty(lam, alpha), relaxed=relaxed), (x_scale, y_scale)


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
