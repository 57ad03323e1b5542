"""Perturbations that took no part in fitting nor in choosing settings, and pairs predicted from single perturbations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from benchmarks._perturbode_data import Row, Source
from benchmarks._perturbode_jobs import Job
from benchmarks._perturbode_networks import default_fit
from scdash._data.screen import Screen, parse_screen
from scdash.screens.baselines.network_scores import linear_effects, masked_lasso, masked_ridge, noise_sd
from scdash.screens.baselines.notears import choose_penalty, notears, screen_moments, standardised_sd, to_acyclic
from scdash.screens.equilibrium.fit import EquilibriumFit
from scdash.screens.held_out import mean_of_others, score_changes
from scdash.screens.predictors import AtRest, Carried, LinearScm, Predictor
from scdash.screens.statistics import PerturbationStatistics, assign_folds, perturbation_statistics
from scdash.screens.transport.fit import fit_transport
from scdash.training.transport_config import TransportConfig

MATCHING = "equilibrium matching"
REFERENCES = ("mean of the other perturbations", "no change")


def exact_w2(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Return the exact Wasserstein-2 distance (not squared) of two clouds of cells; NaN without POT."""
    try:
        import ot
    except ImportError:
        return float("nan")
    cost = ot.dist(predicted.astype(float), observed.astype(float))
    return float(np.sqrt(max(ot.emd2([], [], cost), 0)))


@dataclass(frozen=True)
class Split:
    """A screen of which some perturbations are held out; `seed` deals the others into folds that choose settings."""

    x: np.ndarray
    screen: Screen
    used: np.ndarray  # (perturbations,), the control among them
    seed: int

    @cached_property
    def full(self) -> PerturbationStatistics:
        """Statistics of all perturbations, for scores."""
        return perturbation_statistics(self.x, self.screen, np.where(self.used, -1, 0))

    @cached_property
    def inner(self) -> Screen:
        """The screen that methods see."""
        return self.screen.keep(self.used)

    def statistics(self, slope: float | None = 1.0) -> PerturbationStatistics:
        """Return what the matching methods fit."""
        fold = assign_folds(self.inner, 5, np.random.default_rng(self.seed))
        return perturbation_statistics(self.x, self.inner, fold, slope=slope)

    @cached_property
    def matched(self) -> tuple[PerturbationStatistics, EquilibriumFit]:
        """The matched network, which also tells the references how strong the interventions are."""
        stats = self.statistics()
        return stats, default_fit(stats)

    def predictor(self, method: str) -> Predictor:
        """Fit one of `METHODS`."""
        return METHODS[method](self)

    @property
    def out(self) -> np.ndarray:
        """Numbers of the held-out perturbations."""
        return np.flatnonzero(~self.used)

    def changes(self, model: Predictor) -> np.ndarray:
        """Return predicted changes from control of the held-out perturbations."""
        return model.changes(self.screen.targets[self.out], tuple(self.screen.kinds[r] for r in self.out))

    @cached_property
    def reference(self) -> np.ndarray:
        """The mean of the other perturbations."""
        return np.broadcast_to(mean_of_others(self.full, self.used), (len(self.out), self.x.shape[1]))

    def row(self, method: str) -> Row:
        """Return the scores of a method or reference."""
        targets, control = self.screen.targets[self.out], self.x[self.screen.cells == 0].astype(float)
        model = None if method in REFERENCES else self.predictor(method)
        if model is not None:
            change = self.changes(model)
        else:  # targets: the strengths seen in training, for the references too
            told = self.changes(self.predictor(MATCHING))
            change = np.where(targets, told, self.reference if method == REFERENCES[0] else 0.0)
        rng, distances = np.random.default_rng(self.seed), []
        for i, r in enumerate(self.out):
            if model is None:
                cells = np.maximum(control + change[i], 0)
            else:
                cells = model.cells(control, targets[i], self.screen.kinds[r], rng)
            distances.append(exact_w2(cells, self.x[self.screen.cells == r]))
        return self.scored(change) | {"w2": float(np.mean(distances))}

    def scored(self, change: np.ndarray) -> Row:
        """Return wR2 and its like for predicted changes."""
        full = self.full
        scores = score_changes(change, full.y[self.out], self.reference, full.free[self.out], full.within_sd)
        return {"wr2": scores.wr2, "pearson_of_changes": scores.pearson, "rmse_sd": scores.rmse}


