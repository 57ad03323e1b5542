"""Perturbation screens: edges and held-out regimes of equilibrium matching beside what a user would run instead.

`python -m benchmarks.perturbode [--only dag mid yeast fresh combos] [--seeds 3] [--out DIR]` reads the reference screens from
SCDASH_REFERENCE_DATA and writes networks.csv, held_out.csv, combinations.csv and perturbode.png. Every run is a row;
nothing is chosen with the truth. CPU seconds are those of this process.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scdash._data._screen import Screen, parse_screen
from scdash.matching._equilibrium_fit import fit_equilibrium
from scdash.matching._held_out import Equilibrium, mean_of_others, predict_changes, score_changes
from scdash.matching._notears import notears, notears_low_rank, screen_moments, to_acyclic
from scdash.matching._regimes import RegimeStatistics, assign_folds, regime_statistics
from scdash.matching._screen_baselines import (
    correlation,
    differential_expression,
    forest,
    linear_effects,
    masked_lasso,
    masked_ridge,
)

DATA = Path(os.environ.get("SCDASH_REFERENCE_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILES = {
    "dag": "sergio_dag100/sergio_dag100.h5ad",
    "mid": "sergio_dag100/sergio_dag100_midresponse.h5ad",
    "yeast": "sergio_yeast400/sergio_yeast400.h5ad",
}
TARGETS = {"dag": 0.57, "mid": 0.84, "yeast": 0.58}


def average_precision(score: np.ndarray, truth: np.ndarray) -> float:
    """Area under precision-recall without self edges (all true edges here activate, so a signed score ranks them)."""
    from sklearn.metrics import average_precision_score

    off = ~np.eye(len(truth), dtype=bool)
    return float(average_precision_score(truth[off] != 0, score[off]))


def sign_aware(score: np.ndarray, truth: np.ndarray) -> float:
    """The same ranked by |score|, where an edge of the wrong sign is a false positive."""
    off = ~np.eye(len(truth), dtype=bool)
    s, t = score[off], np.sign(truth[off])
    order = np.argsort(-np.abs(s), kind="stable")
    hit = (np.sign(s[order]) == t[order]) & (t[order] != 0)
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return float((precision * hit).sum() / np.count_nonzero(t))


def load(name: str) -> tuple[np.ndarray, Screen, np.ndarray]:
    """Return log1p expression, the screen and the truth (regulator, target)."""
    import anndata

    adata = anndata.read_h5ad(DATA / FILES[name])
    screen = parse_screen(adata.obs["perturbation"], adata.var_names)
    return np.log1p(np.asarray(adata.X)), screen, adata.varp["grn"].toarray()


def simulate(seed: int, half_response: str) -> tuple[np.ndarray, Screen, np.ndarray]:
    """Return a freshly simulated screen like dag100."""
    from scdash.simulate._sergio import sergio

    adata = sergio(half_response=half_response, rng=seed)
    return (
        np.log1p(np.asarray(adata.X)),
        parse_screen(adata.obs["perturbation"], adata.var_names),
        adata.varp["truth"].toarray(),
    )


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result, CPU seconds and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = run()
    return found, time.process_time() - cpu, time.perf_counter() - wall


def network_rows(
    name: str, x: np.ndarray, screen: Screen, truth: np.ndarray, seeds: int, *, slow: bool
) -> Iterator[dict]:
    """Yield one row for every method and seed (of the folds or of the random numbers)."""

    def row(method: str, seed: int, run: Callable[[], np.ndarray], note: str = "") -> dict:
        score, cpu, wall = timed(run)
        return {
            "data": name,
            "method": method,
            "seed": seed,
            "auprc_signed": average_precision(score, truth),
            "auprc_absolute": average_precision(np.abs(score), truth),
            "auprc_sign_aware": sign_aware(score, truth),
            "prevalence": float((truth != 0).sum() / (truth.size - len(truth))),
            "cpu_s": cpu,
            "wall_s": wall,
            "note": note,
        }

    folds = lambda seed: assign_folds(screen.n_regimes, 5, np.random.default_rng(seed))
    for seed in range(seeds):
        notes: list[str] = []

        def equilibrium(*, refine: bool = True, seed: int = seed, notes: list[str] = notes) -> np.ndarray:
            fit = fit_equilibrium(regime_statistics(x, screen, folds(seed)), refine=refine)
            s = fit.settings
            notes.append(f"trust {s.trust} activating {s.nonnegative} hubs {s.hubs} mcp {s.mcp} lambda {fit.lam:.3f}")
            return fit.score

        result = row("equilibrium matching", seed, equilibrium)
        yield result | {"note": notes[-1]}
        result = row("equilibrium matching, plain lasso", seed, lambda: equilibrium(refine=False))
        yield result | {"note": notes[-1]}
    linear = regime_statistics(x, screen, folds(0), slope=None)
    yield row("masked ridge", 0, lambda: masked_ridge(x, screen)[0])
    yield row("masked lasso", 0, lambda: masked_lasso(linear).score, "linear features, trust .1, activating")
    yield row("differential expression", 0, lambda: differential_expression(linear))
    yield row("absolute correlation", 0, lambda: np.abs(correlation(x, screen)))
    if slow:
        gram, cross = screen_moments(linear)
        for lam in (0.01, 0.05, 0.1):
            yield row("NO-TEARS", 0, lambda lam=lam: notears(gram, cross, lam=lam), f"lambda {lam}")
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            yield row("NO-TEARS-LR", seed, lambda rng=rng: notears_low_rank(gram, cross, rng=rng), "rank 10")
        yield row(
            "forest", 0, lambda: forest(x, screen, n_trees=30, max_cells=600), "30 trees, 600 cells a gene, no sign"
        )


def exact_w2(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Return the exact Wasserstein-2 distance (not squared) of two clouds of cells; NaN without POT."""
    try:
        import ot
    except ImportError:
        return float("nan")
    cost = ot.dist(predicted.astype(float), observed.astype(float))
    return float(np.sqrt(max(ot.emd2([], [], cost), 0)))


