"""NO-TEARS and its low-rank form on the second moments of a screen, and sampling from a linear causal model."""

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize
from scipy.sparse import csgraph

from scdash._core.logging import progress_bar
from scdash.screens.statistics import Floats, PerturbationStatistics

Bounds: TypeAlias = list[tuple[float, float | None]]
PENALTIES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002)  # of standardised genes, to choose among
WITHOUT_CHOICE = 0.05  # where there are too few perturbations to hold some out
RANKS = (5, 10, 20, 40)  # of `notears_low_rank`, to choose among
RIDGE = 0.01  # of `notears_low_rank`
S = TypeVar("S", int, float)


def acyclicity(weights: Floats) -> tuple[float, Floats]:
    """Return h(W) = tr exp(W o W) - d, zero exactly for acyclic W, and its gradient (Zheng et al. 2018, Eq. 4)."""
    e = linalg.expm(weights * weights)
    return float(np.trace(e) - len(weights)), e.T * weights * 2


def standardised_sd(stats: PerturbationStatistics) -> Floats:
    """Return the SD of every gene over all cells of a screen with linear features: the unit of `screen_moments`."""
    if stats.slope is not None:
        raise ValueError("NO-TEARS needs linear statistics, perturbation_statistics(..., slope=None).")
    n = stats.counts[:, None]
    y = stats.y - (n * stats.y).sum(axis=0) / n.sum()
    variance = np.diagonal(stats.ff.sum(axis=0)) + (n * y**2).sum(axis=0)
    sd: Floats = np.sqrt(np.maximum(variance / float(n.sum()), 1e-12))
    return sd


def screen_moments(stats: PerturbationStatistics, used: NDArray[np.bool_] | None = None) -> tuple[Floats, Floats]:
    """Return the correlation-like second moments (p, p) of y and (p, targets) without the perturbations that cut a target.

    Needs linear features. Cells count equally, within and between perturbations. `used` (folds + 1,) says which folds take
    part, the last being what is never held out; None: all.
    """
    folds = np.ones(len(stats.ff), bool) if used is None else used
    sd = standardised_sd(stats)
    n = (stats.counts * folds[stats.fold])[:, None]  # fold -1 is the last one
    mean = (n * stats.y).sum(axis=0) / n.sum()
    y = stats.y - mean
    total = stats.ff[folds].sum(axis=0) + (n * y).T @ y
    kept = n * stats.free
    centre = (kept * y).sum(axis=0) / np.maximum(kept.sum(axis=0), 1)
    own = np.where(stats.free, y - centre, 0)
    cross = stats.fy[folds].sum(axis=0) + (n * y).T @ own
    cells = float(n.sum())
    gram = total / cells / np.outer(sd, sd)
    return gram, cross / np.maximum(stats.untouched[folds].sum(axis=0), 1) / np.outer(sd, sd)


def choose_penalty(stats: PerturbationStatistics) -> float:
    """Return the penalty of `notears` whose network predicts the perturbations of one fold best from those of the others."""
    return _best_on_a_fold(stats, PENALTIES, WITHOUT_CHOICE, lambda gram, cross, lam: notears(gram, cross, lam=lam))


def choose_rank(stats: PerturbationStatistics, ridge: float = RIDGE, seed: int = 0) -> int:
    """Return the rank of `notears_low_rank`, chosen in the same way among ranks below the number of genes."""

    def fitted(gram: Floats, cross: Floats, rank: int) -> Floats:
        return notears_low_rank(gram, cross, rank=rank, ridge=ridge, rng=np.random.default_rng(seed))

    known = [rank for rank in RANKS if rank < len(stats.centre)] or [1]
    return _best_on_a_fold(stats, known, known[min(1, len(known) - 1)], fitted)


def _best_on_a_fold(
    stats: PerturbationStatistics, settings: Sequence[S], without: S, fitted: Callable[[Floats, Floats, S], Floats]
) -> S:
    """Return the setting whose network has the smallest error on one fold of perturbations; `without` where there is one fold."""
    held = np.arange(len(stats.ff)) == 0
    if len(stats.ff) < 3:  # one fold, and what is never held out
        return without
    learned, (gram, cross) = screen_moments(stats, ~held), screen_moments(stats, held)
    known = stats.untouched[0] > 0  # targets whose own equation some cells of the fold obey
    errors = [_quadratic(fitted(*learned, one)[:, known], gram, cross[:, known])[0] for one in settings]
    return settings[int(np.argmin(errors))]


