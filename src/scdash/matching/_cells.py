"""Matching for smoothed bins of cells: one rate, lag, trust in the prior and penalty for all genes, by whole rollouts."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import TimeSeries
from scdash.matching._fit import TransitionFit
from scdash.matching._hubs import relative_contribution
from scdash.matching._intervals import Trajectories, units
from scdash.matching._judging import Rollout, held_error, judging_folds, pooled
from scdash.matching._linear import spread
from scdash.matching._problems import Problem, Setup, half_of
from scdash.matching._select import fit_paths
from scdash.matching._settings import TransitionSettings
from scdash.matching._simulate import Field, integrate
from scdash.matching._stability import half_sample_fits

MakeSetup: TypeAlias = Callable[[Trajectories, int], Setup]


@dataclass(frozen=True)
class Fold:
    """What is learned from and what judges in one choice: the problem, and the setups (one for every lag)."""

    series: TimeSeries
    problem: Problem
    setups: dict[int, Setup]

    @classmethod
    def of(cls, series: TimeSeries, make: MakeSetup, settings: TransitionSettings) -> Self:
        """Return the fold of a series, whose training states are fitted and whose validation stretches judge."""
        data = Trajectories.from_series(series, ("train",))
        lags = [lag for lag in settings.lags if lag < data.length.max()]
        still = np.zeros(data.states.shape[2], bool)
        problem = Problem(data, data.real[:, 1:], None, still, data.states, np.ones((1, 1)))
        return cls(series, problem, {lag: make(data, lag) for lag in lags})


def fit_by_rollouts(
    series: TimeSeries,
    make: MakeSetup,
    settings: TransitionSettings,
    groups: NDArray[Any] | None,
    rng: np.random.Generator,
) -> TransitionFit:
    """Try lags, rates and penalties, then trust in the prior; take the sparsest within `tolerance` of the best error.

    Errors are of whole held-out stretches predicted from the state before them: next-step errors of smoothed bins
    pick models that diverge later. Held out are all trajectories in turn but those for test (`judging_folds`); what is
    chosen is then fitted to the training states.
    """
    began = time.perf_counter()
    whole = Fold.of(series, make, settings)
    folds = [whole if part is series else Fold.of(part, make, settings) for part in judging_folds(series)]
    data = whole.problem.data
    unit = 1 / float(np.median(np.diff(data.times, axis=1)[data.real[:, 1:]]))
    weights = list(settings.prior_weights) if next(iter(whole.setups.values())).in_prior is not None else [1.0]
    middle = weights.pop(len(weights) // 2)
    common = [lag for lag in whole.setups if all(lag in fold.setups for fold in folds)]
    rows: list[dict[str, Any]] = []
    for lag in common:
        for rate in unit * np.asarray(settings.rates):
            rows += _judge(whole, folds, settings, lag, rate, middle)
    best = min(rows, key=lambda row: row["rollout_error"])
    for weight in weights:
        rows += _judge(whole, folds, settings, best["lag"], best["rate"], weight)
    table = pd.DataFrame(rows)
    chosen = _sparsest(table, settings.tolerance)
    table["chosen"] = table.index == chosen
    table["seconds"] = time.perf_counter() - began
    return _result(whole, table.loc[chosen], settings, table, groups, rng)


def _sparsest(table: pd.DataFrame, tolerance: float) -> Any:
    """Return the row of the fewest edges whose error is within `tolerance` of the smallest."""
    near = table[table["rollout_error"] <= (1 + tolerance) * table["rollout_error"].min()]
    if near.empty:  # every prediction diverges
        return table["rollout_error"].idxmin()
    return near.sort_values(["edges", "rollout_error"], kind="stable").index[0]


def _judge(
    whole: Fold, folds: list[Fold], settings: TransitionSettings, lag: int, rate: float, weight: float
) -> list[dict[str, Any]]:
    """Return a row for every penalty of one path, with its error over all folds and the edges it leads to."""
    lambdas = np.asarray(settings.lambdas)
    errors, flat = np.empty((len(folds), len(lambdas))), np.empty(len(folds))
    fields = _path(whole, settings, lag, rate, weight)
    for k, fold in enumerate(folds):
        own = fields if fold is whole else _path(fold, settings, lag, rate, weight)
        for place, field in enumerate(own):
            errors[k, place], flat[k] = held_error(fold.series, rollout_of(field))
    found = pooled(errors, flat)
    return [
        {
            "stage": "rollout",
            "lag": lag,
            "rate": rate,
            "slope": settings.slopes[0],
            "prior_weight": weight,
            "lambda": float(lambdas[place]),
            "edges": int(fields[place].effects.nnz),
            "rollout_error": float(found[place]),
        }
        for place in range(len(lambdas))
    ]


def rollout_of(field: Field) -> Rollout:
    """Return what predicts whole stretches with a field."""
    return lambda start, times: integrate(field, start, times)[:, 1:]


def _path(fold: Fold, settings: TransitionSettings, lag: int, rate: float, weight: float) -> list[Field]:
    """Return the field of every penalty of one path."""
    setup = fold.setups[lag]
    regression = fold.problem.regression(setup, rate, settings.slopes[0])
    lambdas, n = np.asarray(settings.lambdas), setup.allowed.shape[1]
    paths = fit_paths(
        [regression],
        setup.targets,
        lambdas,
        [setup.penalty(weight)],
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
        found.append(field)
    return found


def _result(
    whole: Fold,
    chosen: Any,
    settings: TransitionSettings,
    table: pd.DataFrame,
    groups: NDArray[Any] | None,
    rng: np.random.Generator,
) -> TransitionFit:
    """Fit what was chosen to the training states."""
    data, setup, weight = whole.problem.data, whole.setups[int(chosen["lag"])], float(chosen["prior_weight"])
    place, n = int(np.argmin(np.abs(np.asarray(settings.lambdas) - chosen["lambda"]))), data.states.shape[2]
    field = _path(whole, settings, int(chosen["lag"]), float(chosen["rate"]), weight)[place]
    frequency = stability = sp.csr_array((n, n))
    if settings.half_samples:
        unit, real = units(data, settings.folds, groups), data.real[:, 1:]
        samples = []
        for _ in range(settings.half_samples):
            seen = half_of(unit, real, rng)
            samples.append(seen[setup.steps.trajectory, setup.steps.first])
        back = np.arange(min(settings.stability_lambdas, len(settings.lambdas)) - 1, -1, -1)
        levels = np.asarray(settings.lambdas)[np.maximum(place - back, 0)]
        levels = np.repeat(levels[:, None], len(setup.targets), axis=1)
        used, share = half_sample_fits(
            whole.problem.regression(setup, float(chosen["rate"]), settings.slopes[0]),
            samples,
            setup.targets,
            levels,
            setup.penalty(weight),
            setup.allowed,
            standardize=settings.standardize,
        )
        frequency, stability = spread(used, setup), spread(share, setup)
    return TransitionFit(
        effects=field.effects,
        bias=field.bias,
        rates=field.rates,
        constant=np.zeros(n, dtype=bool),
        products=None,
        product_effects=None,
        linear=field.effects,
        contribution=sp.csr_array(relative_contribution(field.effects.toarray())),
        frequency=frequency,
        stability=stability,
        noise_variance=None,
        slope=settings.slopes[0],
        settings=settings,
        prior_weight=weight,
        lambdas=np.full(n, chosen["lambda"]),
        table=table,
    )
