"""Matching for smoothed bins of cells: one rate, lag, trust in the prior and penalty for all genes, by whole rollouts."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import TimeSeries
from scdash.matching._activeset import Floats
from scdash.matching._fit import TransitionFit
from scdash.matching._hubs import relative_contribution
from scdash.matching._intervals import Trajectories, units
from scdash.matching._linear import spread
from scdash.matching._problems import Problem, Regression, Setup, half_of
from scdash.matching._select import fit_paths
from scdash.matching._settings import TransitionSettings
from scdash.matching._simulate import Field, integrate
from scdash.matching._stability import half_sample_fits


@dataclass(frozen=True)
class Candidate:
    """One setting and the field it leads to."""

    row: dict[str, Any]
    field: Field
    place: int  # on the path of penalties
    setup: Setup
    regression: Regression
    penalty: Floats


def fit_by_rollouts(
    data: Trajectories,
    series: TimeSeries,
    setups: list[Setup],
    settings: TransitionSettings,
    groups: NDArray[Any] | None,
    rng: np.random.Generator,
) -> TransitionFit:
    """Try lags, rates and penalties, then trust in the prior; on the best path take the sparsest within `tolerance`.

    Errors are of whole validation stretches predicted from the state before them: next-step errors of smoothed bins
    pick models that diverge later. Lag, rate and trust in the prior are those of the smallest error: at one penalty
    they hardly change the number of edges, which would choose among them by chance. The penalty is then the largest
    whose error is within `tolerance`.
    """
    began = time.perf_counter()
    unit = 1 / float(np.median(np.diff(data.times, axis=1)[data.real[:, 1:]]))
    weights = list(settings.prior_weights) if setups[0].in_prior is not None else [1.0]
    middle = weights.pop(len(weights) // 2)
    still = np.zeros(data.states.shape[2], bool)
    problem = Problem(data, data.real[:, 1:], None, still, data.states, np.ones((1, 1)))
    found: list[Candidate] = []
    for setup in setups:
        for rate in unit * np.asarray(settings.rates):
            regression = problem.regression(setup, rate, settings.slopes[0])
            found += _path(series, setup, regression, settings, rate, middle)
    best = min(found, key=lambda candidate: candidate.row["rollout_error"])
    for weight in weights:
        found += _path(series, best.setup, best.regression, settings, best.row["rate"], weight)
    chosen = _sparsest(found, settings.tolerance)
    table = pd.DataFrame([c.row for c in found])
    table["chosen"] = [c is chosen for c in found]
    table["seconds"] = time.perf_counter() - began
    return _result(data, chosen, settings, table, groups, rng)


def _sparsest(found: list[Candidate], tolerance: float) -> Candidate:
    """Return the candidate with the fewest edges on the path of the smallest error, within `tolerance` of it."""
    best = min(found, key=lambda candidate: candidate.row["rollout_error"])
    shared = ("lag", "rate", "prior_weight")
    path = [c for c in found if all(c.row[name] == best.row[name] for name in shared)]
    near = [c for c in path if c.row["rollout_error"] <= (1 + tolerance) * best.row["rollout_error"]]
    return min(near or [best], key=lambda c: (c.row["edges"], c.row["rollout_error"]))


def _path(
    series: TimeSeries, setup: Setup, regression: Regression, settings: TransitionSettings, rate: float, weight: float
) -> list[Candidate]:
    """Return a candidate for every penalty of one path."""
    penalty, n = setup.penalty(weight), setup.allowed.shape[1]
    lambdas = np.asarray(settings.lambdas)
    paths = fit_paths(
        [regression],
        setup.targets,
        lambdas,
        [penalty],
        setup.allowed,
        standardize=settings.standardize,
        mcp=settings.mcp,
        max_active=settings.max_active,
        stop=False,
    )
    found = []
    for place in range(len(paths.lambdas)):
        effects, intercept = paths.take(np.full(len(setup.targets), place), 0)
        field = Field(spread(effects, setup), intercept, np.full(n, rate), settings.slopes[0], None, None)
        row = {
            "stage": "rollout",
            "lag": setup.steps.lag,
            "rate": rate,
            "slope": settings.slopes[0],
            "prior_weight": weight,
            "lambda": float(lambdas[place]),
            "edges": int(field.effects.nnz),
            "rollout_error": rollout_error(series, field),
        }
        found.append(Candidate(row, field, place, setup, regression, penalty))
    return found


def rollout_error(series: TimeSeries, field: Field) -> float:
    """Return the mean squared error of whole validation stretches; infinite where a prediction leaves all bounds."""
    total, count = 0.0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in series.rollouts("validation"):
            predicted = integrate(field, series.states[rows[:1]].astype(np.float64), series.times[rows])[0, 1:]
            total += float(((predicted - series.states[rows[1:]]) ** 2).sum())
            count += predicted.size
    return total / count if count and np.isfinite(total) else float("inf")


def _result(
    data: Trajectories,
    chosen: Candidate,
    settings: TransitionSettings,
    table: pd.DataFrame,
    groups: NDArray[Any] | None,
    rng: np.random.Generator,
) -> TransitionFit:
    setup, n = chosen.setup, data.states.shape[2]
    frequency = stability = sp.csr_array((n, n))
    if settings.half_samples:
        unit, real = units(data, settings.folds, groups), data.real[:, 1:]
        samples = []
        for _ in range(settings.half_samples):
            seen = half_of(unit, real, rng)
            samples.append(seen[setup.steps.trajectory, setup.steps.first])
        back = np.arange(min(settings.stability_lambdas, len(settings.lambdas)) - 1, -1, -1)
        levels = np.asarray(settings.lambdas)[np.maximum(chosen.place - back, 0)]
        levels = np.repeat(levels[:, None], len(setup.targets), axis=1)
        used, share = half_sample_fits(
            chosen.regression,
            samples,
            setup.targets,
            levels,
            chosen.penalty,
            setup.allowed,
            standardize=settings.standardize,
        )
        frequency, stability = spread(used, setup), spread(share, setup)
    contribution = sp.csr_array(relative_contribution(chosen.field.effects.toarray()))
    return TransitionFit(
        effects=chosen.field.effects,
        bias=chosen.field.bias,
        rates=chosen.field.rates,
        constant=np.zeros(n, dtype=bool),
        products=None,
        product_effects=None,
        linear=chosen.field.effects,
        contribution=contribution,
        frequency=frequency,
        stability=stability,
        noise_variance=None,
        slope=settings.slopes[0],
        settings=settings,
        prior_weight=float(chosen.row["prior_weight"]),
        lambdas=np.full(n, chosen.row["lambda"]),
        table=table,
    )