def _matching(split: Split) -> Predictor:
    stats, fit = split.matched
    return AtRest(fit.model, stats.centre)


def _carried(split: Split) -> Predictor:
    config = TransportConfig()
    fit = fit_transport(split.x, split.inner, config, rng=np.random.default_rng(0), progress=False)
    return Carried(fit.field, fit.params, fit.strengths, config.flow, split.full.centre)


def _lasso(split: Split) -> Predictor:
    return AtRest(masked_lasso(split.statistics(None)).model, split.full.centre)


def _ridge(split: Split) -> Predictor:
    return AtRest(masked_ridge(split.x, split.inner)[1], split.full.centre)


def _linear_scm(split: Split) -> Predictor:
    linear = split.statistics(None)
    sd = standardised_sd(linear)
    raw = to_acyclic(notears(*screen_moments(linear), lam=choose_penalty(linear))) * sd[None, :] / sd[:, None]
    return LinearScm(linear_effects(linear, raw), noise_sd(linear, raw), split.full.centre)


SLOW: dict[str, Callable[[Split], Predictor]] = {
    "transport, mean loss": _carried,
    "NO-TEARS, linear SCM samples": _linear_scm,
}
METHODS: dict[str, Callable[[Split], Predictor]] = {
    MATCHING: _matching,
    "masked lasso": _lasso,
    "masked ridge": _ridge,
} | SLOW


def held_out_jobs(name: str, source: Source, folds: list[int], *, slow: bool, seed: int = 0) -> Iterator[Job]:
    """Yield scores of 5 outer folds of perturbations (5 inner ones choose settings)."""

    @cache
    def split(k: int) -> Split:
        x, screen, _ = source()
        return Split(x, screen, assign_folds(screen, 5, np.random.default_rng(seed)) != k, k)

    for k in folds:
        for method in (*(m for m in METHODS if slow or m not in SLOW), *REFERENCES):
            run = lambda k=k, method=method: split(k).row(method)
            yield Job("held_out", {"data": name, "fold": k, "method": method}, run)


def combination_jobs(seeds: int) -> Iterator[Job]:
    """Yield scores of pairs of genes predicted from a simulated screen of single genes."""
    for seed in range(seeds):
        split = cache(lambda seed=seed: _pairs(seed))
        rows: dict[str, Callable[[], Row]] = {
            method: lambda method=method, split=split: split().row(method)
            for method in (*(m for m in METHODS if m not in SLOW), *REFERENCES)
        }
        rows["sum of the single effects"] = lambda split=split: _sum_of_singles(split())
        for method, run in rows.items():
            yield Job("combinations", {"data": "pairs of single genes, mid", "fold": seed, "method": method}, run)


def _pairs(seed: int) -> Split:
    from scdash.simulate._sergio import sergio

    rng = np.random.default_rng(seed)
    single = [f"G{i:03d}" for i in rng.permutation(100)[:60]]
    pairs = ["+".join(rng.choice(single, 2, replace=False)) for _ in range(30)]
    adata = sergio(half_response="mid", perturbations=single + pairs, rng=seed)
    x, screen = np.log1p(np.asarray(adata.X)), parse_screen(adata.obs["perturbation"], adata.var_names)
    return Split(x, screen, screen.targets.sum(axis=1) < 2, seed)


def _sum_of_singles(split: Split) -> Row:
    y, targets = split.full.y, split.screen.targets
    alone = {int(np.flatnonzero(t)[0]): y[r] for r, t in enumerate(targets) if t.sum() == 1}
    return split.scored(np.stack([sum(alone[int(g)] for g in np.flatnonzero(targets[r])) for r in split.out]))
