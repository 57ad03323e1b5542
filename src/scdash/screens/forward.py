"""Perturbations that a fit has not seen, predicted from the intervention alone, as `tl.predict_perturbations` does."""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from scdash._core.decisions import Difference
from scdash.screens.baselines.linear_model import linear_model, sum_of_singles
from scdash.screens.equilibrium.path import NO_PENALTIES, FoldProblems, Penalties, Settings, solved, until
from scdash.screens.equilibrium.steady_states import Equilibrium
from scdash.screens.held_out import mean_of_others, predict_changes
from scdash.screens.network import finished
from scdash.screens.statistics import Floats, PerturbationStatistics

NETWORK, OTHERS, NONE = "network", "mean of the other perturbations", "no change"
LINEAR, SINGLES = "linear model", "sum of single perturbations"
COLUMNS = ["predictor", "perturbations", "error", "standard_error", "pearson", "top20"]
UNTRIED = (1.0, 0.75, 0.5, 0.25, 0.0)
SURE = 0.01  # p value
TOP = 20  # genes whose overlap is reported
NEGLIGIBLE = 0.01  # part of the error of equations without a network that a path has to explain to be believed


@dataclass(frozen=True)
class Forward:
    """Predicted changes (perturbations, genes) of perturbations that the networks have not seen; NaN for the control."""

    believed: bool  # whether the network of the path, or only what own perturbations show, predicts
    untried: float
    network: Floats
    others: Floats  # mean of the other perturbations
    linear: Floats  # linear model with embeddings of genes
    singles: Floats  # sum of the changes of the single perturbations, NaN where one was not observed

    def predictions(self) -> dict[str, Floats]:
        """Return the predictions (perturbations, genes) of all predictors by name."""
        return {
            NETWORK: self.network,
            OTHERS: self.others,
            NONE: np.zeros_like(self.network),
            LINEAR: self.linear,
            SINGLES: self.singles,
        }


@dataclass(frozen=True)
class ForwardErrors:
    """Mean squared errors of held-out perturbations over genes that are no targets, in SDs of the genes, (perturbations,)."""

    network: Floats
    others: Floats

    @property
    def r2(self) -> float:
        """1 - error of the network over that of the mean of the other perturbations; NaN where nothing was held out."""
        total = float(self.others.sum())
        return 1 - float(self.network.sum()) / total if total > 0 else float("nan")

    @property
    def gain(self) -> Difference:
        """How much smaller the error of the network is than that of the mean of the others, over perturbations."""
        return Difference.of(self.others - self.network)


def forward(
    stats: PerturbationStatistics,
    settings: Settings,
    lam: float,
    given: Penalties = NO_PENALTIES,
    *,
    problems: FoldProblems | None = None,
) -> Forward:
    """Predict every perturbation by the networks of the folds that have not seen it.

    What a gene that no perturbation targeted does to others is only known from how cells vary; the fraction of it that is
    believed (`UNTRIED`) is the one with the least error here. The path is believed if its networks predict better than
    the same equations without a network: in most perturbations (signed-rank test, p < 0.01), and by more than 1 % of
    their error. `problems` are the regressions without each fold, where they are at hand.
    """
    sd = gene_sd(stats)
    found = {True: _Tried.empty(stats), False: _Tried.empty(stats)}
    bare = np.full(stats.y.shape, np.nan)  # equations without a network: their constants
    others, linear = np.full((2, *stats.y.shape), np.nan)
    problems = FoldProblems(stats) if problems is None else problems
    for fold, problem in enumerate(problems.of(settings.covariation)):
        out = stats.fold == fold
        end = solved(problem, until(settings, lam), given)[-1]
        for believed, tried in found.items():
            model = finished(stats, ~out, problem, end, given, believed=believed).model
            tried.predict(model, stats, out)
        others[out] = mean_of_others(stats, ~out)
        known = ~out & (stats.fold >= 0)
        asked = stats.screen.targets[out]
        linear[out] = linear_model(stats.y[known], stats.screen.targets[known], asked, mean_of_others(stats, ~out))
        bare[out] = problem.mean_y
    held = stats.fold >= 0
    base = squared_errors(bare, stats, sd)[held]
    best = {believed: tried.best(stats, sd) for believed, tried in found.items()}
    errors = squared_errors(best[True][1], stats, sd)[held]
    believed = mostly_smaller(errors, base) and float(errors.sum()) < (1 - NEGLIGIBLE) * float(base.sum())
    untried, network = best[believed]
    return Forward(
        believed, untried, network, others, linear, sum_of_singles(stats.y, stats.screen.targets, stats.screen.targets)
    )


