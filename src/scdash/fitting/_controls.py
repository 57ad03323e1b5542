"""Every predictor that a fit is printed beside; for cells also what decides whether there is a network in them."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash.dynamics.problem import FitProblem
from scdash.fitting._match import transition_settings
from scdash.fitting._options import FitOptions
from scdash.fitting._predictors import (
    Codes,
    Floats,
    Predictor,
    constant,
    held_out,
    no_change,
    relaxation,
)
from scdash.matching import (
    CellScores,
    Courses,
    Forecast,
    NoNetwork,
    TransitionFit,
    aligned_template,
    analogue,
    cell_scores,
    choose_template_rates,
    choose_width,
    fit_no_network,
    fit_transitions,
    noise_floor,
    random_regulators,
    rank_correlation,
    settings_of,
    shuffle_times,
    shuffled_priors,
    simulate,
    template,
)

NO_NETWORK = (
    "no network",
    "template",
    "template + start offset",
    "aligned template",
    "analogue",
    "constant",
    "no change",
)
RANDOM, SHUFFLED_PRIOR, SHUFFLED_TIME = "random regulators", "shuffled prior", "shuffled time"
REFERENCE = "own regulators, prior and time"  # the fit that the null models are compared with
RANDOM_SETS, SHUFFLED_PRIORS = 4, 5
WIDTHS = np.array([0.25, 0.5, 1.0, 2.0])  # of the analogue forecast


def no_network(problem: FitProblem, options: FitOptions) -> NoNetwork:
    """Return genes relaxing without any network, fitted as the network is."""
    return fit_no_network(problem.series, settings=transition_settings(options, problem.n_genes))


def trivial(problem: FitProblem, alone: NoNetwork) -> dict[str, Predictor]:
    """Return the predictors without any network that every fit is printed beside; `alone`: see `no_network`."""
    found = {"no network": relaxation(alone.bias, alone.rates)}
    return found | {"constant": constant(problem.series), "no change": no_change}


def forecasts(problem: FitProblem) -> dict[str, Predictor]:
    """Return the forecasts that follow training trajectories of the same lineage."""
    series = problem.series
    lineage = np.zeros(len(series.names), np.intp) if problem.lineage is None else problem.lineage
    mean = Courses.of(series.originals(), lineage)
    every = Courses.of(series, lineage)
    span = float(np.ptp(series.times))
    grid = np.concatenate([[0.0], np.geomspace(0.25, 64, 9) / span, [np.inf]])
    rates = choose_template_rates(series, lineage, grid)
    found: dict[str, Forecast] = {
        "template": template(mean),
        "template + start offset": template(mean, rates),
        "aligned template": aligned_template(mean),
        "analogue": analogue(every, choose_width(series, lineage, WIDTHS)),
    }
    return {name: _of_lineage(forecast, lineage) for name, forecast in found.items()}


def _of_lineage(forecast: Forecast, lineage: NDArray[np.intp]) -> Predictor:
    return lambda start, times, code: forecast(start, times, lineage[code])


def matched_predictor(fit: TransitionFit) -> Predictor:
    """Return the predictions of a fit by matching."""

    def predict(start: Floats, times: Floats, code: Codes) -> Floats:
        return simulate(fit, start, times - times[:, :1])[:, 1:].transpose(1, 0, 2)

    return predict


def refits(problem: FitProblem, options: FitOptions, fit: TransitionFit | None) -> dict[str, Predictor]:
    """Return the null models (`null_problems`) and, as their `REFERENCE`, the same fit of the problem as it is.

    All are regressions alone, with the lag and the rates of `fit`; penalties and the weight of the prior are chosen anew
    for each, the reference included. `controls="full"` chooses everything anew. Without a matched start (`fit` None) the
    regression is run once, and shown.
    """
    found: dict[str, Predictor] = {}
    everything = replace(transition_settings(options, problem.n_genes), half_samples=0)
    if fit is None:
        fit = _match(problem, everything, options.seed)
        found["matching"] = matched_predictor(fit)
    settings = everything if options.controls == "full" else settings_of(fit, problem.series)
    compared = {REFERENCE: problem} | null_problems(problem, np.random.default_rng([options.seed, 3]))
    for name, changed in compared.items():
        found[name] = matched_predictor(_match(changed, settings, options.seed))
    return found


def null_problems(problem: FitProblem, rng: np.random.Generator) -> dict[str, FitProblem]:
    """Return the problem with random regulators, with shuffled priors and with shuffled time, each changed in that alone.

    Random regulators take no prior, whose edges start from the real ones. What cannot be drawn is left out: random
    regulators where every gene may regulate, shuffled priors without a prior.
    """
    found: dict[str, FitProblem] = {}
    known = problem.regulators
    sets = [] if known is None else random_regulators(known, problem.n_genes, rng, number=RANDOM_SETS)
    for k, genes in enumerate(sets):
        found[f"{RANDOM} {k + 1}"] = replace(problem, prior=None, regulators=genes)
    priors = [] if problem.prior is None else shuffled_priors(problem.prior, known, rng, number=SHUFFLED_PRIORS)
    for k, prior in enumerate(priors):
        found[f"{SHUFFLED_PRIOR} {k + 1}"] = replace(problem, prior=prior)
    found[SHUFFLED_TIME] = replace(problem, series=shuffle_times(problem.series, rng))
    return found


def _match(problem: FitProblem, settings: Any, seed: int) -> TransitionFit:
    return fit_transitions(
        problem.series, prior=problem.prior, regulators=problem.regulators, settings=settings, rng=seed
    )


def data_figures(problem: FitProblem, scores: CellScores | None) -> dict[str, float]:
    """Return what the verdict says about the data: noise, cells, and real against shuffled time.

    `scores`: those of the edges in real time; the same are computed with times shuffled within trajectories.
    """
    series = problem.series
    split = held_out(series)
    judged = series.originals().rollouts(split)
    figures = {
        "noise_floor": noise_floor(series, split),
        "held_out_stretches": float(len(judged)),
        "cells_per_bin": np.nan if series.weights is None else float(series.originals().weights.min()),  # type: ignore[union-attr]
    }
    if scores is not None and problem.shuffled_halves is not None:
        shuffled = cell_scores(problem.shuffled_halves, problem.regulators)
        figures["explained_by_real_time"] = scores.explained
        figures["explained_by_shuffled_time"] = shuffled.explained
        figures["edges_like_shuffled_time"] = rank_correlation(scores.frequency, shuffled.frequency, problem.regulators)
    return figures
