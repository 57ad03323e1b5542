"""Scores of held-out cells as tables, for the network and the linear models beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._data import as_dense
from scdash.paired.design import Design
from scdash.paired.evaluation import feature_r2, learned_something, multivariate_r2, warn_if_unsettled
from scdash.paired.linear_fit import fit_linear, ridge
from scdash.paired.reading import Paired
from scdash.paired.result import BottleneckFit
from scdash.paired.standardize import Standardize, learn_scale
from scdash.paired.store import versions
from scdash.resampling.folds import Fold
from scdash.resampling.stability import Selections, ranked

Rows = list[dict[str, Any]]


def network_rows(data: Paired, fits: Sequence[BottleneckFit], method: str) -> Rows:
    """Return the scores of networks on the cells each of them has not seen."""
    rows: Rows = []
    for fit in fits:
        said = fit.predict(as_dense(data.matrix[fit.fold.test][:, fit.selected])).features
        truth = fit.y_scale.apply(data.features_matrix[fit.fold.test])
        rows += score_rows(method, fit.fold, truth, said, data.features, len(fit.selected))
    return rows


def baseline_rows(
    data: Paired, fold: Fold, baselines: Sequence[str], n_latent: int, n_features: int, standardize: Standardize
) -> tuple[Rows, list[bool]]:
    """Return the scores of the linear models on one fold, and whether each regression with a penalty converged."""
    rows: Rows = []
    settled: list[bool] = []
    full = min(len(data.features), len(data.genes))
    if "srrr" in baselines:
        for rank in sorted({min(n_latent, full), full}):
            own, converged = srrr_rows(data, fold, rank, n_features, standardize)
            rows += own
            settled.append(converged)
    if "ridge" in baselines:
        rows += ridge_rows(data, fold, standardize)
    return rows, settled


def srrr_rows(data: Paired, fold: Fold, rank: int, n_features: int, standardize: Standardize) -> tuple[Rows, bool]:
    """Return the scores of a sparse reduced-rank regression with as many genes as the network, and whether it converged."""
    options: dict[str, Any] = {"rank": rank, "lam": None, "n_features": n_features, "standardize": standardize}
    fit, (x_scale, y_scale) = fit_linear(data.matrix, data.features_matrix, fold, **options)
    said = fit.predict(x_scale.apply(as_dense(data.matrix[fold.test])))
    truth = y_scale.apply(data.features_matrix[fold.test])
    return score_rows(f"srrr-{rank}", fold, truth, said, data.features, len(fit.selected)), fit.settled


def ridge_rows(data: Paired, fold: Fold, standardize: Standardize) -> Rows:
    """Return the scores of a ridge regression on all genes."""
    x_scale, y_scale = (learn_scale(m, fold, standardize) for m in (data.matrix, data.features_matrix))
    known = np.nan_to_num(y_scale.apply(data.features_matrix[fold.train]))
    found = ridge(Design(data.matrix, x_scale, fold.train), known)
    said = x_scale.apply(as_dense(data.matrix[fold.test])) @ found.coefficients
    truth = y_scale.apply(data.features_matrix[fold.test])
    return score_rows("ridge", fold, truth, said, data.features, len(data.genes))


def score_rows(
    method: str, fold: Fold, truth: NDArray[Any], said: NDArray[Any], features: pd.Index, n_genes: int
) -> Rows:
    """Return one row for the multivariate score and one per feature."""
    values = [multivariate_r2(truth, said), *feature_r2(truth, said)]
    names = ["all", *map(str, features)]
    return [
        {"method": method, "fold": fold.name, "feature": name, "r2": float(value), "n_genes": n_genes}
        for name, value in zip(names, values, strict=True)
    ]


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation (ddof 0, as published) over folds, by method and feature.

    Every fold counts the same. What is said of a method as a whole is its row "all", here and in `summary_in_words`.
    """
    groups = scores.groupby(["method", "feature"], sort=False)
    table = groups["r2"].agg(mean="mean", sd=lambda values: values.std(ddof=0)).reset_index()
    return table.merge(groups["n_genes"].mean().reset_index(), on=["method", "feature"])