def mostly_smaller(errors: Floats, others: Floats) -> bool:
    """Return whether paired errors are smaller than others by a signed-rank test; few strong perturbations do not decide."""
    return bool(np.any(errors != others)) and float(wilcoxon(others, errors, alternative="greater").pvalue) < SURE


def errors_of(found: Forward, stats: PerturbationStatistics) -> ForwardErrors:
    """Return the errors of the held-out perturbations; empty where nothing was held out."""
    held, sd = stats.fold >= 0, gene_sd(stats)
    parts = (found.network, found.others)
    return ForwardErrors(*(squared_errors(part, stats, sd)[held] for part in parts))


def gene_sd(stats: PerturbationStatistics) -> Floats:
    """Return the SD of every gene that errors are measured in; infinite where a gene does not vary."""
    return np.where(stats.noise_sd > 0, stats.noise_sd, np.inf)


def squared_errors(predicted: Floats, stats: PerturbationStatistics, sd: Floats) -> Floats:
    """Return mean squared errors (perturbations,) over the genes that are no targets."""
    error = ((predicted - stats.y) / sd) ** 2 * stats.free
    mean: Floats = error.sum(axis=1) / np.maximum(stats.free.sum(axis=1), 1)
    return mean


def forward_table(found: Forward | None, stats: PerturbationStatistics) -> pd.DataFrame:
    """Return how well every predictor predicts held-out perturbations, a row each, over genes that are no targets.

    There are no rows where nothing was held out.

    `error`: mean squared error in SDs of the genes, over perturbations, with its `standard_error`; `pearson`: mean
    correlation of changes; `top20`: mean part of the 20 genes that change most (in SDs) among the 20 predicted to.
    Sums of single perturbations are over the combined ones alone (`perturbations` counts).
    """
    if found is None:
        return pd.DataFrame({name: np.array([], dtype=str if name == "predictor" else float) for name in COLUMNS})
    held, sd = stats.fold >= 0, gene_sd(stats)
    rows = []
    for name, predicted in found.predictions().items():
        usable = held & np.isfinite(predicted).all(axis=1)
        if not usable.any():
            continue
        errors = squared_errors(predicted, stats, sd)[usable]
        spread = errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.nan
        likeness = [_likeness(predicted[r] / sd, stats.y[r] / sd, stats.free[r]) for r in np.flatnonzero(usable)]
        rows.append((name, len(errors), float(errors.mean()), float(spread), *np.nanmean(likeness, axis=0)))
    return pd.DataFrame(rows, columns=COLUMNS)


def best_predictor(table: pd.DataFrame, *, combined: bool) -> str:
    """Return the predictor of unseen perturbations with the least error; the network where nothing was held out."""
    known = table if combined else table[table["predictor"] != SINGLES]
    if known.empty:
        return NETWORK
    return str(known.loc[cast("int", known["error"].idxmin()), "predictor"])


def _likeness(predicted: Floats, observed: Floats, free: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the correlation of two changes over genes that are no targets, and the overlap of their largest 20."""
    a, b = predicted[free], observed[free]
    spread = float(a.std() * b.std())
    r = float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 0 else 0.0
    n = min(TOP, len(a))
    if not np.abs(a).max(initial=0.0) > 0:
        return r, 0.0
    return r, len(np.intersect1d(np.argsort(-np.abs(a))[:n], np.argsort(-np.abs(b))[:n])) / max(n, 1)


@dataclass(frozen=True)
class _Tried:
    """Predicted changes for every fraction of `UNTRIED`, (shares, perturbations, genes)."""

    values: Floats

    @classmethod
    def empty(cls, stats: PerturbationStatistics) -> "_Tried":
        return cls(np.full((len(UNTRIED), *stats.y.shape), np.nan))

    def predict(self, model: Equilibrium, stats: PerturbationStatistics, out: NDArray[np.bool_]) -> None:
        """Fill in the perturbations of one fold; without an untried target all shares are the same."""
        targets, kinds = stats.screen.targets[out], tuple(np.asarray(stats.screen.kinds)[out])
        new = (targets & np.isnan(model.effect)).any()
        for i, fraction in enumerate(UNTRIED):
            if i == 0 or new:
                values = predict_changes(replace(model, untried=fraction), stats.silent, targets, kinds).values
            self.values[i, out] = values

    def best(self, stats: PerturbationStatistics, sd: Floats) -> tuple[float, Floats]:
        """Return the fraction with the least error over held-out perturbations, and its predictions."""
        held = stats.fold >= 0
        total = [float(np.nansum(squared_errors(one, stats, sd)[held])) for one in self.values]
        i = int(np.argmin(total))
        return UNTRIED[i], self.values[i]
