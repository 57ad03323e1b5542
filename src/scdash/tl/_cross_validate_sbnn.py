"""`cross_validate_sbnn`: what a network is worth on cells it has not seen, beside linear models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._data import sanitise
from scdash._errors import suggest, unknown
from scdash._logging import logger, step
from scdash.bottleneck import (
    Fold,
    ScheduleOptions,
    Standardize,
    feature_r2,
    fit_networks,
    learn_scale,
    learned_something,
    make_folds,
    make_schedule,
    multivariate_r2,
)
from scdash.bottleneck._design import Design
from scdash.bottleneck._ridge import ridge
from scdash.tl._sbnn_evaluate import check_sizes
from scdash.tl._sbnn_read import Missing, Paired, read_paired
from scdash.tl._sbnn_store import check_slots, versions
from scdash.tl._seed import seed_of
from scdash.tl._srrr import fit_linear

if TYPE_CHECKING:
    from mudata import MuData

BASELINES = ("srrr", "ridge")


def cross_validate_sbnn(
    mdata: "MuData",
    *,
    x: str = "rna",
    y: str = "ephys",
    n_latent: int = 2,
    n_features: int = 25,
    folds: Any = 10,
    baselines: Sequence[str] = BASELINES,
    layer: str | None = None,
    y_layer: str | None = None,
    mask_var: Any = None,
    missing: Missing = "raise",
    standardize: Standardize = "train",
    allow_counts: bool = False,
    key_added: str = "sbnn_cv",
    rng: Any = 0,
    device: str = "auto",
    progress: bool | None = None,
    **schedule: Unpack[ScheduleOptions],
) -> pd.DataFrame:
    """Cross-validate a sparse bottleneck network, with linear models on the same folds beside it.

    All folds train as one stack. Standardisation, clusters and the selection of genes see training cells only. The
    score is the paper's R2 (Eq. 3) on the held-out cells after the LAST epoch; 0 is the training mean. On the paper's
    M1 neurons rank-16 `srrr` equals the network with two latent units; its gain is over rank 2.

    Parameters
    ----------
    mdata, x, y, n_latent, n_features, layer, y_layer, mask_var, missing, allow_counts, rng, device, progress
        As for `scdash.tl.sbnn`.
    folds
        Number of folds, or a column of `mdata.obs` (or one label per cell) that names them: cells labelled -1 train in
        every fold and are never tested.
    baselines
        "srrr": relaxed sparse reduced-rank regression with as many genes, of rank `n_latent` and of full rank;
        "ridge": ridge on all genes, strength by generalised cross-validation. Where entries of the features are
        missing, both put the training mean there.
    standardize
        "train" (no leak), or "all" to reproduce the released code's figures.
    key_added
        Name of the results in `mdata.uns`.
    **schedule
        Constants, see `scdash.tl.sbnn`.

    Returns
    -------
    Table with one row per `method` (sbnn-2, srrr-2, srrr-16, ridge), `fold` and `feature` ("all": multivariate), with
    the held-out `r2` and the number of genes `n_genes`. The report in words is `table.attrs["report"]`. Written:

    `mdata.uns["sbnn_cv"]` : params, scores (the table), summary (mean and standard deviation over folds), history of
    every fold with `test_r2` per epoch, selection (how often each gene was selected), metrics, report

    Examples
    --------
    >>> table = scdash.tl.cross_validate_sbnn(mdata, n_features=25)  # doctest: +SKIP
    >>> scdash.pl.feature_scores(mdata)  # doctest: +SKIP
    """
    constants = make_schedule(schedule)
    check_slots(mdata, x, y, key_added)
    for name in baselines:
        if name not in BASELINES:
            raise unknown("baseline", name, BASELINES)
    seed = seed_of(rng)
    with step(f"cross-validating a sparse bottleneck network ({x} to {y}, {n_latent} latent)") as added:
        data = read_paired(
            mdata, x, y, layer=layer, y_layer=y_layer, mask_var=mask_var, missing=missing, allow_counts=allow_counts
        )
        parts = make_folds(len(data.cells), fold_labels(mdata, data, folds), rng=np.random.default_rng([seed, 2]))
        smallest = min(len(fold.train) for fold in parts)
        check_sizes(data, n_latent, n_features, constants.n_clusters, smallest, standardize)
        method = f"sbnn-{n_latent}"
        fits = fit_networks(
            data.matrix,
            data.features_matrix,
            parts,
            n_latent=n_latent,
            n_features=n_features,
            schedule=constants,
            standardize=standardize,
            autoencoder=False,
            rng=seed,
            device=device,
            progress=progress,
            description=f"sBNN, {len(parts)} folds",
        )
        rows = []
        for fit in fits:
            block = dense(data.matrix[fit.fold.test][:, fit.selected])
            said = fit.predict(block).features
            truth = fit.y_scale.apply(data.features_matrix[fit.fold.test])
            rows += score_rows(method, fit.fold, truth, said, data.features, n_features)
        for fold in parts:
            rows += baseline_rows(data, fold, baselines, n_latent, n_features, standardize)
        scores = pd.DataFrame(rows)
        summary = summarise(scores)
        metrics, report = judge(scores, method)
        logger.info("    %s", report)
        params = {"model": "sbnn_cv", "x": x, "y": y, "n_latent": n_latent, "n_features": n_features}
        params |= {"folds": len(parts), "standardize": standardize, "missing": missing, "rng": seed, "method": method}
        params |= {"baselines": list(baselines) or "none", "schedule": constants.config()}
        entry = {
            "params": {**params, "versions": versions()},
            "scores": scores,
            "summary": summary,
            "history": pd.concat([fit.history for fit in fits], ignore_index=True),
            "selection": selection_table([fit.selected for fit in fits], [fit.norms for fit in fits], data.genes),
            "metrics": metrics,
            "report": report,
        }
        mdata.uns[key_added] = sanitise(entry)
        added.append(f"added uns[{key_added!r}], scores, history, selection; R2 of {len(parts)} folds")
    scores.attrs["report"] = report
    return scores


def fold_labels(mdata: Any, data: Paired, folds: Any) -> Any:
    """Return the number of folds, or a label for every cell used."""
    if isinstance(folds, (int, np.integer)) and not isinstance(folds, bool):
        return int(folds)
    if isinstance(folds, str):
        if folds not in mdata.obs:
            raise KeyError(f"folds={folds!r} is not a column of mdata.obs.{suggest(folds, mdata.obs.columns)}")
        folds = mdata.obs[folds]
    labels = pd.Series(np.asarray(folds))
    if len(labels) != mdata.n_obs:
        raise ValueError(f"folds must have one label per cell of mdata ({mdata.n_obs}), found {len(labels)}.")
    return labels.to_numpy()[mdata.obs_names.get_indexer(data.cells)]


def baseline_rows(
    data: Paired, fold: Fold, baselines: Sequence[str], n_latent: int, n_features: int, standardize: Standardize
) -> list[dict[str, Any]]:
    """Return the scores of the linear models on one fold."""
    rows: list[dict[str, Any]] = []
    full = min(len(data.features), len(data.genes))
    test = dense(data.matrix[fold.test])
    if "srrr" in baselines:
        for rank in sorted({min(n_latent, full), full}):
            fit, (x_scale, y_scale) = fit_linear(
                data.matrix,
                data.features_matrix,
                fold,
                rank=rank,
                lam=None,
                n_features=n_features,
                standardize=standardize,
            )
            said, truth = fit.predict(x_scale.apply(test)), y_scale.apply(data.features_matrix[fold.test])
            rows += score_rows(f"srrr-{rank}", fold, truth, said, data.features, len(fit.selected))
    if "ridge" in baselines:
        x_scale, y_scale = (learn_scale(m, fold, standardize) for m in (data.matrix, data.features_matrix))
        known = np.nan_to_num(y_scale.apply(data.features_matrix[fold.train]))
        found = ridge(Design(data.matrix, x_scale, fold.train), known)
        truth = y_scale.apply(data.features_matrix[fold.test])
        rows += score_rows(
            "ridge", fold, truth, x_scale.apply(test) @ found.coefficients, data.features, len(data.genes)
        )
    return rows


def score_rows(
    method: str, fold: Fold, truth: NDArray[Any], said: NDArray[Any], features: pd.Index, n_genes: int
) -> list[dict[str, Any]]:
    """Return one row for the multivariate score and one per feature."""
    values = [multivariate_r2(truth, said), *feature_r2(truth, said)]
    names = ["all", *map(str, features)]
    return [
        {"method": method, "fold": fold.name, "feature": name, "r2": float(value), "n_genes": n_genes}
        for name, value in zip(names, values, strict=True)
    ]


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation (ddof 0, as published) over folds, by method and feature."""
    groups = scores.groupby(["method", "feature"], sort=False)
    table = groups["r2"].agg(mean="mean", sd=lambda values: values.std(ddof=0)).reset_index()
    return table.merge(groups["n_genes"].mean().reset_index(), on=["method", "feature"])


