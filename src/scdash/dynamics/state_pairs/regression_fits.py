"""Matching for the main model and its replicates."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from scdash._core.parallel import spread_all
from scdash._core.types import Index
from scdash._data import TimeSeries
from scdash.dynamics.comparisons.shuffled import settings_of
from scdash.dynamics.options import FitOptions
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.whole_trajectories.fit import LISTED
from scdash.dynamics.whole_trajectories.folds import TEST, all_to_learn_from
from scdash.dynamics.whole_trajectories.one_fit import PRIOR_WEIGHT
from scdash.dynamics.whole_trajectories.settings import follows_trajectories
from scdash.dynamics.whole_trajectories.start import regression_start
from scdash.networks import HiddenEvidence, sparse_relative_contribution
from scdash.regression import TransitionFit, TransitionSettings, fit_transitions

PARTS = 8  # a replicate hides one eighth of the prior's edges
MOST_REGULATORS = 4000
HIDDEN_FITS = 1  # quick fits that measure how well hidden prior edges are found again


def transition_settings(options: FitOptions, n_genes: int) -> TransitionSettings:
    """Return the settings of the regression for cells, or for time courses of hundreds or of thousands of genes."""
    if options.cells:
        return TransitionSettings.for_cells()
    preset = TransitionSettings.for_genomes() if n_genes**2 > LISTED else TransitionSettings.for_time_courses()
    return replace(preset, **options.regression.changes())


def match(problem: FitProblem, options: FitOptions) -> list[TransitionFit]:
    """Fit the convex start of every model of the stack, each with its own prior.

    Replicates share the activation's slope and the trust in the prior with the first fit: they are to differ by
    what is hidden from them alone. Selection frequencies come from the first fit.
    """
    fit = partial(_fit_prior, problem.series, problem.regulators, options.seed)
    priors = model_priors(problem, options)
    _check_size(problem)
    settings = transition_settings(options, problem.n_genes)
    if not options.cells and follows_trajectories(options):
        settings = on_all_but_test(settings, problem.series)
    if problem.halves is not None:  # edges are then ranked by halves of the cells instead
        settings = replace(settings, half_samples=0)
    first = fit(priors[0], settings)
    pieces = [(prior, like(first, half_samples=0)) for prior in priors[1:]]
    return [first, *spread_all(fit, pieces, "regression of replicates", progress=options.progress)]


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
    if options.cells:
        quick = replace(settings_of(fit, problem.series), prior_weights=(fit.prior_weight,))
    elif len(moving):
        steps = np.diff(problem.series.times)[np.diff(problem.series.trajectory) == 0]
        quick = replace(quick, rates=(float(np.median(moving) * np.median(steps)),))  # in units of 1 / interval

    def contribution(shown: sp.csr_matrix) -> sp.csr_matrix:
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
