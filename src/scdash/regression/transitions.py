"""The regression of transitions: sparse dynamics from time courses, as one regression per gene, repeated on denoised states."""

import time
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._core.random_streams import RNG, as_generator
from scdash._core.types import Floats
from scdash._data import TimeSeries
from scdash.regression.fold_fits import make_parts
from scdash.regression.hub_penalties import hub_factors, relative_contribution
from scdash.regression.intervals import Trajectories, Transitions, units
from scdash.regression.l1_paths import SINGLE
from scdash.regression.linear_fits import Linear, refine_rates, spread
from scdash.regression.penalty_choice import choose, fit_paths
from scdash.regression.problems import Problem, Regression, Setup, folds_of, half_of, make_problems
from scdash.regression.settings import TransitionSettings
from scdash.regression.shared_settings import prior_weight, search
from scdash.regression.stability_selection import half_sample_fits
from scdash.regression.transition_fit import TransitionFit


def fit_transitions(
    series: TimeSeries,
    *,
    prior: sp.csr_matrix | None = None,
    regulators: NDArray[np.integer[Any]] | None = None,
    settings: TransitionSettings | None = None,
    rng: RNG = 0,
) -> TransitionFit:
    """Fit sparse gene-wise dynamics to the transitions of a time series, whose states are in units of about [0, 1].

    Over an interval D, x_i(t+D) = e x_i(t) + (1 - e) (b_i + sum_j S_ij <phi(x_j)>), e = exp(-r_i D), is linear in the
    network S, which is found by one L1-penalised regression per gene; edges of the prior (target, regulator) are penalised less.
    Everything that is chosen (rate, activation, weight of the prior, penalties, products) is chosen by cross-validation
    over trajectories (whole groups of the series, if it has any), with noise, constant genes and denoised states estimated anew within every fold.
    `regulators`: genes that may regulate; None: all. `settings`: `TransitionSettings.for_time_courses()` by default.
    """
    settings = settings or TransitionSettings.for_time_courses()
    generator, groups = as_generator(rng), series.group
    data = Trajectories.from_series(series, settings.splits)
    prior = check_prior(prior, data.states.shape[2])
    return _Engine(data, prior, regulators, settings, groups, generator).run()


def check_prior(prior: Any, genes: int) -> Any:
    """Return the prior as CSR of booleans (target, regulator) without self edges, or None."""
    if prior is None:
        return None
    prior = sp.csr_array(prior)
    if prior.shape != (genes, genes):
        raise ValueError(f"prior has shape {prior.shape}; (target, regulator) of the series' {genes} genes is needed.")
    prior = prior.astype(bool).tolil()
    prior.setdiag(0)
    return prior.tocsr()


def make_setup(
    data: Trajectories,
    prior: sp.csr_matrix | None,
    regulators: NDArray[np.integer[Any]] | None,
    settings: TransitionSettings,
    lag: int,
    constant: NDArray[np.bool_],
) -> Setup:
    """Return what all problems share."""
    genes = data.states.shape[2]
    sources = np.arange(genes) if regulators is None else np.unique(np.asarray(regulators, dtype=np.intp))
    if not len(sources) or sources.min() < 0 or sources.max() >= genes:
        raise ValueError(f"regulators must be indices of the series' {genes} genes and not empty.")
    allowed = np.ones((len(sources), genes), dtype=bool)
    allowed[np.arange(len(sources)), sources] = False
    in_prior = None if prior is None else prior[:, sources].toarray().T
    return Setup(settings, Transitions.of(data, lag), sources, np.flatnonzero(~constant), allowed, in_prior)


