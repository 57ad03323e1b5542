"""Scores of held-out cells as tables, for the network and the linear models beside it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._data import as_dense
from scdash.paired import BottleneckFit, Fold, Standardize, feature_r2, learn_scale, learned_something, multivariate_r2
from scdash.paired.design import Design
from scdash.paired.linear_fit import fit_linear
from scdash.paired.reading import Paired
from scdash.paired.ridge import ridge
from scdash.paired.store import versions
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
) -> Rows:
    """Return the scores of the linear models on one fold."""
    rows: Rows = []
    full = min(len(data.features), len(data.genes))
    if "srrr" in baselines:
        for rank in sorted({min(n_latent, full), full}):
            rows += srrr_rows(data, fold, rank, n_features, standardize)
    if "ridge" in baselines:
        rows += ridge_rows(data, fold, standardize)
    return rows


def srrr_rows(data: Paired, fold: Fold, rank: int, n_features: int, standardize: Standardize) -> Rows:
    """Return the scores of a sparse reduced-rank regression with as many genes as the network."""
    options: dict[str, Any] = {"rank": rank, "lam": None, "n_features": n_features, "standardize": standardize}
    fit, (x_scale, y_scale) = fit_linear(data.matrix, data.features_matrix, fold, **options)
    said = fit.predict(x_scale.apply(as_dense(data.matrix[fold.test])))
    truth = y_scale.apply(data.features_matrix[fold.test])
    return score_rows(f"srrr-{rank}", fold, truth, said, data.features, len(fit.selected))


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


def summary_in_words(scores: pd.DataFrame, summary: pd.DataFrame, method: str) -> tuple[dict[str, float], str]:
    """Return the figures of every method, those of its row "all" in `summary`, and what they say."""
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
        return metrics, report
    others = whole["mean"].drop(method)
    if len(others) and others.max() >= whole.loc[method, "mean"]:
        report += f" The linear {others.idxmax()} predicts as well or better."
    return metrics, report


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
    for fit in fits:
        rows += baseline_rows(
            data, fit.fold, baselines, params["n_latent"], params["n_features"], params["standardize"]
        )
    scores = pd.DataFrame(rows)
    summary = summarise(scores)
    metrics, report = summary_in_words(scores, summary, method)
    return {
        "params": {**params, "versions": versions()},
        "scores": scores,
        "summary": summary,
        "history": pd.concat([fit.history for fit in fits], ignore_index=True),
        "selection": selection_table(fits, data.genes),
        "metrics": metrics,
        "report": report,
    }
