"""Errors of predicted perturbations that predicting the mean does not make small (Mejia et al. 2025)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash.metrics._profiles import Comparison, Floats, Profiles, by_group, compared

FEWEST = 4  # cells of a perturbation: two for each half


@guarded
def calibrated_scores(
    predicted: Profiles,
    observed: Profiles,
    *,
    perturbation_key: str = "perturbation",
    control: str = "control",
    separator: str = "+",
    layer: str | None = None,
    rng: RNG = 0,
) -> pd.DataFrame:
    r"""Score predicted perturbations by weighted errors, between predicting the mean (0) and a replicate (1).

    The plain mean squared error rewards predicting the mean of all perturbations, because most genes do not respond.
    Here genes count by how clearly the perturbation changes them,

    .. math:: \mathrm{WMSE}_p = \sum_j w_{pj} (\hat x_{pj} - x_{pj})^2, \qquad
              w_{pj} \propto \Big(\frac{|t_{pj}| - \min_j |t_{pj}|}{\max_j |t_{pj}| - \min_j |t_{pj}|}\Big)^2,
              \quad \sum_j w_{pj} = 1

    with Welch's t of the cells of p against those of all other perturbations (Mejia et al. 2025, arXiv:2506.22641). The
    observed profile x is the mean of one half of the cells of p. The error is calibrated between that of the mean of all
    perturbations and that of the other half of the cells of p,

    .. math:: c_p = \frac{\mathrm{WMSE}_p(\text{mean}) - \mathrm{WMSE}_p}
                         {\mathrm{WMSE}_p(\text{mean}) - \mathrm{WMSE}_p(\text{other half})}.

    :math:`R^2` of the changes from the mean of all perturbations, with the same weights, calibrates to the same number, as
    both share their denominator. A prediction of the true mean has no noise of its own, unlike the other half: it comes out
    above 1.

    Parameters
    ----------
    predicted
        AnnData (labels in `obs[perturbation_key]`) or DataFrame (labels as index, genes as columns): one row per
        perturbation, such as `scdash.tl.predict_perturbations` returns, or one per predicted cell, of which the mean counts.
    observed
        The same of observed cells of all perturbations of the screen and of the control, in the units of the prediction.
    perturbation_key
        `obs` column of labels, for AnnData.
    control
        Label of the control in `observed`; its cells take no part in these scores.
    separator
        Between the genes of a combined perturbation. Genes that a label names are left out for that perturbation, because
        a prediction is told what happens to them.
    layer
        Layer of `observed`; None: `X`. Predictions are read from `X`.
    rng
        Seed or numpy Generator of the halves.

    Returns
    -------
    DataFrame
        One row per predicted perturbation: `weighted_mse` (squared units of the data), `weighted_r2`, `mean_mse` and
        `replicate_mse` (those of the two references) and `calibrated`, which is NaN where the other half does not predict better
        than the mean, so that nothing reproducible is left to be predicted. All are NaN for perturbations with fewer than 4 cells.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the two share no perturbation or fewer than two genes, values are not finite, or no perturbation has enough cells.

    See Also
    --------
    scdash.metrics.evaluate_perturbations : These scores beside those of cell-eval2.

    Examples
    --------
    >>> scdash.metrics.calibrated_scores(predicted, adata)["calibrated"].mean()  # doctest: +SKIP
    """
    found = compared(predicted, observed, perturbation_key, control, layer)
    return calibrated_table(found, separator, as_generator(rng))


def calibrated_table(comparison: Comparison, separator: str, rng: np.random.Generator) -> pd.DataFrame:
    """Return the table of `calibrated_scores`."""
    halves = _Halves.of(comparison, rng)
    mean = halves.mean_of_all
    rows = []
    for label in comparison.perturbations:
        at = halves.labels.index(label)
        if halves.count[at].sum() < FEWEST:
            rows.append([np.nan] * 5)
            continue
        told = comparison.targets(label, separator)
        weights = gene_weights(halves.welch_t(at), told)
        truth, other = halves.half_means(at)
        own = comparison.predicted.mean(label)
        errors = [float(weights @ (guess - truth) ** 2) for guess in (own, mean, other)]
        change = truth - mean
        spread = float(weights @ (change - weights @ change) ** 2)
        r2 = 1 - errors[0] / spread if spread > 0 else np.nan
        rows.append([errors[0], r2, errors[1], errors[2], calibrated(*errors)])
    columns = ["weighted_mse", "weighted_r2", "mean_mse", "replicate_mse", "calibrated"]
    return pd.DataFrame(
        rows, index=pd.Index(comparison.perturbations, name="perturbation"), columns=columns, dtype=float
    )


def calibrated(error: float, negative: float, positive: float) -> float:
    """Return where an error lies between a negative reference (0) and a positive one (1); NaN if that is no better."""
    return (negative - error) / (negative - positive) if positive < negative else float("nan")


def gene_weights(t: Floats, left_out: NDArray[np.int64]) -> Floats:
    """Return squared min-max scaled |t|, summing to 1; equal weights where all |t| are the same."""
    size = np.abs(t)
    counted = np.ones(len(size), bool)
    counted[left_out] = False
    low, high = size[counted].min(), size[counted].max()
    weights = np.where(counted, ((size - low) / (high - low)) ** 2 if high > low else 1.0, 0.0)
    found: Floats = weights / weights.sum()
    return found


@dataclass(frozen=True)
class _Halves:
    """Sums over two random halves of the cells of every perturbation; the control takes no part."""

    labels: list[str]
    count: NDArray[np.int64]  # (perturbations, 2) cells
    total: Floats  # (perturbations, 2, genes)
    square: Floats  # (perturbations, genes) sums of squares

    @classmethod
    def of(cls, comparison: Comparison, rng: np.random.Generator) -> "_Halves":
        observed, labels = comparison.observed, comparison.others
        if len(labels) < 2:
            raise ValueError(f"observed must hold at least two perturbations beside the control, found {labels}.")
        rows = np.flatnonzero(observed.labels != comparison.control)
        code = pd.Index(labels).get_indexer(pd.Index(observed.labels[rows])).astype(np.int64)
        order = rng.permutation(len(rows))
        order = order[np.argsort(code[order], kind="stable")]  # shuffled within perturbations
        rank = np.arange(len(rows)) - np.searchsorted(code[order], code[order])
        half = np.empty(len(rows), np.int64)
        half[order] = rank % 2
        values, k = observed.values[rows], len(labels)
        count = np.bincount(2 * code + half, minlength=2 * k).reshape(k, 2)
        if not (count.sum(axis=1) >= FEWEST).any():
            raise ValueError(
                f"observed must hold at least {FEWEST} cells of a perturbation, found at most {count.sum(axis=1).max()}: "
                "without replicates there is nothing to calibrate by."
            )
        total = by_group(values, 2 * code + half, 2 * k).reshape(k, 2, -1)
        return cls(labels, count, total, by_group(values, code, k, lambda x: x * x))

    @property
    def mean_of_all(self) -> Floats:
        """Return the mean of the means of all perturbations, (genes,)."""
        found: Floats = (self.total.sum(axis=1) / self.count.sum(axis=1)[:, None]).mean(axis=0)
        return found

    def half_means(self, at: int) -> tuple[Floats, Floats]:
        """Return the means of both halves of a perturbation."""
        means = self.total[at] / self.count[at][:, None]
        return means[0], means[1]

    def welch_t(self, at: int) -> Floats:
        """Return Welch's t of a perturbation's cells against those of all others; 0 where a gene never varies."""
        n = self.count.sum(axis=1)
        parts = []
        for which in (np.arange(len(n)) == at, np.arange(len(n)) != at):
            cells = n[which].sum()
            mean = self.total[which].sum(axis=(0, 1)) / cells
            variance = np.maximum(self.square[which].sum(axis=0) - cells * mean**2, 0) / max(cells - 1, 1)
            parts.append((mean, variance / cells))
        error = np.sqrt(parts[0][1] + parts[1][1])
        found: Floats = np.divide(parts[0][0] - parts[1][0], error, out=np.zeros_like(error), where=error > 0)
        return found
