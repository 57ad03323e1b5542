"""Baselines of a screen as fits: a network, a score or a constant change, in the form of a fit of PerturbODE."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from scdash._core.network import Network
from scdash._data import dense32
from scdash.screens.baselines import network_scores
from scdash.screens.baselines.notears import (
    RIDGE,
    choose_penalty,
    choose_rank,
    notears,
    notears_low_rank,
    screen_moments,
    standardised_sd,
    to_acyclic,
)
from scdash.screens.equilibrium.steady_states import Equilibrium
from scdash.screens.fits import ScreenFit
from scdash.screens.held_out import intervention_effects, mean_of_others
from scdash.screens.inputs import ScreenInputs
from scdash.screens.statistics import Floats, PerturbationStatistics

Baseline = Callable[[ScreenInputs, PerturbationStatistics, np.random.Generator, dict[str, Any]], ScreenFit]


def _record(
    way: str,
    score: Floats,
    report: str,
    *,
    model: Equilibrium | None = None,
    options: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> ScreenFit:
    """Return a baseline as a fit; score (regulator, target)."""
    d = len(score)
    equations = Equilibrium(np.zeros((d, d)), np.zeros(d), np.full(d, np.nan), None) if model is None else model
    return ScreenFit(
        config={},
        params={"A": Network.from_outgoing(equations.weights.astype(np.float32)).incoming},
        chosen={"fit": way, "options": dict(options)},
        weights=score if model is None else equations.weights,
        score=score,
        frequency=np.full_like(score, np.nan),
        history=pd.DataFrame(),
        metrics={},
        controls=pd.DataFrame({"predictor": np.array([], dtype=str), "held_out_r2": np.array([], dtype=float)}),
        model={"constant": equations.constant, "effect": equations.effect, "untried": equations.untried}
        | dict(extra or {}),
        report=[report],
    )


def _ridge(
    inputs: ScreenInputs, stats: PerturbationStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    score, model = network_scores.masked_ridge(dense32(inputs.values), inputs.screen, **options)
    return _record(
        "linear",
        score,
        "Baseline: ridge regression of every gene on all others, over the cells of perturbations that leave it alone.",
        model=model,
        options=options,
    )


def _lasso(
    inputs: ScreenInputs, stats: PerturbationStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    fit = network_scores.masked_lasso(stats, **options)
    return _record(
        "linear",
        fit.score,
        f"Baseline: lasso regression of every gene, lambda {fit.lam:.3g}.",
        model=fit.model,
        options=options,
    )


def _de(
    inputs: ScreenInputs, stats: PerturbationStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    return _record(
        "score",
        network_scores.differential_expression(stats),
        "Baseline: mean absolute z of a gene where the regulator is perturbed.",
        options=options,
    )


def _correlation(
    inputs: ScreenInputs, stats: PerturbationStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    score = network_scores.correlation(dense32(inputs.values), inputs.screen)
    return _record("score", score, "Baseline: correlation over all cells, which has no direction.", options=options)


def _forest(
    inputs: ScreenInputs, stats: PerturbationStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    score = network_scores.forest(dense32(inputs.values), inputs.screen, rng=rng, **options)
    return _record("score", score, "Baseline: importances of random forests, which have no sign.", options=options)


def _causal(stats: PerturbationStatistics, standardised: Floats, name: str, options: dict[str, Any]) -> ScreenFit:
    """Return an acyclic linear model in the units of the data, with its noise."""
    sd = standardised_sd(stats)
    raw = to_acyclic(standardised) * sd[None, :] / sd[:, None]
    model = network_scores.linear_effects(stats, raw)
    noise = network_scores.noise_sd(stats, raw)
    return _record(
        "linear",
        standardised,
        f"Baseline: {name}, a linear causal model without cycles.",
        model=model,
        options=options,
        extra={"noise_sd": noise},
    )


def _notears(
    inputs: ScreenInputs, stats: PerturbationStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    lam = options["lam"] if options.get("lam") is not None else choose_penalty(stats)
    return _causal(stats, notears(*screen_moments(stats), lam=lam), f"NO-TEARS, penalty {lam:g}", {"lam": lam})


def _notears_low_rank(
    inputs: ScreenInputs, stats: PerturbationStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    ridge = RIDGE if options.get("ridge") is None else float(options["ridge"])
    rank = choose_rank(stats, ridge) if options.get("rank") is None else int(options["rank"])
    found = notears_low_rank(*screen_moments(stats), rank=rank, ridge=ridge, rng=rng)
    return _causal(stats, found, f"NO-TEARS-LR, rank {rank}", {"rank": rank, "ridge": ridge})


def _constant(change: Floats, stats: PerturbationStatistics, report: str) -> ScreenFit:
    d = len(change)
    effect = intervention_effects(stats, stats.counts > 0, np.zeros((d, d)), change)
    model = Equilibrium(np.zeros((d, d)), change, effect, None)
    return _record("constant", np.zeros((d, d)), report, model=model, options={})


def _no_change(
    inputs: ScreenInputs, stats: PerturbationStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    return _constant(np.zeros(len(stats.centre)), stats, "Baseline: only targets change.")


def _mean(
    inputs: ScreenInputs, stats: PerturbationStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    change = mean_of_others(stats, np.ones(stats.screen.n_perturbations, bool))
    return _constant(change, stats, "Baseline: every perturbation has the mean effect of all.")


BASELINES: dict[str, tuple[tuple[str, ...], Baseline]] = {
    "ridge": (("alpha",), _ridge),
    "lasso": (("trust", "nonnegative"), _lasso),
    "differential_expression": ((), _de),
    "correlation": ((), _correlation),
    "forest": (("n_trees", "max_cells", "n_jobs"), _forest),
    "notears": (("lam",), _notears),
    "notears_low_rank": (("rank", "ridge"), _notears_low_rank),
    "no_change": ((), _no_change),
    "mean_perturbation": ((), _mean),
}
