"""What a user would run on a screen instead: ridge, lasso, differential expression, correlation, forest.

Every function returns scores (regulator, target) in standardised units, with a zero diagonal; larger means a more
believable edge, and the sign, where there is one, is that of the effect.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from scdash._core.logging import progress_bar
from scdash._core.random_streams import RNG, as_generator
from scdash._data.screen import Screen
from scdash.screens.equilibrium.fit import EquilibriumFit, fit_equilibrium
from scdash.screens.equilibrium.steady_states import Equilibrium
from scdash.screens.held_out import intervention_effects
from scdash.screens.statistics import Floats, PerturbationStatistics

FEW = 4  # genes for every removed row from which an update of low rank is faster than a solve


def masked_ridge(x: NDArray[Any], screen: Screen, *, alpha: float = 10.0) -> tuple[Floats, Equilibrium]:
    """Ridge regression of every gene on all others, over the cells of all perturbations that leave it alone.

    x (cells, genes) is dense. Returns the coefficients in SDs of the target per SD of the regulator, and the same
    model as linear equations y = c + W' y relative to the control mean, for predictions. All genes that are never perturbed
    share one inverse of the covariance: the coefficients on all others are its column over its diagonal, with a minus.
    """
    used = screen.cells >= 0
    values, perturbation = np.asarray(x[used], dtype=np.float64), screen.cells[used]
    control = values[perturbation == 0]
    centre = control.mean(axis=0) if len(control) else np.zeros(values.shape[1])  # changes from a control have none
    sd, middle = values.std(axis=0), values.mean(axis=0)
    values = values - middle
    gram = values.T @ values
    inverse = np.linalg.inv(gram + alpha * np.eye(len(gram)))  # of the gram of all cells, for every target
    weights, constant, spread = np.zeros_like(gram), np.zeros(len(gram)), np.ones(len(gram))
    for t in range(len(gram)):
        left_out = values[screen.targets[perturbation, t]]
        n = len(values) - len(left_out)
        if n < 3:
            continue
        total = left_out.sum(axis=0)
        column, variance = inverse[:, t], gram[t, t]
        if len(left_out):
            removed = np.vstack([left_out, total / np.sqrt(n)])
            column = _column_without(gram, inverse, removed, alpha, t)
            variance = variance - removed[:, t] @ removed[:, t]
        weights[:, t] = -column / column[t]  # the regression of one gene on all others, from the inverse of all
        weights[t, t] = 0
        mean = middle - centre - total / n
        constant[t] = mean[t] - mean @ weights[:, t]
        spread[t] = np.sqrt(max(variance / n, 1e-300))
    scores: Floats = weights * sd[:, None] / spread
    return scores, _linear(x, screen, weights, constant, centre)


def _column_without(gram: Floats, inverse: Floats, removed: Floats, alpha: float, t: int) -> Floats:
    """Return column t of (G - R' R + alpha)^-1 for the removed rows R; `inverse` is (G + alpha)^-1.

    Few rows change the inverse by a matrix of low rank (Woodbury), else the column is solved for.
    """
    if FEW * len(removed) > len(gram):
        one = np.zeros(len(gram))
        one[t] = 1
        left = gram - removed.T @ removed
        left[np.diag_indices_from(left)] += alpha
        column: Floats = linalg.solve(left, one, assume_a="pos", check_finite=False)
        return column
    through = inverse @ removed.T
    inner = np.eye(len(removed)) - removed @ through
    return np.asarray(inverse[:, t] + through @ np.linalg.solve(inner, through[t]))


def _linear(x: NDArray[Any], screen: Screen, weights: Floats, constant: Floats, centre: Floats) -> Equilibrium:
    means = np.zeros((screen.n_perturbations, len(centre)))
    for r in range(screen.n_perturbations):
        rows = screen.cells == r
        means[r] = x[rows].mean(axis=0) - centre if rows.any() else 0
    effect = _mean_where(means, screen.targets)
    return Equilibrium(weights, constant, effect, None)


def _mean_where(values: Floats, where: NDArray[np.bool_]) -> Floats:
    times = where.sum(axis=0)
    total = np.where(where, values, 0).sum(axis=0)
    mean: Floats = np.where(times > 0, total / np.maximum(times, 1), np.nan)
    return mean


def masked_lasso(
    stats: PerturbationStatistics, *, covariation: float = 0.1, nonnegative: bool = True
) -> EquilibriumFit:
    """The regression of equilibria with LINEAR features (`perturbation_statistics(slope=None)`), lambda by held-out perturbations."""
    if stats.slope is not None:
        raise ValueError(
            "masked_lasso: the statistics must have linear features, perturbation_statistics(..., slope=None)."
        )
    return fit_equilibrium(stats, covariations=(covariation,), signs=(nonnegative,), refine=False)


def differential_expression(stats: PerturbationStatistics) -> Floats:
    """Return the mean |z| of a gene's change from control over the perturbations that target the regulator."""
    variance = (stats.noise_sd**2)[None, :] * (1 / np.maximum(stats.counts, 1) + 1 / max(stats.counts[0], 1))[:, None]
    z = np.where(stats.free & (variance > 0), np.abs(stats.y) / np.sqrt(np.maximum(variance, 1e-300)), 0.0)
    targeted = stats.screen.targets.astype(float)
    seen = targeted.T @ stats.free
    return _no_self(np.where(seen > 0, (targeted.T @ z) / np.maximum(seen, 1), 0.0))


def correlation(x: NDArray[Any], screen: Screen) -> Floats:
    """Return Pearson's correlation over all cells of the screen; genes without variance get zero."""
    values = np.asarray(x[screen.cells >= 0], dtype=np.float64)
    values = values - values.mean(axis=0)
    gram = values.T @ values
    sd = np.sqrt(np.diag(gram))
    return _no_self(np.where(np.outer(sd, sd) > 0, gram / np.maximum(np.outer(sd, sd), 1e-300), 0.0))


def forest(
    x: NDArray[Any],
    screen: Screen,
    *,
    n_trees: int = 50,
    max_cells: int = 1000,
    rng: RNG = 0,
    n_jobs: int | None = None,
) -> Floats:
    """Importances of a random forest per gene (as GENIE3: sqrt of the regulators at a split), masked like the ridge.

    At most `max_cells` random cells are used for a gene. Scores have no sign.
    """
    from sklearn.ensemble import RandomForestRegressor

    generator = as_generator(rng)
    d = len(screen.genes)
    scores = np.zeros((d, d))
    with progress_bar(d, "forests of genes") as bar:
        for t in range(d):
            usable = np.flatnonzero((screen.cells >= 0) & ~screen.targets[screen.cells, t])
            rows = generator.permutation(usable)[:max_cells]
            y = np.asarray(x[rows, t], dtype=np.float64)
            bar.update()
            if len(rows) < 3 or y.std() == 0:
                continue
            others = np.delete(np.arange(d), t)
            model = RandomForestRegressor(
                n_trees, max_features="sqrt", random_state=int(generator.integers(2**31)), n_jobs=n_jobs
            )
            model.fit(np.asarray(x[rows])[:, others], (y - y.mean()) / y.std())
            scores[others, t] = model.feature_importances_
    return scores


def linear_effects(stats: PerturbationStatistics, weights: Floats) -> Equilibrium:
    """Return linear equations y = c + W' y with the constants and intervention effects that fit the screen best."""
    residual = stats.y - stats.y @ weights
    constant = np.nan_to_num(_mean_where(residual, stats.free))
    return Equilibrium(weights, constant, intervention_effects(stats, stats.counts > 0, weights, constant), None)


def noise_sd(stats: PerturbationStatistics, weights: Floats) -> Floats:
    """Return the SD of what linear equations leave of a gene within perturbations, (genes,); needs linear features."""
    untouched = np.maximum(stats.untouched.sum(axis=0), 1)
    ff = stats.ff.sum(axis=0) / stats.counts.sum()
    fy, yy = stats.fy.sum(axis=0) / untouched, stats.yy.sum(axis=0) / untouched
    variance = yy - 2 * (weights * fy).sum(axis=0) + (weights * (ff @ weights)).sum(axis=0)
    sd: Floats = np.sqrt(np.maximum(variance, 0))
    return sd


def _no_self(scores: Floats) -> Floats:
    np.fill_diagonal(scores, 0.0)
    return scores
