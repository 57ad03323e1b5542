"""The regression start of the main model and of its replicates."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scdash._core.parallel import spread_all
from scdash._core.types import Floats, Index
from scdash._data import TimeSeries
from scdash.dynamics.options import FitOptions
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.whole_trajectories.fit import LISTED
from scdash.dynamics.whole_trajectories.folds import TEST, all_to_learn_from
from scdash.dynamics.whole_trajectories.one_fit import PRIOR_WEIGHT
from scdash.dynamics.whole_trajectories.regression_choice import RATES
from scdash.dynamics.whole_trajectories.settings import follows_trajectories
from scdash.dynamics.whole_trajectories.start import Regressions, regression_start
from scdash.networks import HiddenEvidence, sparse_relative_contribution
from scdash.regression import Field, TransitionFit, TransitionSettings, fit_transitions, validation_folds
from scdash.regression.held_out_trajectories import HeldOutWindows, pooled
from scdash.regression.hub_penalties import relative_contribution
from scdash.regression.intervals import Trajectories as Observed
from scdash.regression.linear_field import integrate
from scdash.training.rollouts import Trajectories

PARTS = 8  # a replicate hides one eighth of the prior's edges
MOST_REGULATORS = 4000
STRONG = Regressions().lambdas[:4]  # of sparse networks, which are not pruned any more
OFFERED = tuple(
    Regressions(rates=rates, lambdas=lambdas, averaged=len(lambdas), smallest_share=0.02)
    for rates in RATES
    for lambdas in (STRONG[:3], STRONG, Regressions().lambdas)
)
HIDDEN_FITS = 1  # quick fits that measure how well hidden prior edges are found again


def transition_settings(options: FitOptions, n_genes: int) -> TransitionSettings:
    """Return the settings of the regression for cells, or for time courses of hundreds or of thousands of genes."""
    if options.cells:
        return TransitionSettings.for_cells()
    preset = TransitionSettings.for_genomes() if n_genes**2 > LISTED else TransitionSettings.for_time_courses()
    return replace(preset, **options.regression.changes())


def match(problem: FitProblem, options: FitOptions) -> list[TransitionFit]:
    """Fit the convex start of every model of the stack, each with its own prior.

    Replicates share the activation's slope and the weight of the prior with the first fit: they are to differ by
    what is hidden from them alone. Selection frequencies come from the first fit.
    """
    fit = partial(_fit_prior, problem.series, problem.regulators, options.seed)
    priors = model_priors(problem, options)
    _check_size(problem)
    if options.cells:
        main = start_of_cells(problem.series, priors[0], problem.regulators)
        return [main, *(start_of_cells(problem.series, one, problem.regulators, main) for one in priors[1:])]
    settings = transition_settings(options, problem.n_genes)
    if follows_trajectories(options):
        settings = on_all_but_test(settings, problem.series)
    first = fit(priors[0], settings)
    pieces = [(prior, like(first, half_samples=0)) for prior in priors[1:]]
    return [first, *spread_all(fit, pieces, "regression of replicates", progress=options.progress)]


def start_of_cells(
    series: TimeSeries, prior: sp.csr_matrix | None, regulators: Index | None, like: TransitionFit | None = None
) -> TransitionFit:
    """Return the mean of regressions of cells on their training states, which is not trained on whole trajectories.

    Which regressions are averaged (`OFFERED`) and whether the prior is used is chosen by whole held-out windows, each part
    of the data in turn (`validation_folds`): next-step errors of smoothed bins pick models that diverge later. Without any
    the first are taken, with the prior. `like` is a fit whose choices are taken.
    """
    weights = (1.0,) if prior is None else (PRIOR_WEIGHT, 1.0)
    tried = [(weight, one) for weight in weights for one in OFFERED]
    if like is not None:
        name = like.table.loc[like.table["chosen"], "regressions"].iloc[0]
        tried = [(1.0 if prior is None else like.prior_weight, one) for one in OFFERED if str(one) == name]
    folds = validation_folds(series)
    errors: Floats = np.zeros(len(tried))
    if len(tried) > 1 and series.rollouts("validation"):
        found = np.array([_held_out_errors(fold, prior, regulators, tried, alone=len(folds) == 1) for fold in folds])
        errors = pooled(found[:, :, 0], found[:, 0, 1])
    best = int(errors.argmin())
    weight, regressions = tried[best]
    field = _mean_of_regressions(series, prior, regulators, weight, regressions)
    n = len(field.bias)
    return TransitionFit(
        effects=field.effects,
        bias=field.bias,
        rates=field.rates,
        constant=np.zeros(n, dtype=bool),
        products=None,
        product_effects=None,
        contribution=sp.csr_array(relative_contribution(field.effects.toarray())),
        frequency=None,
        stability=None,
        noise_variance=None,
        slope=1.0,
        settings=TransitionSettings.for_cells(),
        prior_weight=weight,
        lambdas=np.full(n, np.nan),
        table=pd.DataFrame(
            [
                {"regressions": str(one), "prior_weight": weight, "error": error, "chosen": place == best}
                for place, ((weight, one), error) in enumerate(zip(tried, errors, strict=True))
            ]
        ),
    )


def _held_out_errors(
    fold: TimeSeries,
    prior: sp.csr_matrix | None,
    regulators: Index | None,
    tried: Sequence[tuple[float, Regressions]],
    *,
    alone: bool,
) -> list[tuple[float, float]]:
    """Return the error of the held-out windows for every choice, and that of the training mean."""
    windows, found = HeldOutWindows.of(fold, alone=alone), []
    for weight, one in tried:
        rollout = partial(integrate, _mean_of_regressions(fold, prior, regulators, weight, one))
        found.append(windows.error(lambda start, times, rollout=rollout: rollout(start, times)[:, 1:]))  # type: ignore[misc]
    return found


def _mean_of_regressions(
    series: TimeSeries, prior: sp.csr_matrix | None, regulators: Index | None, weight: float, regressions: Regressions
) -> Field:
    """Return the mean field of the training states."""
    data = Observed.from_series(series, ("train",))
    states, intervals = data.states.astype(np.float32), np.diff(data.times, axis=1).astype(np.float32)
    found = regression_start(
        Trajectories(states, intervals, data.length),
        prior=prior,
        prior_weight=weight,
        regulators=regulators,
        regressions=regressions,
    )
    return Field(found.weights.astype(float), found.bias.astype(float), found.rates.astype(float))


def on_all_but_test(settings: TransitionSettings, series: TimeSeries) -> TransitionSettings:
    """Return settings for all states that are not for test, with folds of whole trajectories, or groups, where there are two."""
    trajectories = len(np.unique(series.together[series.trajectory[series.split != TEST]]))
    folds = min(settings.folds, trajectories) if trajectories > 1 else settings.folds
    return replace(settings, splits=("train", "validation"), folds=folds)


def _fit_prior(
    series: TimeSeries,
    regulators: Index | None,
    seed: int,
    prior: sp.csr_matrix | None,
    settings: TransitionSettings,
) -> TransitionFit:
    return fit_transitions(series, prior=prior, regulators=regulators, settings=settings, rng=seed)


def _check_size(problem: FitProblem) -> None:
    """Raise where second moments of all genes with each other would not fit in memory."""
    count = problem.n_genes if problem.regulators is None else len(problem.regulators)
    if count > MOST_REGULATORS:
        raise ValueError(
            f"start='regression' needs second moments of all {count} regulators with each other, several times over. Name "
            "the genes that may regulate, e.g. regulators=<var column of transcription factors>, or choose genes by "
            "mask_var."
        )


def like(fit: TransitionFit, **changes: Any) -> TransitionSettings:
    """Return the settings of a fit with its own choices fixed, so that they need not be searched for again."""
    return replace(fit.settings, slopes=(fit.slope,), prior_weights=(fit.prior_weight,), **changes)


def hidden_evidence(problem: FitProblem, options: FitOptions, fit: TransitionFit) -> list[HiddenEvidence]:
    """Return what a quick fit finds of prior edges that are hidden from it (one round, no products, rates known)."""
    if problem.prior is None:
        return []
    quick = like(fit, half_samples=0, rounds=1, products=0, folds=2, gene_rates=(1.0,))
    moving = fit.rates[fit.rates > 0]
    if not options.cells and len(moving):
        steps = np.diff(problem.series.times)[np.diff(problem.series.trajectory) == 0]
        quick = replace(quick, rates=(float(np.median(moving) * np.median(steps)),))  # in units of 1 / interval

    def contribution(shown: sp.csr_matrix) -> sp.csr_matrix:
        if options.cells:
            return abs(start_of_cells(problem.series, shown, problem.regulators, fit).contribution)
        again = fit_transitions(
            problem.series, prior=shown, regulators=problem.regulators, settings=quick, rng=options.seed
        )
        return abs(again.contribution)

    return _of_hidden_parts(problem, options, contribution)


def hidden_by_regression(problem: FitProblem, options: FitOptions) -> list[HiddenEvidence]:
    """Return what the regression that training starts from finds of prior edges that are hidden from it."""
    if problem.prior is None:
        return []
    trajectories = all_to_learn_from(problem)

    def contribution(shown: sp.csr_matrix) -> sp.csr_matrix:
        start = regression_start(trajectories, prior=shown, prior_weight=PRIOR_WEIGHT, regulators=problem.regulators)
        return sp.csr_matrix(abs(sparse_relative_contribution(start.weights)))

    return _of_hidden_parts(problem, options, contribution)


def _of_hidden_parts(
    problem: FitProblem, options: FitOptions, contribution: Callable[[sp.csr_matrix], sp.csr_matrix]
) -> list[HiddenEvidence]:
    """Return what quick fits find of parts of the prior, each hidden from one of them."""
    assert problem.prior is not None  # where there is none, nothing is hidden
    shown = model_priors(problem, replace(options, n_models=1 + HIDDEN_FITS))[1:]
    return [evidence_of_hidden(problem.prior, part, contribution) for part in shown if part is not None]


def evidence_of_hidden(
    prior: sp.csr_matrix, shown: sp.csr_matrix, contribution: Callable[[sp.csr_matrix], sp.csr_matrix]
) -> HiddenEvidence:
    """Return what a fit that is given only the `shown` part of a prior says of the rest, which is hidden from it."""
    return HiddenEvidence(prior - shown, contribution(shown))


def model_priors(problem: FitProblem, options: FitOptions) -> list[sp.csr_matrix | None]:
    """Return the prior of every model: all edges for the first, another eighth hidden for each further one."""
    if problem.prior is None:
        return [None] * options.n_models
    entries = problem.prior.tocoo()
    part = np.random.default_rng([options.seed, 1]).permutation(len(entries.data)) % PARTS
    priors = [problem.prior]
    for model in range(1, options.n_models):
        seen = part != (model - 1) % PARTS
        cut = (entries.data[seen], (entries.row[seen], entries.col[seen]))
        priors.append(sp.csr_matrix(cut, shape=entries.shape))
    return priors