def held_out_rows(name: str, x: np.ndarray, screen: Screen, *, slow: bool) -> Iterator[dict]:
    """Yield scores of regimes that took no part in fitting nor in choosing settings (5 outer, 5 inner folds)."""
    fold = assign_folds(screen.n_regimes, 5, np.random.default_rng(0))
    full = regime_statistics(x, screen, fold)
    for k in range(5):
        inner = screen.keep(fold != k)
        inner_fold = assign_folds(inner.n_regimes, 5, np.random.default_rng(k))
        out = np.flatnonzero(fold == k)
        yield from _score_models(name, k, x, screen, full, fold != k, out, _models(x, inner, inner_fold, slow=slow))


def _models(x: np.ndarray, screen: Screen, fold: np.ndarray, *, slow: bool) -> dict[str, Equilibrium]:
    stats, linear = regime_statistics(x, screen, fold), regime_statistics(x, screen, fold, slope=None)
    models = {
        "equilibrium matching": fit_equilibrium(stats).model,
        "masked lasso": masked_lasso(linear).model,
        "masked ridge": masked_ridge(x, screen)[1],
    }
    if slow:
        gram, cross = screen_moments(linear)
        sd = np.sqrt(
            np.maximum(
                (linear.yy.sum(axis=0) + (linear.counts[:, None] * linear.y**2).sum(axis=0)) / linear.counts.sum(),
                1e-12,
            )
        )
        raw = to_acyclic(notears(gram, cross)) * sd[None, :] / sd[:, None]
        models["NO-TEARS linear model"] = linear_effects(linear, raw)
    return models


