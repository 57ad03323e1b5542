"""Rate, activation and weight of the prior, shared by all genes, by held-out error on a sample of genes."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from scdash._core.decisions import better_by_one_error, largest_within_one_error
from scdash._core.types import Floats, Index
from scdash.regression.penalty_choice import choose, fit_paths
from scdash.regression.problems import Problem, Setup

GENES = 60  # sampled for the search
LAMBDAS = 5  # penalties of the search
ACTIVE = 30  # regulators of a gene at most: wrong rates leave so much unexplained that everything would be used


def median_interval(problem: Problem) -> float:
    """Return the median time between observations."""
    gaps = np.diff(problem.data.times, axis=1)[problem.data.real[:, 1:]]
    return float(np.median(gaps))


def sample(targets: Index, rng: np.random.Generator) -> Index:
    """Return the genes that the shared settings are chosen on."""
    return targets if len(targets) <= GENES else np.sort(rng.choice(targets, GENES, replace=False))


def coarse(lambdas: Floats) -> Floats:
    """Return a few penalties, over the part of a path where errors are smallest."""
    upper = np.asarray(lambdas)[len(lambdas) // 8 : max(1, (7 * len(lambdas)) // 10)]
    few: Floats = upper[np.unique(np.linspace(0, len(upper) - 1, LAMBDAS).astype(int))]
    return few


def held_errors(
    problems: list[Problem], setup: Setup, genes: Index, rate: float, slope: float, penalties: Any
) -> Floats:
    """Return the folds' mean error of some genes at their best coarse penalties, (t,)."""
    regressions = [problem.regression(setup, rate, slope) for problem in problems]
    paths = fit_paths(
        regressions,
        genes,
        coarse(np.asarray(setup.settings.lambdas)),
        penalties,
        setup.allowed,
        standardize=setup.settings.standardize,
        max_active=ACTIVE,
        stop=False,
    )
    best = choose(paths.errors, setup.settings.sharing)
    result: Floats = paths.errors[:, best, np.arange(len(genes))].mean(axis=0)
    return result


def search(
    problems: list[Problem], setup: Setup, weight: float, rng: np.random.Generator, table: list[dict[str, Any]]
) -> tuple[float, float]:
    """Return the rate and the slope shared by all genes, by the folds' error on a sample of genes.

    The rate is refined between the grid's points by parabolas through log rate.
    """
    settings, genes = setup.settings, sample(setup.targets, rng)
    penalties = [setup.penalty(weight)] * len(problems)

    def error(rate: float, slope: float) -> float:
        began = time.perf_counter()
        value = float(held_errors(problems, setup, genes, rate, slope, penalties).mean())
        row = {"stage": "search", "rate": rate, "slope": slope, "prior_weight": weight, "cv_error": value}
        table.append(row | {"seconds": time.perf_counter() - began})
        return value

    unit, slope = 1 / median_interval(problems[0]), settings.slopes[0]
    rate = unit * minimise(lambda factor: error(unit * factor, slope), np.array(settings.rates))
    if len(settings.slopes) > 1:
        slope = min(settings.slopes, key=lambda value: error(rate, value))
    return rate, slope


def prior_weight(
    problems: list[Problem],
    setup: Setup,
    rate: float,
    slope: float,
    hubs: list[Floats],
    rng: np.random.Generator,
    table: list[dict[str, Any]],
) -> float:
    """Return the largest weight of the prior that is not worse than the best one by more than a standard error.

    It is 1, so that the prior is not used, where the best weight is not better than that by more than a standard error.
    Errors are of held-out transitions, as logarithms, of a sample of genes; the standard error is over these.
    """
    genes = sample(setup.targets, rng)
    tried: dict[float, Floats] = {}
    for weight in setup.settings.prior_weights:
        began = time.perf_counter()
        penalties = [setup.penalty(weight) * hub for hub in hubs]
        errors = held_errors(problems, setup, genes, rate, slope, penalties)
        if not np.isfinite(errors).all():
            raise ValueError(
                "Held-out errors of the regression are not finite: too few genes change in the training states to choose by. "
                "Look at the values, pass another layer, or use start='random'."
            )
        tried[weight] = np.log(np.maximum(errors, 1e-300))
        row = {"stage": "prior", "rate": rate, "slope": slope, "prior_weight": weight, "cv_error": float(errors.mean())}
        table.append(row | {"seconds": time.perf_counter() - began})
    if 1.0 in tried and not any(better_by_one_error(errors, tried[1.0]) for errors in tried.values()):
        return 1.0
    return largest_within_one_error(tried)


def minimise(function: Callable[[float], float], grid: Floats) -> float:
    """Return where a function of one positive number is smallest: downhill on a grid, then parabolas in its logarithm."""
    grid = np.sort(grid)
    at = len(grid) // 2
    tried: dict[float, float] = {}
    while True:
        around = range(max(at - 1, 0), min(at + 2, len(grid)))
        for k in (at, *around):
            if grid[k] not in tried:
                tried[float(grid[k])] = function(float(grid[k]))
        best = min(around, key=lambda k: tried[float(grid[k])])
        if best == at:
            break
        at = best
    for _ in range(2 if len(grid) > 2 else 0):
        points = sorted(tried)
        best = int(np.clip(np.argmin([tried[p] for p in points]), 1, len(points) - 2))
        near = np.log(points[best - 1 : best + 2])
        a, b, _ = np.polyfit(near, [tried[p] for p in points[best - 1 : best + 2]], 2)
        if a <= 0:
            break
        new = float(np.exp(np.clip(-b / (2 * a), near[0], near[2])))
        if min(abs(np.log(new / p)) for p in points) < 0.05:
            break
        tried[new] = function(new)
    return min(tried, key=lambda value: tried[value])
