"""Cells that carry a guide and show no effect of it, found by a mixture model as Mixscape does."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from scdash._core.logging import logger
from scdash._data import Expression, as_dense
from scdash._data.screen import Screen

LEAST_CELLS = 20  # of a perturbation, and of the control, in which escaping cells are looked for
LEAST_GENES = 5  # differential genes that show a direction
LEAST_CHANGE = 0.25  # of a differential gene, in natural logarithms
LARGEST_P = 0.05  # of a differential gene, after Benjamini and Hochberg
ROUNDS, STEPS = 10, 100  # of choosing genes, and of expectation maximisation
MOST_NUMBERS = 100_000_000  # of control cells x genes held at once


def perturbed_probability(values: Expression, screen: Screen) -> NDArray[np.float64]:
    """Return for every cell the probability that its guide has had an effect, (cells,); NaN for cells without one.

    1 for all cells of a perturbation with fewer than 20 cells or five differential genes: nothing shows who escaped.
    """
    found = np.full(len(screen.cells), np.nan)
    control = np.flatnonzero(screen.cells == 0)
    if len(control) < LEAST_CELLS:
        raise ValueError(f"escapers: only {len(control)} control cells, at least {LEAST_CELLS} are needed.")
    most = max(LEAST_CELLS, MOST_NUMBERS // len(values.genes))
    if len(control) > most:
        control = control[np.linspace(0, len(control) - 1, most).astype(np.int64)]
    reference = as_dense(values.dense_rows(control), np.float64)
    silent = []
    for r in range(1, screen.n_perturbations):
        rows = np.flatnonzero(screen.cells == r)
        own = None
        if len(rows) >= LEAST_CELLS:
            own = _probability(as_dense(values.dense_rows(rows), np.float64), reference)
        if own is None:
            silent.append(screen.names[r])
        found[rows] = 1.0 if own is None else own
    if silent:
        logger.info(
            "    escaping cells are not looked for in %d of %d perturbations, with fewer than %d cells or %d differential "
            "genes: %s", len(silent), screen.n_perturbations - 1, LEAST_CELLS, LEAST_GENES, ", ".join(silent[:5]),
        )  # fmt: skip
    return found


def _probability(x: NDArray[np.float64], control: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the probability (cells,) that cells x of one perturbation are perturbed; None without differential genes.

    Genes and direction are those of the cells that are perturbed as far as is known, chosen anew until these stay the same.
    """
    perturbed = np.ones(len(x), bool)
    probability = None
    for _ in range(ROUNDS):
        genes = _differential(x[perturbed], control)
        if len(genes) < LEAST_GENES:
            break
        probability = mixture_probability(*_projections(x[:, genes], control[:, genes], perturbed))
        new = probability > 0.5
        if new.sum() < LEAST_GENES or (new == perturbed).all():
            break
        perturbed = new
    return probability


def _differential(x: NDArray[np.float64], control: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the genes whose means differ from the control's by Welch's test, corrected for their number."""
    from scipy.stats import false_discovery_control

    change = x.mean(axis=0) - control.mean(axis=0)
    error = np.sqrt(x.var(axis=0) / len(x) + control.var(axis=0) / len(control))
    z = np.divide(change, error, out=np.zeros_like(change), where=error > 0)
    return np.flatnonzero(
        (false_discovery_control(2 * norm.sf(np.abs(z))) < LARGEST_P) & (np.abs(change) > LEAST_CHANGE)
    )


def _projections(
    x: NDArray[np.float64], control: NDArray[np.float64], perturbed: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cells and control cells projected on the direction from the control's mean to that of the perturbed cells.

    A perturbed cell is projected on the direction of the others: its own noise would count for it.
    """
    middle, n = control.mean(axis=0), int(perturbed.sum())
    y, c = x - middle, control - middle
    mean = y[perturbed].mean(axis=0)
    length = float(mean @ mean)
    along = y @ mean
    without_self = (n * along - (y**2).sum(axis=1)) / max(n - 1, 1)
    return np.where(perturbed, without_self, along) / length, c @ mean / length


def mixture_probability(scores: NDArray[np.float64], control: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that each score is of the component that is not the control's.

    A mixture of two normal distributions, of which one has the mean and the standard deviation of the `control` scores
    and only the other, and the weights, are fitted (expectation maximisation).
    """
    fixed_mean, fixed_sd = float(control.mean()), max(float(control.std()), 1e-12)
    mean, sd, share = max(float(np.quantile(scores, 0.75)), fixed_mean), max(float(scores.std()), 1e-12), 0.5
    probability = np.full(len(scores), share)
    for _ in range(STEPS):
        ratio = (
            np.log(share) - np.log1p(-share) + norm.logpdf(scores, mean, sd) - norm.logpdf(scores, fixed_mean, fixed_sd)
        )
        new = 1 / (1 + np.exp(-np.clip(ratio, -500, 500)))
        done = np.abs(new - probability).max() < 1e-6
        probability = new
        total = max(float(probability.sum()), 1e-12)
        share = float(np.clip(probability.mean(), 1e-3, 1 - 1e-3))
        mean = float(probability @ scores) / total
        sd = max(float(np.sqrt(probability @ (scores - mean) ** 2 / total)), 0.1 * fixed_sd)
        if done:
            break
    probability[(scores > max(mean, fixed_mean))] = np.maximum(probability[scores > max(mean, fixed_mean)], 0.5 + 1e-9)
    return probability


def escaping(probability: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which cells are more likely not perturbed than perturbed; cells without a perturbation are not."""
    return np.asarray(probability <= 0.5)
