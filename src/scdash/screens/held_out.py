"""Predicted changes under interventions, and how predictions of unseen perturbations are scored."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash.screens.equilibrium.steady_states import Equilibrium, SteadyStates, steady_states
from scdash.screens.statistics import Floats, PerturbationStatistics

PERFECT = ("overexpression", "knockout")  # kinds that replace a gene's own equation


def intervention_effects(
    stats: PerturbationStatistics, used: NDArray[np.bool_], weights: Floats, constant: Floats
) -> Floats:
    """Return what interventions did to each gene, averaged over the `used` perturbations; NaN for genes never targeted."""
    own = constant + stats.f @ weights
    perfect = np.isin(stats.screen.kinds, PERFECT)[:, None]
    seen = stats.screen.targets & used[:, None]
    observed = np.where(seen, np.where(perfect, stats.y, stats.y - own), 0.0).sum(axis=0)
    times = seen.sum(axis=0)
    effect: Floats = np.where(times > 0, observed / np.maximum(times, 1), np.nan)
    return effect


def fill_unseen(effect: Floats, kind: str, silent: Floats) -> Floats:
    """Return effects with genes never targeted set to the median of the others, or to no expression if knocked out.

    `silent` (genes,) is the state of a gene that is not expressed, relative to the control mean.
    """
    if kind == "knockout":
        return np.where(np.isnan(effect), silent, effect)
    known = effect[~np.isnan(effect)]
    return np.where(np.isnan(effect), np.median(known) if len(known) else 0.0, effect)


@dataclass(frozen=True)
class HeldOutScores:
    """Predicted against observed changes from control of perturbations that were not trained on, untargeted genes only.

    `pearson` is the mean over perturbations; `wr2` is 1 - sum (error / s)^2 / sum (error of the mean of the other
    perturbations / s)^2 with s the within-perturbation SD of each gene, so that 0 is what that mean reaches.
    """

    pearson: float
    wr2: float
    rmse: float  # in within-perturbation SDs


def score_changes(
    predicted: Floats, observed: Floats, reference: Floats, free: NDArray[np.bool_], sd: Floats
) -> HeldOutScores:
    """Score (perturbations, genes) of changes from control against `reference`, the mean of the other perturbations."""
    usable = free & (sd > 0)
    safe = np.where(sd > 0, sd, 1.0)
    error = np.where(usable, (predicted - observed) / safe, 0.0)
    base = np.where(usable, (reference - observed) / safe, 0.0)
    r = [_pearson(p[u], o[u]) for p, o, u in zip(predicted, observed, usable, strict=True)]
    wr2 = 1 - float((error**2).sum() / max((base**2).sum(), 1e-300))
    return HeldOutScores(float(np.nanmean(r)), wr2, float(np.sqrt((error**2).sum() / usable.sum())))


def mean_of_others(stats: PerturbationStatistics, used: NDArray[np.bool_]) -> Floats:
    """Return (genes,), the mean change over the `used` perturbations that leave the gene alone."""
    rows = used.copy()
    rows[0] = False
    count = (stats.free & rows[:, None]).sum(axis=0)
    mean: Floats = np.where(stats.free & rows[:, None], stats.y, 0.0).sum(axis=0) / np.maximum(count, 1)
    return mean


def _pearson(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def predict_changes(
    model: Equilibrium, silent: Floats, targets: NDArray[np.bool_], kinds: tuple[str, ...]
) -> SteadyStates:
    """Return the steady-state change from the control mean (perturbations, genes) under unseen interventions.

    Effects of genes never targeted in training are filled by `fill_unseen`, which `silent` is for.
    """
    effect = np.zeros(targets.shape)
    for kind in set(kinds):
        rows = np.asarray(kinds) == kind
        effect[rows] = fill_unseen(model.effect, kind, silent)
    return steady_states(model, targets, np.isin(kinds, PERFECT), effect)
