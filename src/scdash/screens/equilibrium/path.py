"""One way to fit a screen: settings, hub-aware penalties, and the path of solutions they give."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scdash.screens.equilibrium.equations import Problem, build_problem, solve_problem
from scdash.screens.statistics import Floats, PerturbationStatistics

LAMBDAS: tuple[float, ...] = tuple(float(v) for v in np.geomspace(0.3, 0.005, 12))
MCP = 6.0  # concavity gamma; 3 and 6 did not differ on held-out perturbations


@dataclass(frozen=True)
class Settings:
    """One way to fit: weight of covariation within perturbations, sign constraint, hub-aware penalty, concavity of the MCP."""

    covariation: float = 0.1
    nonnegative: bool = False
    hubs: bool = False
    mcp: float | None = None
    lambdas: tuple[float, ...] = LAMBDAS


@dataclass(frozen=True)
class Penalties:
    """What a prior and the choice of regulators do to a fit; matrices are (regulator, target)."""

    factor: Floats | None = None  # of lambda, e.g. 1/20 for edges of the prior
    allowed: NDArray[np.bool_] | None = None  # edges that may exist
    odds: Floats | None = None  # prior odds of edges beside those of others, at least 1; count beside own perturbations


NO_PENALTIES = Penalties()


def to_equations(standardised: Floats, problem: Problem) -> tuple[Floats, Floats]:
    """Return weights (regulator, target) in the units of the states, and the constants of all genes."""
    target, source = np.nonzero(standardised.T)  # few: everything else stays zero
    weights: Floats = np.zeros(standardised.shape[::-1]).T
    finite = np.isfinite(problem.scale_f[source]) & np.isfinite(problem.scale_y[target])
    target, source = target[finite], source[finite]
    values = standardised[source, target] * (problem.scale_y[target] / problem.scale_f[source])
    weights[source, target] = values
    return weights, problem.constants_of(source, target, values)


def hub_penalty(score: Floats) -> Floats:
    """Return factors of lambda (p, targets) from how many targets each regulator has: log-odds of an edge.

    A penalty on an edge is minus its prior log-odds. With pi_j the rate at which regulator j has targets, shrunken
    towards the overall rate pi_0 by one pseudo-target, the factor is log((1 - pi_j)/pi_j) / log((1 - pi_0)/pi_0).
    The number of regulators of a target is counted as the participation number of its scores.
    """
    size = np.abs(score).astype(np.float64)
    total = size.sum(axis=0)
    share = size / np.where(total > 0, total, 1.0)
    number = np.where(total > 0, 1 / np.where(total > 0, (share**2).sum(axis=0), 1.0), 0.0)
    degree = (share * number).sum(axis=1)
    p = size.shape[1]  # genes, also those that cannot regulate
    overall = min(max(degree.sum() / (p * max(p - 1, 1)), 1 / (p * p)), 0.4)
    rate = np.minimum((degree + 1) / (p - 1 + 1 / overall), 0.45)
    factor = np.log((1 - rate) / rate) / np.log((1 - overall) / overall)
    return np.broadcast_to(factor[:, None], size.shape)


def hub_factors(problem: Problem, settings: Settings, given: Penalties) -> Floats | None:
    """Return the factors of lambda: the given ones, times those of hubs found by a first path without them."""
    if not settings.hubs:
        return given.factor
    coarse = settings.lambdas[::2]
    first = solve_problem(
        problem, coarse, nonnegative=settings.nonnegative, penalty=given.factor, allowed=given.allowed
    )
    return hub_penalty(first.sum(axis=0)) * (1 if given.factor is None else given.factor)


def solve(
    stats: PerturbationStatistics, used: NDArray[np.bool_], settings: Settings, given: Penalties = NO_PENALTIES
) -> tuple[Problem, Floats]:
    """Return the Gram form over the `used` perturbations and the standardised path (lambdas, regulator, target)."""
    problem = build_problem(stats, used, settings.covariation)
    return problem, solved(problem, settings, given)


def solved(problem: Problem, settings: Settings, given: Penalties = NO_PENALTIES) -> Floats:
    """Return the standardised path (lambdas, regulator, target) of regressions that were built with the same weight of covariation."""
    return solve_problem(
        problem,
        settings.lambdas,
        nonnegative=settings.nonnegative,
        penalty=hub_factors(problem, settings, given),
        allowed=given.allowed,
        mcp=settings.mcp,
    )


def ranking_path(
    stats: PerturbationStatistics,
    used: NDArray[np.bool_],
    problem: Problem,
    path: Floats,
    settings: Settings,
    given: Penalties,
    *,
    believed: bool,
) -> Floats:
    """Return the path that ranks edges: `path`, or where that is not believed, one of the sources that were perturbed alone.

    A gene that nobody perturbed and that moves with a perturbed one would take its edges, and nothing supports that: edges of
    such genes have no score where the path is not believed.
    """
    tested = np.asarray(stats.own[stats.measured(used)].any(axis=0))
    if believed or tested.all():
        return path
    allowed = np.repeat(tested[:, None], len(stats.centre), axis=1)
    return solved(
        problem, settings, replace(given, allowed=allowed if given.allowed is None else allowed & given.allowed)
    )


def until(settings: Settings, lam: float) -> Settings:
    """Return the settings with the lambdas down to one of them."""
    return replace(settings, lambdas=settings.lambdas[: settings.lambdas.index(lam) + 1])


class FoldProblems:
    """The regressions without each fold, for one weight of covariation at a time: those of the last one are kept."""

    def __init__(self, stats: PerturbationStatistics) -> None:
        self.stats = stats
        self._covariation: float | None = None
        self._problems: list[Problem] = []

    def of(self, covariation: float) -> list[Problem]:
        """Return the regressions (folds,)."""
        if covariation != self._covariation:
            self._problems = []  # let go of the others before these take memory
            folds = range(int(self.stats.fold.max()) + 1)
            self._problems = [build_problem(self.stats, self.stats.fold != k, covariation) for k in folds]
            self._covariation = covariation
        return self._problems
