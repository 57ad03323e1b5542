"""Regimes that took no part in fitting nor in choosing settings, and pairs predicted from single perturbations."""

from collections.abc import Iterator

import numpy as np

from benchmarks._perturbode_data import Row
from scdash._data._screen import Screen, parse_screen
from scdash.fitting._screen_predict import AtRest, Carried, LinearScm, Predictor
from scdash.fitting._screen_tune import tune_equilibrium
from scdash.matching._equilibrium_fit import fit_equilibrium
from scdash.matching._held_out import mean_of_others, score_changes
from scdash.matching._notears import notears, screen_moments, standardised_sd, to_acyclic
from scdash.matching._regimes import RegimeStatistics, assign_folds, regime_statistics
from scdash.matching._screen_baselines import linear_effects, masked_lasso, masked_ridge, noise_sd
from scdash.sparsity import as_sparsity
from scdash.training._fine_tune import TuneConfig
from scdash.training._transport import fit_transport
from scdash.training._transport_config import TransportConfig

MATCHING = "equilibrium matching"


def exact_w2(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Return the exact Wasserstein-2 distance (not squared) of two clouds of cells; NaN without POT."""
    try:
        import ot
    except ImportError:
        return float("nan")
    cost = ot.dist(predicted.astype(float), observed.astype(float))
    return float(np.sqrt(max(ot.emd2([], [], cost), 0)))


def held_out_rows(
    name: str, x: np.ndarray, screen: Screen, folds: list[int], *, slow: bool, seed: int = 0
) -> Iterator[Row]:
    """Yield scores of 5 outer folds of regimes (5 inner ones choose settings)."""
    fold = assign_folds(screen.n_regimes, 5, np.random.default_rng(seed))
    full = regime_statistics(x, screen, fold)
    for k in folds:
        inner = screen.keep(fold != k)
        inner_fold = assign_folds(inner.n_regimes, 5, np.random.default_rng(k))
        out = np.flatnonzero(fold == k)
        yield from _scores(name, k, x, screen, full, fold != k, out, _models(x, inner, inner_fold, slow=slow))


def _models(x: np.ndarray, screen: Screen, fold: np.ndarray, *, slow: bool) -> dict[str, Predictor]:
    stats, linear = regime_statistics(x, screen, fold), regime_statistics(x, screen, fold, slope=None)
    fit = fit_equilibrium(stats)
    models: dict[str, Predictor] = {
        MATCHING: AtRest(fit.model, stats.centre),
        "masked lasso": AtRest(masked_lasso(linear).model, stats.centre),
        "masked ridge": AtRest(masked_ridge(x, screen)[1], stats.centre),
    }
    if slow:
        none, rng = as_sparsity("none"), np.random.default_rng(0)
        tuned = tune_equilibrium(stats, fit, TuneConfig(), sparsity=none, prior=None, rng=rng)
        models["matching, then ODE if inner folds gain"] = AtRest(tuned.fit.model, stats.centre)
        config = TransportConfig()
        trained = fit_transport(x, screen, config, rng=np.random.default_rng(0))
        models["transport, mean loss"] = Carried(
            trained.field, trained.params, trained.strengths, config.flow, stats.centre
        )
        sd = standardised_sd(linear)
        raw = to_acyclic(notears(*screen_moments(linear))) * sd[None, :] / sd[:, None]
        models["NO-TEARS, linear SCM samples"] = LinearScm(
            linear_effects(linear, raw), noise_sd(linear, raw), stats.centre
        )
    return models


def _scores(
    name: str,
    k: int,
    x: np.ndarray,
    screen: Screen,
    full: RegimeStatistics,
    used: np.ndarray,
    out: np.ndarray,
    models: dict[str, Predictor],
) -> Iterator[Row]:
    kinds = tuple(screen.kinds[r] for r in out)
    targets, control, rng = screen.targets[out], x[screen.cells == 0], np.random.default_rng(k)
    reference = np.broadcast_to(mean_of_others(full, used), (len(out), x.shape[1]))
    changes = {m: model.changes(targets, kinds) for m, model in models.items()}
    told = changes[MATCHING]  # targets: the strengths seen in training, for the references too
    changes["mean of the other perturbations"] = np.where(targets, told, reference)
    changes["no change"] = np.where(targets, told, 0.0)
    for method, change in changes.items():
        scores = score_changes(change, full.y[out], reference, full.free[out], full.within_sd)
        distances = []
        for i, r in enumerate(out):
            if method in models:
                cells = models[method].cells(control.astype(float), targets[i], kinds[i], rng)
            else:
                cells = np.maximum(control + change[i], 0)
            distances.append(exact_w2(cells, x[screen.cells == r]))
        yield {
            "data": name,
            "fold": k,
            "method": method,
            "wr2": scores.wr2,
            "pearson_of_changes": scores.pearson,
            "rmse_sd": scores.rmse,
            "w2": float(np.mean(distances)),
        }


def combination_rows(seeds: int) -> Iterator[Row]:
    """Yield scores of pairs of genes predicted from a simulated screen of single genes."""
    from scdash.simulate._sergio import sergio

    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        single = [f"G{i:03d}" for i in rng.permutation(100)[:60]]
        pairs = ["+".join(rng.choice(single, 2, replace=False)) for _ in range(30)]
        adata = sergio(half_response="mid", perturbations=single + pairs, rng=seed)
        x, screen = np.log1p(np.asarray(adata.X)), parse_screen(adata.obs["perturbation"], adata.var_names)
        used = screen.targets.sum(axis=1) < 2
        full = regime_statistics(x, screen, np.where(used, -1, 0))
        inner = screen.keep(used)
        models = _models(x, inner, assign_folds(inner.n_regimes, 5, rng), slow=False)
        out = np.flatnonzero(~used)
        name = "pairs of single genes, mid"
        yield from _scores(name, seed, x, screen, full, used, out, models)
        alone = {int(np.flatnonzero(t)[0]): full.y[r] for r, t in enumerate(screen.targets) if t.sum() == 1}
        added = np.stack([sum(alone[int(g)] for g in np.flatnonzero(screen.targets[r])) for r in out])
        reference = np.broadcast_to(mean_of_others(full, used), added.shape)
        scores = score_changes(added, full.y[out], reference, full.free[out], full.within_sd)
        yield {
            "data": name,
            "fold": seed,
            "method": "sum of the single effects",
            "wr2": scores.wr2,
            "pearson_of_changes": scores.pearson,
            "rmse_sd": scores.rmse,
            "w2": float("nan"),
        }
