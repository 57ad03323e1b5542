"""Baselines of a screen as fits: a network, a score or a constant change, in the form of a fit of PerturbODE."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Asked:
    """What a baseline is made from, and the form that it is returned in."""

    inputs: ScreenInputs
    stats: PerturbationStatistics  # with linear features
    rng: np.random.Generator
    options: dict[str, Any]

    def fit(self, way: str, score: Floats, report: str, model: Equilibrium | None = None, **extra: Floats) -> ScreenFit:
        """Return a baseline as a fit; score (regulator, target), `extra` is stored beside the model."""
        d = len(score)
        equations = Equilibrium(np.zeros((d, d)), np.zeros(d), np.full(d, np.nan), None) if model is None else model
        return ScreenFit(
            config={},
            params={"A": Network.from_outgoing(equations.weights.astype(np.float32)).incoming},
            chosen={"fit": way, "options": dict(self.options)},
            weights=score if model is None else equations.weights,
            score=score,
            frequency=np.full_like(score, np.nan),
            history=pd.DataFrame(),
            metrics={},
            controls=pd.DataFrame({"predictor": np.array([], dtype=str), "held_out_r2": np.array([], dtype=float)}),
            model={"constant": equations.constant, "effect": equations.effect, "untried": equations.untried} | extra,
            report=[report],
        )


def _ridge(asked: Asked) -> ScreenFit:
    score, model = network_scores.masked_ridge(dense32(asked.inputs.values), asked.inputs.screen, **asked.options)
    return asked.fit(
        "linear",
        score,
        "Baseline: ridge regression of every gene on all others, over the cells of perturbations that leave it alone.",
        model,
    )


def _lasso(asked: Asked) -> ScreenFit:
    fit = network_scores.masked_lasso(asked.stats, **asked.options)
    return asked.fit("linear", fit.score, f"Baseline: lasso regression of every gene, lambda {fit.lam:.3g}.", fit.model)


def _de(asked: Asked) -> ScreenFit:
    return asked.fit(
        "score",
        network_scores.differential_expression(asked.stats),
        "Baseline: mean absolute z of a gene where the regulator is perturbed.",
    )


def _correlation(asked: Asked) -> ScreenFit:
    score = network_scores.correlation(dense32(asked.inputs.values), asked.inputs.screen)
    return asked.fit("score", score, "Baseline: correlation over all cells, which has no direction.")


def _forest(asked: Asked) -> ScreenFit:
    values = dense32(asked.inputs.values)
    score = network_scores.forest(values, asked.inputs.screen, rng=asked.rng, **asked.options)
    return asked.fit("score", score, "Baseline: importances of random forests, which have no sign.")


def _causal(asked: Asked, standardised: Floats, name: str, **options: float) -> ScreenFit:
    """Return an acyclic linear model in the units of the data, with its noise; `options` are those that were used."""
    sd = standardised_sd(asked.stats)
    raw = to_acyclic(standardised) * sd[None, :] / sd[:, None]
    model = network_scores.linear_effects(asked.stats, raw)
    noise = network_scores.noise_sd(asked.stats, raw)
    return replace(asked, options=options).fit(
        "linear", standardised, f"Baseline: {name}, a linear causal model without cycles.", model, noise_sd=noise
    )


def _notears(asked: Asked) -> ScreenFit:
    given = asked.options.get("lam")
    lam = choose_penalty(asked.stats) if given is None else given
    return _causal(asked, notears(*screen_moments(asked.stats), lam=lam), f"NO-TEARS, penalty {lam:g}", lam=lam)


def _notears_low_rank(asked: Asked) -> ScreenFit:
    given = asked.options
    ridge = RIDGE if given.get("ridge") is None else float(given["ridge"])
    rank = choose_rank(asked.stats, ridge) if given.get("rank") is None else int(given["rank"])
    found = notears_low_rank(*screen_moments(asked.stats), rank=rank, ridge=ridge, rng=asked.rng)
    return _causal(asked, found, f"NO-TEARS-LR, rank {rank}", rank=rank, ridge=ridge)


def _constant(asked: Asked, change: Floats, report: str) -> ScreenFit:
    none = np.zeros((len(change), len(change)))
    effect = intervention_effects(asked.stats, asked.stats.counts > 0, none, change)
    return asked.fit("constant", none, report, Equilibrium(none, change, effect, None))


def _no_change(asked: Asked) -> ScreenFit:
    return _constant(asked, np.zeros(len(asked.stats.centre)), "Baseline: only targets change.")


def _mean(asked: Asked) -> ScreenFit:
    change = mean_of_others(asked.stats, np.ones(asked.stats.screen.n_perturbations, bool))
    return _constant(asked, change, "Baseline: every perturbation has the mean effect of all.")


BASELINES: dict[str, tuple[tuple[str, ...], Callable[[Asked], ScreenFit]]] = {
    "ridge": (("alpha",), _ridge),
    "lasso": (("covariation", "nonnegative"), _lasso),
    "differential_expression": ((), _de),
    "correlation": ((), _correlation),
    "forest": (("n_trees", "max_cells", "n_jobs"), _forest),
    "notears": (("lam",), _notears),
    "notears_low_rank": (("rank", "ridge"), _notears_low_rank),
    "no_change": ((), _no_change),
    "mean_perturbation": ((), _mean),
}
