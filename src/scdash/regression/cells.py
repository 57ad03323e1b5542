"""Matching for smoothed bins of cells: fits with one rate, lag, prior weight and penalty each, averaged by whole rollouts."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.types import Floats
from scdash._data import TimeSeries
from scdash.regression.averaging import at_time_scale, average, model_weights, prune, shrunk
from scdash.regression.derivative_rows import WeightedVelocity, with_velocity
from scdash.regression.held_out_trajectories import HeldOutWindows, Rollout, pooled, validation_folds
from scdash.regression.hub_penalties import relative_contribution
from scdash.regression.intervals import Trajectories, units
from scdash.regression.linear_field import Field, integrate
from scdash.regression.linear_fits import spread
from scdash.regression.penalty_choice import fit_paths
from scdash.regression.problems import Problem, Setup, half_of
from scdash.regression.settings import TransitionSettings
from scdash.regression.stability_selection import half_sample_fits
from scdash.regression.transition_fit import TransitionFit

MakeSetup: TypeAlias = Callable[[Trajectories, int], Setup]


@dataclass(frozen=True)
class Fold:
    """What is learned from and what is held out in one choice: the problem, and the setups (one for every lag)."""

    held_out: HeldOutWindows
    problem: Problem
    setups: dict[int, Setup]
    velocity: WeightedVelocity | None = None

    @classmethod
    def of(cls, series: TimeSeries, make: MakeSetup, settings: TransitionSettings, *, alone: bool) -> Self:
        """Return the fold of a series, whose training states are fitted and whose validation windows are held out."""
        data = Trajectories.from_series(series, ("train",))
        lags = [lag for lag in settings.lags if lag < data.length.max()]
        still = np.zeros(data.states.shape[2], bool)
        problem = Problem(data, data.real[:, 1:], None, still, data.states, np.ones((1, 1)))
        return cls(HeldOutWindows.of(series, alone=alone), problem, {lag: make(data, lag) for lag in lags})


@dataclass(frozen=True)
class Trial:
    """One setting that was tried."""

    row: dict[str, Any]
    fields: tuple[Field, ...]  # fitted to the training states, then to those of every fold that is another problem

    @property
    def error(self) -> float:
        """Error of the held-out windows."""
        return float(self.row["rollout_error"])


def fit_by_rollouts(
    series: TimeSeries,
    make: MakeSetup,
    settings: TransitionSettings,
    groups: NDArray[Any] | None,
    rng: np.random.Generator,
) -> TransitionFit:
    """Try lags, rates and penalties, then trust in the prior; average all fits by their errors (`_averaging`).

    Errors are of whole held-out windows predicted from the state before them: next-step errors of smoothed bins
    pick models that diverge later. Held out are all trajectories in turn but those for test (`validation_folds`); fits to
    the training states are averaged. A choice of one setting by one held-out batch differed twofold between batches;
    the average was better than the best choice on batches that were made from two real ones.
    """
    began = time.perf_counter()
    parts = validation_folds(series)
    whole = Fold.of(series, make, settings, alone=len(parts) == 1)
    folds = [whole if part is series else Fold.of(part, make, settings, alone=False) for part in parts]
    data = whole.problem.data
    unit = 1 / float(np.median(np.diff(data.times, axis=1)[data.real[:, 1:]]))
    weights = list(settings.prior_weights) if next(iter(whole.setups.values())).in_prior is not None else [1.0]
    middle = weights.pop(len(weights) // 2)
    common = [lag for lag in whole.setups if all(lag in fold.setups for fold in folds)]
    tried: list[Trial] = []
    for lag in common:
        for rate in unit * np.asarray(settings.rates):
            tried = _likely(tried + _judge(whole, folds, settings, lag, rate, middle), settings)
    best = min(tried, key=lambda trial: trial.error).row
    for weight in weights:
        tried = _likely(tried + _judge(whole, folds, settings, best["lag"], best["rate"], weight), settings)
    table = pd.DataFrame([trial.row for trial in tried])
    table["weight"] = model_weights(table["rollout_error"].to_numpy(), settings.temperature)
    chosen = cast("int", table["weight"].idxmax())
    table["chosen"] = table.index == chosen
    field, time_scale, error = _mean_field(whole, folds, tried, table["weight"].to_numpy(), settings)
    mean = {
        "stage": "mean",
        "time_scale": time_scale,
        "edges": int(field.effects.nnz),
        "rollout_error": error,
        "chosen": False,
    }
    table = pd.concat([table, pd.DataFrame([mean])], ignore_index=True)
    table["seconds"] = time.perf_counter() - began
    return _result(whole, field, table.loc[chosen], settings, table, groups, rng)


def _likely(tried: "list[Trial]", settings: TransitionSettings) -> "list[Trial]":
    """Return trials without the fields of those that can no longer count: they would fill the memory."""
    keep = model_weights(np.array([trial.error for trial in tried]), settings.temperature) > 0
    return [trial if kept else replace(trial, fields=()) for trial, kept in zip(tried, keep, strict=True)]


def _mean_field(
    whole: Fold, folds: list[Fold], tried: "list[Trial]", weights: Floats, settings: TransitionSettings
) -> tuple[Field, float, float]:
    """Return the mean of all fits to the training states, pruned, at its time scale; that time scale, and the error of the mean.

    The error is that of the folds' own means at the time scale that suits them best, before it is shrunk.
    """
    counted = [(trial, weight) for trial, weight in zip(tried, weights, strict=True) if weight > 0]
    share = np.array([weight for _, weight in counted])

    def mean(fold: Fold, place: int) -> Field:
        field = average([trial.fields[place] for trial, _ in counted], share)
        data = fold.problem.data
        return prune(field, data.states[data.real], settings.smallest_share)

    own = mean(whole, 0)
    errors, flat = np.empty((len(folds), len(settings.time_scales))), np.empty(len(folds))
    for k, fold in enumerate(folds):
        field = own if fold is whole else mean(fold, k + 1)
        for place, time_scale in enumerate(settings.time_scales):
            errors[k, place], flat[k] = fold.held_out.error(rollout_of(at_time_scale(field, time_scale)))
    found = pooled(errors, flat)
    place = int(found.argmin())
    time_scale = shrunk(settings.time_scales[place], len(folds))
    return at_time_scale(own, time_scale), time_scale, float(found[place])


def _judge(
    whole: Fold, folds: list[Fold], settings: TransitionSettings, lag: int, rate: float, weight: float
) -> "list[Trial]":
    """Return a trial for every penalty of one path, with its error over all folds and the edges it leads to."""
    lambdas = np.asarray(settings.lambdas)
    errors, flat = np.empty((len(folds), len(lambdas))), np.empty(len(folds))
    paths = [_path(whole, settings, lag, rate, weight)]
    for k, fold in enumerate(folds):
        own = paths[0] if fold is whole else _path(fold, settings, lag, rate, weight)
        if fold is not whole:
            paths.append(own)
        for place, field in enumerate(own):
            errors[k, place], flat[k] = fold.held_out.error(rollout_of(field))
    found = pooled(errors, flat)
    return [
        Trial(
            {
                "stage": "rollout",
                "lag": lag,
                "rate": rate,
                "slope": settings.slopes[0],
                "prior_weight": weight,
                "lambda": float(lambdas[place]),
                "edges": int(paths[0][place].effects.nnz),
                "rollout_error": float(found[place]),
            },
            tuple(path[place] for path in paths),
        )
        for place in range(len(lambdas))
    ]


def rollout_of(field: Field) -> Rollout:
    """Return what predicts whole windows with a field."""
    return lambda start, times: integrate(field, start, times)[:, 1:]


def _path(fold: Fold, settings: TransitionSettings, lag: int, rate: float, weight: float) -> list[Field]:
    """Return the field of every penalty of one path."""
    setup = fold.setups[lag]
    regression = fold.problem.regression(setup, rate, settings.slopes[0])
    if fold.velocity is not None:
        regression = with_velocity(regression, fold.velocity, setup.regulators, rate, settings.slopes[0])
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
    field: Field,
    chosen: Any,
    settings: TransitionSettings,
    table: pd.DataFrame,
    groups: NDArray[Any] | None,
    rng: np.random.Generator,
) -> TransitionFit:
    """Return the mean field as a fit; half-samples are at the setting of the smallest error."""
    data, setup, weight = whole.problem.data, whole.setups[int(chosen["lag"])], float(chosen["prior_weight"])
    place, n = int(np.argmin(np.abs(np.asarray(settings.lambdas) - chosen["lambda"]))), data.states.shape[2]
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


def path_of_fields(
    states: NDArray[np.floating[Any]],
    times: NDArray[np.float64],
    lengths: NDArray[np.int64],
    *,
    lag: int,
    rate: float,
    prior: sp.csr_matrix | None,
    prior_weight: float,
    regulators: NDArray[np.integer[Any]] | None,
    settings: TransitionSettings,
    velocity: WeightedVelocity | None = None,
) -> list[Field]:
    """Return the field of every penalty of one path, fitted to padded trajectories, and to measured velocities if given.

    States are (trajectories, times, genes), times (trajectories, times); `rate` is per median interval.
    """
    from scdash.regression.transitions import check_prior, make_setup

    data = Trajectories(
        states.astype(np.float64), times, lengths, np.ones(times.shape), np.arange(len(lengths), dtype=np.intp)
    )
    genes = data.states.shape[2]
    still = np.zeros(genes, dtype=bool)
    unit = 1 / float(np.median(np.diff(times, axis=1)[data.real[:, 1:]]))
    setup = make_setup(data, check_prior(prior, genes), regulators, settings, lag, still)
    problem = Problem(data, data.real[:, 1:], None, still, data.states, np.ones((1, 1)))
    fold = Fold(HeldOutWindows(np.zeros(genes), (), np.zeros((1, genes))), problem, {lag: setup}, velocity)
    return _path(fold, settings, lag, rate * unit, prior_weight)
