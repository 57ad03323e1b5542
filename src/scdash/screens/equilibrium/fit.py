"""Fit of a screen by regression: settings by held-out perturbations, hub-aware penalties, edges ranked over the path."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from scdash._core.logging import expect, progress_bar
from scdash.screens.equilibrium.equations import COVARIATIONS, solve_problem
from scdash.screens.equilibrium.path import (
    LAMBDAS,
    MCP,
    NO_PENALTIES,
    FoldProblems,
    Penalties,
    Settings,
    hub_factors,
    ranking_path,
    solve,
    solved,
    to_equations,
    until,
)
from scdash.screens.equilibrium.steady_states import Equilibrium
from scdash.screens.evidence import Evidence
from scdash.screens.forward import NEGLIGIBLE, Forward, errors_of, forward
from scdash.screens.held_out import mean_of_others
from scdash.screens.network import finished
from scdash.screens.statistics import Floats, PerturbationStatistics
from scdash.screens.work import CHOOSING, NETWORK, VALIDATING, regression_work

TIE = 1e-9  # relative difference of errors that rounding makes
RISE = 1.01  # factor by which the error of an empty network must be exceeded before its path is left


@dataclass(frozen=True)
class EquilibriumFit:
    """A fitted network and how its settings were chosen; matrices are (source, gene), see `PerturbationStatistics.sources`."""

    model: Equilibrium
    settings: Settings
    lam: float
    score: Floats  # (regulator, target), signed; see `scdash.screens.evidence.ranking_score`
    frequency: Floats  # (regulator, target), fraction of the path on which the edge is present
    evidence: Evidence
    believed: bool  # whether the network of the path predicts held-out perturbations; see `scdash.screens.forward`
    explained: float  # R2 of held-out perturbations over the mean of the others, as far as the path is believed
    held_out: Forward | None  # None where there are too few perturbations to hold any out
    cv: pd.DataFrame = field(repr=False)  # held-out error of every setting and lambda


def held_out_errors(
    stats: PerturbationStatistics,
    settings: Settings,
    given: Penalties = NO_PENALTIES,
    *,
    block: int = 3,
    problems: FoldProblems | None = None,
) -> tuple[Floats, float]:
    """Return, per lambda, squared errors of the equations in perturbations not fitted, and those of the mean of the others.

    Errors are in within-perturbation SDs and over genes that are no targets. The path is followed `block` lambdas at a time
    and left once the error rises (dense ends of a path cost most and matter least), so fewer errors may come back.
    `problems` are the regressions without each fold, where they are at hand.
    """
    sd = np.where(stats.within_sd > 0, stats.within_sd, np.inf)
    of_folds = (FoldProblems(stats) if problems is None else problems).of(settings.covariation)
    factors = [hub_factors(problem, settings, given) for problem in of_folds]
    empty = [p.empty_from(f, nonnegative=settings.nonnegative) for p, f in zip(of_folds, factors, strict=True)]
    starts: list[Floats | None] = [None for _ in of_folds]
    errors: list[float] = []
    block = len(settings.lambdas) if settings.mcp else block  # the path of the MCP follows lassos: no warm start
    for first in range(0, len(settings.lambdas), block):
        levels = settings.lambdas[first : first + block]
        found = np.zeros(len(levels))
        for k, problem in enumerate(of_folds):
            path = solve_problem(
                problem,
                levels,
                nonnegative=settings.nonnegative,
                penalty=factors[k],
                allowed=given.allowed,
                mcp=settings.mcp,
                start=starts[k],
                empty_from=empty[k],
            )
            starts[k] = path[-1]
            out = np.flatnonzero(stats.fold == k)
            for i, coefficients in enumerate(path):
                weights, constant = to_equations(coefficients, problem)
                residual = (constant + stats.f[out] @ weights - stats.y[out]) / sd * stats.free[out]
                found[i] += float((residual**2).sum())
        errors.extend(found)
        if has_risen(errors):
            break
    return np.array(errors), _reference_error(stats, sd)


def has_risen(errors: Sequence[float]) -> bool:
    """Return whether the last error of a path is above the lowest.

    A tie is no rise: the networks of large penalties are all empty and have the same error, and a path that was left
    there would never reach an edge. While the first, empty networks are the best, the first few edges may raise the
    error a little, so that only a rise by more than `RISE` counts.
    """
    lowest = min(errors)
    still_empty = errors[0] <= lowest * (1 + TIE)
    return errors[-1] > lowest * (RISE if still_empty else 1 + TIE)


def _reference_error(stats: PerturbationStatistics, sd: Floats) -> float:
    total = 0.0
    for fold in range(int(stats.fold.max()) + 1):
        out = stats.fold == fold
        residual = (mean_of_others(stats, ~out) - stats.y[out]) / sd * stats.free[out]
        total += float((residual**2).sum())
    return total


def fit_equilibrium(
    stats: PerturbationStatistics,  # statistics of the screen; its folds are the perturbations held out together
    given: Penalties = NO_PENALTIES,
    *,
    covariations: Sequence[
        float
    ] = COVARIATIONS,  # weights of within-perturbation covariation beside the effects of perturbations
    signs: Sequence[bool] = (False, True),  # values of "all edges activate" to try
    refine: bool = True,  # whether hub-aware penalties and the MCP are tried
    progress: bool | None = None,  # show a bar of the settings tried; None: if it takes over two seconds
) -> EquilibriumFit:
    """Fit the network of a screen; every choice minimises the error of held-out perturbations.

    One coordinate after the other, always with the whole lambda path: weight of covariation (walking from the middle of the grid),
    sign (edges free or all activating), then hub-aware penalties and the concave MCP penalty (`refine`), unless the lasso
    explains less than 1 % of the error: then there is nothing to refine. The path that ranks edges ends where the held-out
    error has begun to rise. Last, whether the path is believed, and how much of regulators that no perturbation targeted
    (`scdash.screens.forward`).
    """
    levels = LAMBDAS
    if stats.fold.max() < 1:  # too few perturbations to hold any out: the default that held up elsewhere
        settings = Settings(0.1 if 0.1 in covariations else covariations[0], lambdas=levels)
        at = int(np.argmin(np.abs(np.log(np.asarray(levels) / 0.03))))
        return _final(stats, settings, at, _table({}, 1.0), given, settings, None)
    tried: dict[Settings, Floats] = {}
    problems = FoldProblems(stats)
    reference = [1.0]

    def error(settings: Settings) -> float:
        if settings not in tried:
            tried[settings], reference[0] = held_out_errors(stats, settings, given, problems=problems)
            bar.update()
        return float(tried[settings].min())

    number = len(covariations) + len(signs) + 2 * refine
    expect(regression_work(number))
    with progress_bar(number, CHOOSING, progress=progress) as bar:
        nonnegative = signs[0]
        covariation = _descend(sorted(covariations), lambda value: error(Settings(value, nonnegative, lambdas=levels)))
        nonnegative = min(signs, key=lambda sign: error(Settings(covariation, sign, lambdas=levels)))
        lasso = Settings(covariation, nonnegative, lambdas=levels)
        if refine and error(lasso) < (1 - NEGLIGIBLE) * reference[0]:
            error(replace(lasso, hubs=True))
            # What the MCP does not shrink needs no small lambda: its best one is never below the lasso's.
            shorter = levels[: int(tried[lasso].argmin()) + 1]
            for hubs in (False, True):
                error(replace(lasso, hubs=hubs, mcp=MCP, lambdas=shorter))
    chosen = min(tried, key=error)
    ranking = replace(chosen, mcp=None, lambdas=levels[: len(tried[replace(chosen, mcp=None, lambdas=levels)])])
    at = int(tried[chosen].argmin())
    expect(regression_work(0))  # fewer may have been tried than there might have been
    with progress_bar(1, VALIDATING, progress=False) as bar:  # seen as a part of the whole call alone, as is the next
        held_out = forward(stats, chosen, chosen.lambdas[at], given, problems=problems)
        bar.update()
    with progress_bar(1, NETWORK, progress=False) as bar:
        fit = _final(stats, chosen, at, _table(tried, reference[0]), given, ranking, held_out)
        bar.update()
    return fit


def _descend(values: Sequence[float], error: Callable[[float], float]) -> float:
    """Return the value of least error, walking from the middle of ordered values towards smaller errors."""
    at = len(values) // 2
    while True:
        near = [i for i in (at - 1, at, at + 1) if 0 <= i < len(values)]
        lowest = min(near, key=lambda i: error(values[i]))
        if lowest == at:
            return values[at]
        at = lowest


def _final(
    stats: PerturbationStatistics,
    settings: Settings,
    at: int,
    cv: pd.DataFrame,
    given: Penalties,
    ranking: Settings,
    held_out: Forward | None,
) -> EquilibriumFit:
    """Refit on all perturbations: the network at the chosen lambda, scores by the lasso's path (the MCP ranks no better)."""
    used = np.ones(stats.screen.n_perturbations, bool)
    problem, ranked = solve(stats, used, ranking, given)
    lam = settings.lambdas[at]
    if settings == ranking:
        end = ranked[at]
    else:
        end = solved(problem, until(settings, lam), given)[-1]
    believed = held_out is not None and held_out.believed
    found = finished(stats, used, problem, end, given, believed=believed)
    model = found.model if held_out is None else replace(found.model, untried=held_out.untried)
    explained = errors_of(held_out, stats).r2 if held_out is not None and believed else 0.0
    ranked = ranking_path(stats, used, problem, ranked, ranking, given, believed=believed)
    score, frequency = found.ranking(ranked, explained, given.odds)
    return EquilibriumFit(model, settings, lam, score, frequency, found.evidence, believed, explained, held_out, cv)


def _table(tried: dict[Settings, Floats], reference: float) -> pd.DataFrame:
    columns = ["covariation", "activating", "hubs", "mcp", "lam", "held_out_r2"]
    rows = [
        {
            "covariation": s.covariation,
            "activating": s.nonnegative,
            "hubs": s.hubs,
            "mcp": s.mcp or 0.0,
            "lam": lam,
            "held_out_r2": 1 - error / reference,
        }
        for s, errors in tried.items()
        for lam, error in zip(s.lambdas, errors, strict=False)
    ]
    return pd.DataFrame(rows, columns=columns)
