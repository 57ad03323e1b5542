"""Matching for the main model and its replicates."""

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from scdash.fitting._options import FitOptions
from scdash.fitting._problem import FitProblem
from scdash.matching import TransitionFit, TransitionSettings, fit_transitions
from scdash.networks import HiddenEvidence

PARTS = 8  # a replicate hides one eighth of the prior's edges
HIDDEN_FITS = 1  # quick fits that measure how well hidden prior edges are found again


def transition_settings(options: FitOptions) -> TransitionSettings:
    """Return the settings of matching for cells or for time courses."""
    return TransitionSettings.for_cells() if options.cells else TransitionSettings.for_time_courses()


def match(problem: FitProblem, options: FitOptions) -> list[TransitionFit]:
    """Fit the convex start of every model of the stack, each with its own prior.

    Replicates share the activation's slope and the trust in the prior with the first fit: they are to differ by
    what is hidden from them alone. Selection frequencies come from the first fit.
    """
    settings = transition_settings(options)
    if problem.halves is not None:  # edges are then ranked by halves of the cells instead
        settings = replace(settings, half_samples=0)
    found: list[TransitionFit] = []
    for prior in model_priors(problem, options):
        used = settings if not found else like(found[0], half_samples=0)
        found.append(
            fit_transitions(problem.series, prior=prior, regulators=problem.regulators, settings=used, rng=options.seed)
        )
    return found


def like(fit: TransitionFit, **changes: Any) -> TransitionSettings:
    """Return the settings of a fit with its own choices fixed, so that they need not be searched for again."""
    return replace(fit.settings, slopes=(fit.slope,), prior_weights=(fit.prior_weight,), **changes)


def hidden_evidence(problem: FitProblem, options: FitOptions, fit: TransitionFit) -> list[HiddenEvidence]:
    """Return what a quick fit finds of prior edges that are hidden from it (one round, no products, rates known)."""
    if problem.prior is None:
        return []
    quick = like(fit, half_samples=0, rounds=1, products=0, folds=2, gene_rates=(1.0,))
    moving = fit.rates[fit.rates > 0]
    if len(moving) and not options.cells:
        steps = np.diff(problem.series.times)[np.diff(problem.series.trajectory) == 0]
        quick = replace(quick, rates=(float(np.median(moving) * np.median(steps)),))  # in units of 1 / interval
    found = []
    for prior in model_priors(problem, replace(options, n_models=1 + HIDDEN_FITS))[1:]:
        again = fit_transitions(
            problem.series, prior=prior, regulators=problem.regulators, settings=quick, rng=options.seed
        )
        found.append(HiddenEvidence(problem.prior - prior, abs(again.contribution)))
    return found


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
