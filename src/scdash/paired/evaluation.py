"""Which cells are held out, whether a network fits the data, and what a fit is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import check_choice, check_least
from scdash._core.logging import logger
from scdash._data import as_dense
from scdash.paired.reading import Paired
from scdash.paired.reduced_rank import MAX_ROUNDS
from scdash.paired.result import BottleneckFit
from scdash.paired.standardize import Standardize
from scdash.resampling.folds import Fold

SEPARATED = 1.2  # smallest kept norm over the median of the others, below which the penalty hardly told genes apart


def multivariate_r2(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    r"""Return :math:`1 - \|Y - f(X)\|^2 / \|Y\|^2` (Eq. 3); both (cells, features), centred by the TRAINING means.

    Entries of `truth` that are NaN are left out.
    """
    known = ~np.isnan(truth)
    total = float(np.sum(truth[known] ** 2))
    return 1 - float(np.sum((truth - prediction)[known] ** 2)) / total if total > 0 else float("nan")


def feature_r2(truth: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.float64]:
    """Return R2 of every feature (Eq. 4), NaN for a feature that does not vary about the training mean."""
    residual = np.nansum((truth - prediction) ** 2, axis=0)
    total = np.nansum(np.asarray(truth, dtype=np.float64) ** 2, axis=0)
    return np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), np.nan)


def learned_something(scores: NDArray[Any]) -> bool:
    """Return whether the mean of cross-validated R2 lies above 0, by a one-sided t test over the folds.

    R2 = 0 is the training mean. Folds share training cells, so the test is somewhat too ready to say yes; the level of
    0.01 is strict for that reason.
    """
    from scipy import stats

    scores = np.asarray(scores, dtype=np.float64)
    scores = scores[np.isfinite(scores)]
    if len(scores) < 2:
        return bool(len(scores) and scores[0] > 0)
    if np.ptp(scores) == 0:
        return bool(scores[0] > 0)
    return bool(stats.ttest_1samp(scores, 0.0, alternative="greater").pvalue < 0.01)


@dataclass(frozen=True)
class Evaluation:
    """What a fit is worth on its training and test cells."""

    metrics: dict[str, float]
    per_feature: pd.DataFrame
    report: str


def held_out(cells: int, fraction: float, seed: int) -> Fold:
    """Return one fold with a random fraction of cells for test; none if `fraction` is 0."""
    if not 0 <= fraction < 1:
        raise ValueError(f"test_fraction must be at least 0 and below 1, found {fraction}.")
    number = round(fraction * cells)
    shuffled = np.random.default_rng([seed, 1]).permutation(cells)
    return Fold("0", np.sort(shuffled[number:]), np.sort(shuffled[:number]))


def check_sizes(
    data: Paired, n_latent: int, n_features: int, n_clusters: int, n_train: int, standardize: Standardize
) -> None:
    """Raise when the network does not fit the data."""
    check_choice("standardize", standardize, get_args(Standardize))
    check_least("n_latent", n_latent, 1)
    genes = len(data.genes)
    if not 1 <= n_features <= genes:
        raise ValueError(
            f"n_features must lie between 1 and the number of genes to choose from ({genes}), found {n_features}. "
            "Lower it, or widen mask_var."
        )
    if n_clusters > n_train:
        raise ValueError(
            f"n_clusters={n_clusters} is larger than the number of training cells ({n_train}). Pass a smaller "
            "n_clusters, or pretrain_epochs=0 with n_clusters=1 to do without pre-training."
        )


def evaluate_fit(fit: BottleneckFit, data: Paired, seconds: float = np.nan) -> Evaluation:
    """Return R2 of a fit on its training and test cells, and what they say in words."""
    x = data.matrix[:, fit.selected]
    predicted = fit.predict(as_dense(x)).features
    truth = fit.y_scale.apply(data.features_matrix)
    scores = {}
    for name, rows in (("train", fit.fold.train), ("test", fit.fold.test)):
        scores[f"{name}_r2"] = multivariate_r2(truth[rows], predicted[rows]) if len(rows) else np.nan
    per_feature = pd.DataFrame(
        {
            "feature": np.asarray(data.features, dtype=str),
            "train_r2": feature_r2(truth[fit.fold.train], predicted[fit.fold.train]),
            "test_r2": feature_r2(truth[fit.fold.test], predicted[fit.fold.test]),
        }
    )
    counts = {"n_train": float(len(fit.fold.train)), "n_test": float(len(fit.fold.test)), "seconds": seconds}
    report = f"R2 {scores['train_r2']:.3f} on {len(fit.fold.train)} training cells"
    if len(fit.fold.test):
        report += f", {scores['test_r2']:.3f} on {len(fit.fold.test)} held-out cells (0 is the training mean)."
        if scores["test_r2"] <= 0:
            report += " Nothing was learned that holds for new cells."
    else:
        report += "; no cells were held out: see scdash.tl.cross_validate_sbnn for what it is worth on new ones."
    return Evaluation({**scores, **counts, "epochs": float(fit.history["epoch"].max())}, per_feature, report)


def warn_if_hardly_separated(fit: BottleneckFit) -> None:
    """Warn where the genes that were kept hardly differ from the others in the size of their weights."""
    if fit.margin < SEPARATED:
        logger.warning(
            "    the penalty hardly told the genes apart: the smallest weights that were kept are %.2f times the median of "
            "the others, so that the start of training, and not the data, may have chosen the panel. Train as the defaults of "
            "scdash.BottleneckTraining do (unfrozen_epochs=None, lasso=None), or longer, and look at scdash.tl.stability",
            fit.margin,
        )


def warn_if_unsettled(settled: Sequence[bool]) -> None:
    """Warn once, however many sparse reduced-rank regressions of a call had not converged, and say what to do."""
    failed = len(settled) - sum(settled)
    if failed:
        logger.warning(
            "    %d of %d sparse reduced-rank regressions did not converge in %d rounds: their genes and scores may still "
            "change a little. Genes that follow each other make this common; pass alpha=0.5 (scdash.tl.srrr), or a lower rank "
            "or n_features",
            failed,
            len(settled),
            MAX_ROUNDS,
        )