class _Engine:
    """The steps of one fit. State that they change: problems, hub factors, and the table of what was tried."""

    def __init__(
        self,
        data: Trajectories,
        prior: sp.csr_matrix | None,
        regulators: NDArray[np.integer[Any]] | None,
        settings: TransitionSettings,
        groups: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> None:
        self.settings, self.rng, self.data = settings, rng, data
        self.unit = units(data, settings.folds, groups)
        self.real = data.real[:, 1:]
        seen = [self.real, *folds_of(self.unit, settings.folds, self.real, rng)]
        self.problems: list[Problem] = make_problems(data, seen, settings)
        self.setup = make_setup(data, prior, regulators, settings, settings.lags[0], self.problems[0].constant)
        if not len(self.setup.targets):
            raise ValueError("series: no gene changes over time by more than the noise.")
        self.hubs: list[Floats] = [np.ones((len(self.setup.regulators), 1)) for _ in seen]
        self.table: list[dict[str, Any]] = []

    def run(self) -> TransitionFit:
        """Return the fit."""
        settings, setup, folds = self.settings, self.setup, self.problems[1:]
        self.weight = max(settings.prior_weights) if setup.in_prior is not None else 1.0
        self.rate, self.slope = search(folds, setup, self.weight, self.rng, self.table)
        for number in range(settings.rounds):
            last = number == settings.rounds - 1
            if number == min(1, settings.rounds - 1) and setup.in_prior is not None:
                self.weight = prior_weight(folds, setup, self.rate, self.slope, self.hubs[1:], self.rng, self.table)
            for problem, hub in zip(self.problems, self.hubs, strict=True):
                problem.penalty = setup.penalty(self.weight) * hub
            regressions = [problem.regression(setup, self.rate, self.slope) for problem in self.problems]
            linear, level, wider = self._fit(regressions, f"round {number + 1}", settings.mcp if last else None)
            if not last:
                self._denoise(linear, regressions)
        linear = refine_rates(linear, self.problems, regressions, setup, level, self.slope, self.table)
        return self._result(linear, level, wider, *self._half_samples(regressions[0], linear, level))

    def _fit(self, regressions: list[Regression], stage: str, mcp: float | None) -> tuple[Linear, Floats, list[Any]]:
        """Return the fits and penalties (t,) chosen on the paths of all problems, and the edges at weaker penalties."""
        began, settings, setup = time.perf_counter(), self.settings, self.setup
        paths = fit_paths(
            regressions,
            setup.targets,
            np.asarray(settings.lambdas),
            [problem.penalty for problem in self.problems],
            setup.allowed,
            standardize=settings.standardize,
            mcp=mcp,
            max_active=settings.max_active,
        )
        index = choose(paths.errors, settings.sharing)
        linear = Linear.of(paths, index, self.rate)
        self._note(stage, began, float(linear.errors.mean()))
        level = paths.lambdas[index]
        weaker = np.maximum(np.searchsorted(-paths.lambdas, -settings.wider * level, side="right") - 1, index)
        wider = [paths.take(weaker, number)[0] for number in range(len(regressions))]
        return linear, level, wider

    def _note(self, stage: str, began: float, error: float = float("nan")) -> None:
        row = {"stage": stage, "rate": self.rate, "slope": self.slope, "prior_weight": self.weight}
        self.table.append(row | {"cv_error": error, "seconds": time.perf_counter() - began})
        logger.debug("regression, %s: held-out error %.4g", stage, error)

    def _denoise(self, linear: Linear, regressions: list[Regression]) -> None:
        began, setup = time.perf_counter(), self.setup
        for number, (problem, regression) in enumerate(zip(self.problems, regressions, strict=True)):
            effects = linear.effects[number].toarray()
            if problem.noise is None:  # no constant genes show it: it is at most what the best-fitted genes leave over
                left = regression.error(effects.T, linear.intercepts[number], setup.targets, fitted=True)
                problem.noise = float(np.quantile(left, 0.1))
            field = linear.field(number, setup, self.slope)
            problem.correct(field)
            problem.look_ahead(setup, field)
            hub = hub_factors(relative_contribution(effects), self.settings.hub_exponent)[:, None]
            self.hubs[number] = hub if effects.size < SINGLE else hub.astype(np.float32)
        self._note("denoise", began)

    def _half_samples(self, regression: Regression, linear: Linear, level: Floats) -> tuple[Any, Any]:
        """Return selection frequencies and mean contributions over half-samples, CSR (t, p)."""
        began, settings, setup = time.perf_counter(), self.settings, self.setup
        if not settings.half_samples:
            empty = sp.csr_array((len(setup.targets), len(setup.regulators)))
            return empty, empty
        samples = []
        for _ in range(settings.half_samples):
            seen = half_of(self.unit, self.real, self.rng)
            samples.append(seen[setup.steps.trajectory, setup.steps.first])
        lambdas = np.asarray(settings.lambdas)
        index = np.searchsorted(-lambdas, -level)
        back = np.arange(settings.stability_lambdas - 1, -1, -1)[:, None]
        result = half_sample_fits(
            regression,
            samples,
            setup.targets,
            lambdas[np.maximum(index - back, 0)],
            self.problems[0].penalty,
            setup.allowed,
            standardize=settings.standardize,
            start=linear.effects[0],
        )
        self._note("half-samples", began)
        return result

    def _result(self, linear: Linear, level: Floats, wider: list[Any], frequency: Any, stability: Any) -> TransitionFit:
        setup, began = self.setup, time.perf_counter()
        parts, error = make_parts(linear, wider, self.problems, setup, self.slope)
        if self.settings.products:
            self._note("products", began, error)
        field = parts[0].field
        lambdas = np.full(len(field.bias), np.nan)
        lambdas[setup.targets] = level
        return TransitionFit(
            effects=field.effects,
            bias=field.bias,
            rates=field.rates,
            constant=self.problems[0].constant,
            products=field.pairs,
            product_effects=field.product_effects,
            contribution=spread(relative_contribution(linear.effects[0].toarray()), setup),
            frequency=spread(frequency, setup),
            stability=spread(stability, setup),
            noise_variance=self.problems[0].noise,
            slope=self.slope,
            settings=self.settings,
            prior_weight=self.weight,
            lambdas=lambdas,
            table=pd.DataFrame(self.table),
            data=self.data,
            parts=parts,
        )