def summary_in_words(
    scores: pd.DataFrame, summary: pd.DataFrame, params: Mapping[str, Any]
) -> tuple[dict[str, float], str]:
    """Return the figures of every method, those of its row "all" in `summary`, and what they say.

    A linear model that predicts as well as the network, or better, is named with the call that fits it.
    """
    method = str(params["method"])
    whole = summary[summary["feature"] == "all"].set_index("method")
    metrics: dict[str, float] = {}
    shown = []
    for name, row in whole.iterrows():
        metrics[f"{name}_r2"], metrics[f"{name}_sd"] = float(row["mean"]), float(row["sd"])
        shown.append(f"{name} {row['mean']:.3f} ± {row['sd']:.3f} ({row['n_genes']:.0f} genes)")
    own = scores.loc[(scores["method"] == method) & (scores["feature"] == "all"), "r2"].to_numpy()
    learned = learned_something(own)
    metrics["learned"] = float(learned)
    report = f"R2 over all features of held-out cells, mean ± sd of {len(own)} folds: " + ", ".join(shown) + "."
    if not learned:
        report += " Nothing was learned: the network predicts new cells no better than the training mean does."
    others = whole["mean"].drop(method)
    better = others[(others >= whole.loc[method, "mean"]) & (others > 0)].sort_values(ascending=False)
    if len(better):
        named = [f"{name}, {_call(str(name), params)}" for name in better.index]
        report += f" Linear models predict as well or better: {'; '.join(named)}."
    return metrics, report


def _call(name: str, params: Mapping[str, Any]) -> str:
    """Return the call that fits a linear model of a cross-validation: "ridge", or "srrr-" and its rank."""
    size = (
        f"rank={params['full_rank']}, alpha=0"
        if name == "ridge"
        else f"rank={name.removeprefix('srrr-')}, n_features={params['n_features']}"
    )
    return f"scdash.tl.srrr(mdata, x={params['x']!r}, y={params['y']!r}, {size})"


def selection_table(fits: Sequence[BottleneckFit], genes: pd.Index) -> pd.DataFrame:
    """Return gene, frequency (fraction of models that selected it), count and mean norm, most frequent first."""
    selected = np.zeros((len(fits), len(genes)), bool)
    for row, fit in zip(selected, fits, strict=True):
        row[fit.selected] = True
    found = Selections(selected, np.stack([fit.norms for fit in fits]))
    columns = {"gene": np.asarray(genes, dtype=str), "frequency": found.frequency, "count": selected.sum(axis=0)}
    return ranked(columns | {"norm": found.mean}, by="norm")


def cross_validation_entry(
    data: Paired, fits: Sequence[BottleneckFit], baselines: Sequence[str], params: dict[str, Any]
) -> dict[str, Any]:
    """Score the networks, fit and score the linear models on the same folds, and put it into words."""
    method = params["method"]
    rows = network_rows(data, fits, method)
    settled: list[bool] = []
    for fit in fits:
        own, converged = baseline_rows(
            data, fit.fold, baselines, params["n_latent"], params["n_features"], params["standardize"]
        )
        rows += own
        settled += converged
    warn_if_unsettled(settled)
    params = {**params, "full_rank": min(len(data.features), len(data.genes))}
    scores = pd.DataFrame(rows)
    summary = summarise(scores)
    metrics, report = summary_in_words(scores, summary, params)
    return {
        "params": {**params, "versions": versions()},
        "scores": scores,
        "summary": summary,
        "history": pd.concat([fit.history for fit in fits], ignore_index=True),
        "selection": selection_table(fits, data.genes),
        "metrics": metrics,
        "report": report,
    }
