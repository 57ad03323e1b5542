"""One way to fit a screen: settings, hub-aware penalties, and the path of solutions they give."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scdash.screens.equations import Problem, build_problem, solve_problem
from scdash.screens.statistics import Floats, RegimeStatistics

LAMBDAS: tuple[float, ...] = tuple(float(v) for v in np.geomspace(0.3, 0.005, 12))
MCP = 6.0  # concavity gamma; 3 and 6 did not differ on held-out regimes


@dataclass(frozen=True)
class Settings:
    """One way to fit: trust in within-regime covariation, sign constraint, hub-aware penalty, concavity of the MCP."""

    trust: float = 0.1
    nonnegative: bool = False
    hubs: bool = False
    mcp: float | None = None
    lambdas: tuple[float, ...] = LAMBDAS


def to_equations(standardised: Floats, problem: Problem) -> tuple[Floats, Floats]:
    """Return weights (regulator, target) in the units of the states, and the constants of all genes."""
    finite = np.isfinite(problem.scale_f)[:, None] & np.isfinite(problem.scale_y)
    ratio = np.where(np.isfinite(problem.scale_y), problem.scale_y, 0)[None, :] / problem.scale_f[:, None]
    weights: Floats = np.where(finite, standardised * ratio, 0.0)
    constant: Floats = problem.mean_y - np.einsum("tp,pt->t", problem.mean_f, weights)
    return weights, constant


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
    p = len(degree)
    overall = min(max(degree.sum() / (p * max(p - 1, 1)), 1 / (p * p)), 0.4)
    rate = np.minimum((degree + 1) / (p - 1 + 1 / overall), 0.45)
    factor = np.log((1 - rate) / rate) / np.log((1 - overall) / overall)
    return np.repeat(factor[:, None], size.shape[1], axis=1)


def hub_factors(
    problem: Problem, settings: Settings, penalty: Floats | None, allowed: NDArray[np.bool_] | None
) -> Floats | None:
    """Return the factors of lambda: the given ones, times those of hubs found by a first path without them."""
    if not settings.hubs:
        return penalty
    coarse = settings.lambdas[::2]
    first = solve_problem(problem, coarse, nonnegative=settings.nonnegative, penalty=penalty, allowed=allowed)
    return hub_penalty(first.sum(axis=0)) * (1 if penalty is None else penalty)


def solve(
    stats: RegimeStatistics,
    used: NDArray[np.bool_],
    settings: Settings,
    *,
    penalty: Floats | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[Problem, Floats]:
    """Return the Gram form over the `used` regimes and the standardised path (lambdas, regulator, target)."""
    problem = build_problem(stats, used, settings.trust)
    factors = hub_factors(problem, settings, penalty, allowed)
    path = solve_problem(
        problem,
        settings.lambdas,
        nonnegative=settings.nonnegative,
        penalty=factors,
        allowed=allowed,
        mcp=settings.mcp,
    )
    return problem, path