def judge(scores: pd.DataFrame, method: str) -> tuple[dict[str, float], str]:
    """Return the figures and what they say, with the baselines named."""
    whole = scores[scores["feature"] == "all"]
    metrics: dict[str, float] = {}
    shown = []
    for name, group in whole.groupby("method", sort=False):
        metrics[f"{name}_r2"], metrics[f"{name}_sd"] = float(group["r2"].mean()), float(group["r2"].std(ddof=0))
        genes = f"{group['n_genes'].mean():.0f} genes"
        shown.append(f"{name} {metrics[f'{name}_r2']:.3f} ± {metrics[f'{name}_sd']:.3f} ({genes})")
    own = whole.loc[whole["method"] == method, "r2"].to_numpy()
    learned = learned_something(own)
    metrics["learned"] = float(learned)
    report = f"held-out R2 over {len(own)} folds: " + ", ".join(shown) + ". "
    if not learned:
        report += "Nothing was learned: the network predicts new cells no better than the training mean does."
        return metrics, report
    best = max(
        (name for name in dict.fromkeys(whole["method"]) if name != method),
        default=None,
        key=lambda n: metrics[f"{n}_r2"],
    )
    if best is not None and metrics[f"{best}_r2"] >= metrics[f"{method}_r2"]:
        report += f"The linear {best} predicts as well or better."
    return metrics, report


def selection_table(
    selected: Sequence[NDArray[np.int64]], norms: Sequence[NDArray[Any]], genes: pd.Index
) -> pd.DataFrame:
    """Return gene, frequency (share of models that selected it), count and mean norm, most frequent first."""
    counts = np.bincount(np.concatenate(list(selected)), minlength=len(genes))
    table = pd.DataFrame(
        {
            "gene": np.asarray(genes, dtype=str),
            "frequency": counts / len(selected),
            "count": counts,
            "norm": np.mean(np.stack(list(norms)), axis=0).astype(np.float64),
        }
    )
    return table.sort_values(["count", "norm"], ascending=False, kind="stable").reset_index(drop=True)


def dense(block: Any) -> NDArray[Any]:
    """Return an array; a few rows or columns only."""
    return np.asarray(block.toarray() if hasattr(block, "toarray") else block)