def _score_models(
    name: str,
    k: int,
    x: np.ndarray,
    screen: Screen,
    full: RegimeStatistics,
    used: np.ndarray,
    out: np.ndarray,
    models: dict[str, Equilibrium],
) -> Iterator[dict]:
    kinds = tuple(screen.kinds[r] for r in out)
    reference = np.broadcast_to(mean_of_others(full, used), (len(out), x.shape[1]))
    predictions = {m: predict_changes(model, full.centre, screen.targets[out], kinds) for m, model in models.items()}
    held = predictions["equilibrium matching"]  # targets: the strengths seen in training, for the references too
    predictions["mean of the other perturbations"] = np.where(screen.targets[out], held, reference)
    predictions["no change"] = np.where(screen.targets[out], held, 0.0)
    control = x[screen.cells == 0]
    for method, predicted in predictions.items():
        scores = score_changes(predicted, full.y[out], reference, full.free[out], full.within_sd)
        cells = [
            exact_w2(np.maximum(control + p, 0), x[screen.cells == r]) for p, r in zip(predicted, out, strict=True)
        ]
        yield {
            "data": name,
            "fold": k,
            "method": method,
            "wr2": scores.wr2,
            "pearson_of_changes": scores.pearson,
            "rmse_sd": scores.rmse,
            "w2": float(np.mean(cells)),
        }


def combination_rows(seeds: int) -> Iterator[dict]:
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
        yield from _score_models("pairs of single genes, mid", seed, x, screen, full, used, out, models)
        alone = {int(np.flatnonzero(t)[0]): full.y[r] for r, t in enumerate(screen.targets) if t.sum() == 1}
        added = np.stack([sum(alone[int(g)] for g in np.flatnonzero(screen.targets[r])) for r in out])
        reference = np.broadcast_to(mean_of_others(full, used), added.shape)
        scores = score_changes(added, full.y[out], reference, full.free[out], full.within_sd)
        yield {
            "data": "pairs of single genes, mid",
            "fold": seed,
            "method": "sum of the single effects",
            "wr2": scores.wr2,
            "pearson_of_changes": scores.pearson,
            "rmse_sd": scores.rmse,
        }


def figure(networks: pd.DataFrame, held: pd.DataFrame, path: Path) -> None:
    """Draw signed AUPRC and held-out wR2 of every method; dots are runs, the dashed line is the goal."""
    from matplotlib.figure import Figure

    plots = [(networks, "auprc_signed", "signed AUPRC"), (held, "wr2", "wR2 of held-out regimes")]
    drawn = Figure(figsize=(11, 7), layout="constrained")
    axes = drawn.subplots(2, 3, squeeze=False)
    for i, (table, column, label) in enumerate(plots):
        for ax, name in zip(axes[i], ("dag", "mid", "yeast"), strict=True):
            part = table[table["data"] == name]
            methods = list(dict.fromkeys(part["method"]))
            for j, method in enumerate(methods):
                values = part.loc[part["method"] == method, column].clip(lower=-1)
                ax.plot(values, np.full(len(values), j), "o", color="C0", alpha=0.6)
            ax.set_yticks(range(len(methods)), methods, fontsize=7)
            ax.invert_yaxis()
            ax.set_title(name)
            ax.set_xlabel(label)
            if i == 0:
                ax.axvline(TARGETS[name], linestyle="--", color="grey")
    drawn.savefig(path, dpi=120)


def main() -> None:
    """Run the benchmark; tables are written after every data set, so that an interrupted run keeps its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=["dag", "mid", "yeast", "fresh", "combos"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks") / "results" / "perturbode")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[dict]] = {"networks": [], "held_out": [], "combinations": []}

    def collect(table: str, rows: Iterator[dict]) -> None:
        for row in rows:
            tables[table].append(row)
            print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
            pd.DataFrame(tables[table]).to_csv(options.out / f"{table}.csv", index=False)

    for name in options.only:
        if name == "fresh":
            for seed in range(1, options.seeds + 1):
                for half in ("mean", "mid"):
                    collect("networks", network_rows(f"fresh {half} {seed}", *simulate(seed, half), 1, slow=False))
        elif name == "combos":
            collect("combinations", combination_rows(options.seeds))
        else:
            x, screen, truth = load(name)
            collect("networks", network_rows(name, x, screen, truth, options.seeds, slow=name != "yeast"))
            collect("held_out", held_out_rows(name, x, screen, slow=name != "yeast"))
    if tables["networks"] and tables["held_out"]:
        figure(pd.DataFrame(tables["networks"]), pd.DataFrame(tables["held_out"]), options.out / "perturbode.png")


if __name__ == "__main__":
    main()