def notears(
    gram: Floats, cross: Floats, *, lam: float = 0.05, rounds: int = 8, most: int = 60, tolerance: float = 1e-6
) -> Floats:
    """Minimise 1/2 tr(W'GW) - tr(W'C) + lam |W|_1 subject to h(W) = 0 by augmented Lagrangian and L-BFGS-B.

    `gram` G (p, p) and `cross` C (p, targets) are second moments of standardised genes; W is (regulator, target).
    The L1 term is smooth in W = W+ - W-, both >= 0. `most` bounds the L-BFGS steps of each of the `rounds`.
    """
    d = len(gram)
    none: tuple[float, float | None] = (0.0, 0.0)
    free: tuple[float, float | None] = (0.0, None)
    bounds: Bounds = [none if i % (d + 1) == 0 else free for i in range(d * d)] * 2

    def objective(parts: Floats, rho: float, dual: float) -> tuple[float, Floats]:
        w = (parts[: d * d] - parts[d * d :]).reshape(d, d)
        loss, slope = _quadratic(w, gram, cross)
        h, h_slope = acyclicity(w)
        slope = slope + (rho * h + dual) * h_slope
        value = loss + 0.5 * rho * h * h + dual * h + lam * parts.sum()
        return value, np.concatenate([slope.ravel() + lam, lam - slope.ravel()])

    parts = _augmented(
        objective, np.zeros(2 * d * d), lambda p: acyclicity(_signed(p, d))[0], bounds, rounds, most, tolerance
    )
    return _signed(parts, d)


def notears_low_rank(
    gram: Floats,
    cross: Floats,
    *,
    rank: int = 10,
    ridge: float = RIDGE,
    rounds: int = 8,
    most: int = 100,
    tolerance: float = 1e-6,
    rng: np.random.Generator | None = None,
) -> Floats:
    """NO-TEARS with W = U V', U and V (genes, rank), and a squared penalty on both (Fang et al. 2023)."""
    d = len(gram)
    generator = np.random.default_rng(0) if rng is None else rng
    off = 1.0 - np.eye(d)

    def product(parts: Floats) -> Floats:
        u, v = parts.reshape(2, d, rank)
        w: Floats = (u @ v.T) * off
        return w

    def objective(parts: Floats, rho: float, dual: float) -> tuple[float, Floats]:
        u, v = parts.reshape(2, d, rank)
        w = product(parts)
        loss, slope = _quadratic(w, gram, cross)
        h, h_slope = acyclicity(w)
        slope = (slope + (rho * h + dual) * h_slope) * off
        value = loss + 0.5 * rho * h * h + dual * h + 0.5 * ridge * float(parts @ parts)
        return value, np.concatenate([(slope @ v).ravel(), (slope.T @ u).ravel()]) + ridge * parts

    start = generator.normal(0, 0.1, 2 * d * rank)
    parts = _augmented(objective, start, lambda p: acyclicity(product(p))[0], None, rounds, most, tolerance)
    return product(parts)


def _signed(parts: Floats, d: int) -> Floats:
    w: Floats = (parts[: d * d] - parts[d * d :]).reshape(d, d)
    return w


def _quadratic(w: Floats, gram: Floats, cross: Floats) -> tuple[float, Floats]:
    product = gram @ w
    return float((0.5 * product * w - cross * w).sum()), product - cross


def _augmented(
    objective: Callable[[Floats, float, float], tuple[float, Floats]],
    start: Floats,
    constraint: Callable[[Floats], float],
    bounds: Bounds | None,
    rounds: int,
    most: int,
    tolerance: float,
) -> Floats:
    parts, rho, dual, before = start, 1.0, 0.0, np.inf
    with progress_bar(rounds, "acyclic network") as bar:
        for _ in range(rounds):
            found = optimize.minimize(
                objective,
                parts,
                args=(rho, dual),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": most},
            )
            bar.update()
            parts = found.x
            h = constraint(parts)
            if h < tolerance:
                break
            dual += rho * h
            rho *= 10.0 if h > 0.25 * before else 1.0
            before = h
    return parts


def to_acyclic(weights: Floats) -> Floats:
    """Return W without its weakest edges: the smallest threshold that leaves no cycle (by bisection over |W|)."""
    levels = np.concatenate([[0.0], np.unique(np.abs(weights[weights != 0]))])
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        if _is_acyclic(np.abs(weights) > levels[middle]):
            high = middle
        else:
            low = middle + 1
    return np.where(np.abs(weights) > levels[high], weights, 0.0)


def _is_acyclic(edges: NDArray[np.bool_]) -> bool:
    parts, _ = csgraph.connected_components(edges, directed=True, connection="strong")
    return bool(parts == len(edges) and not edges.diagonal().any())


def sample_linear_scm(
    weights: Floats,
    mean: Floats,
    sd: Floats,
    targets: NDArray[np.bool_],
    values: Floats,
    n: int,
    *,
    rng: np.random.Generator,
) -> Floats:
    """Draw `n` cells (n, genes) of an acyclic linear causal model under one intervention.

    x_t = mean_t + sum_j W_jt (x_j - mean_j) + sd_t noise, drawn as one solve with I - W. `targets` (genes,) are set to
    `values` with their noise (Lin et al., appendix A.4).
    """
    noise = rng.standard_normal((n, len(mean))) * sd
    w = np.where(targets[None, :], 0.0, weights)
    add = np.where(targets, values - mean, 0.0)
    drawn: Floats = mean + np.linalg.solve((np.eye(len(mean)) - w).T, (noise + add).T).T
    return drawn
