"""Cross-validation and stability: tidy tables, figures recomputed by hand, no leakage, and nothing learned from noise."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import scdash
from scdash._data import writable
from scdash.paired.evaluation import learned_something, multivariate_r2
from scdash.paired.group_elastic import Penalty
from scdash.paired.linear_fit import fit_linear
from scdash.paired.reading import read_paired
from scdash.paired.reduced_rank import Regression
from scdash.paired.standardize import Scale
from scdash.resampling.folds import Fold
from scdash.tl import cross_validate_sbnn


def whole(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["feature"] == "all"]


def test_table_is_complete(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    table = api.cross_validate(mdata, n_features=4, folds=3, **short)
    assert table.columns.tolist() == ["method", "fold", "feature", "r2", "n_genes"]
    assert set(table["method"]) == {"sbnn-2", "srrr-2", "srrr-5", "ridge"}
    assert len(table) == 4 * 3 * 6
    assert np.isfinite(table["r2"]).all()
    assert (table.loc[table["method"] == "ridge", "n_genes"] == 30).all()
    assert table.attrs["report"] == mdata.uns["sbnn_cv"]["report"]
    summary = api.feature_scores(mdata)
    first = table[(table["method"] == "sbnn-2") & (table["feature"] == "feature1")]["r2"]
    row = summary[(summary["method"] == "sbnn-2") & (summary["feature"] == "feature1")].iloc[0]
    assert row["mean"] == pytest.approx(first.mean())
    assert row["sd"] == pytest.approx(first.std(ddof=0))
    for name in whole(table)["method"].unique():
        assert f"{name} {mdata.uns['sbnn_cv']['metrics'][f'{name}_r2']:.3f}" in table.attrs["report"]


def test_a_method_has_one_number(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    """Folds of unequal size: report, metrics, summary and returned table agree, and the docstring says by which rule."""
    labels = np.repeat(["a", "b", "c"], [20, 30, 70])
    table = api.cross_validate(mdata, n_features=4, folds=labels, **short)
    summary = api.feature_scores(mdata).query("feature == 'all'").set_index("method")
    metrics = mdata.uns["sbnn_cv"]["metrics"]
    assert "R2 over all features of held-out cells, mean ± sd of 3 folds" in table.attrs["report"]
    for name, values in whole(table).groupby("method")["r2"]:
        mean, sd = values.mean(), values.std(ddof=0)
        assert (metrics[f"{name}_r2"], metrics[f"{name}_sd"]) == pytest.approx((mean, sd))
        assert tuple(summary.loc[name, ["mean", "sd"]]) == pytest.approx((mean, sd))
        assert f"{name} {mean:.3f} ± {sd:.3f}" in table.attrs["report"]
    assert 'table[table["feature"] == "all"].groupby("method")["r2"].mean()' in str(cross_validate_sbnn.__doc__)


def test_score_is_the_last_epochs(fitted: Any) -> None:
    entry = fitted.uns["sbnn_cv"]
    last = entry["history"].groupby("model")["test_r2"].last()
    scores = whole(entry["scores"])
    own = scores[scores["method"] == "sbnn-2"].set_index("fold")["r2"]
    np.testing.assert_allclose(own.loc[last.index], last, atol=1e-4)


def test_srrr_beside_it_is_srrr(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    """One fold by hand: scaling of the training cells, lambda for four genes, R2 of Eq. 3."""
    labels = np.repeat([0, 1, -1], [40, 40, 40])
    table = api.cross_validate(mdata, n_features=4, folds=labels, baselines=["srrr"], **short)
    x, y = mdata["rna"].X.toarray().astype(float), mdata["ephys"].X.astype(float)
    train, test = labels != 0, labels == 0
    z, t = (x - x[train].mean(0)) / x[train].std(0), (y - y[train].mean(0)) / y[train].std(0)
    plain = Scale(np.zeros(30), np.ones(30))
    fit = Regression(z[train], t[train], plain).fit_to_size(2, 4)
    again = Regression(z[train], t[train], plain).fit(2, Penalty(fit.penalty.lam))
    found = whole(table).query("method == 'srrr-2' and fold == '0'")["r2"].iloc[0]
    assert found == pytest.approx(multivariate_r2(t[test], again.predict(z[test])), abs=1e-4)


def test_folds_by_column_and_minus_one(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    mdata.obs["donor"] = pd.Categorical(["a", "b", "c"] * 40)
    table = api.cross_validate(mdata, n_features=4, folds="donor", baselines=(), **short)
    assert sorted(table["fold"].unique()) == ["a", "b", "c"]
    assert set(table["method"]) == {"sbnn-2"}


def test_held_out_genes_and_features_leave_no_trace(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    """Spoiling the cells of one fold changes nothing in that fold's selection of genes."""
    labels = np.repeat([0, 1, 2], 40)
    api.cross_validate(mdata, n_features=4, folds=labels, baselines=(), **short)
    clean = mdata.uns["sbnn_cv"]["history"].query("model == '0' and stage == 'tuning'")["train_loss"].to_numpy()
    spoilt = writable(mdata, copy=True)
    spoilt["ephys"].X[labels == 0] *= -40
    x = spoilt["rna"].X.toarray()
    x[labels == 0] = x[labels == 0][:, ::-1] * 0.5
    spoilt["rna"].X = x
    api.cross_validate(spoilt, n_features=4, folds=labels, baselines=(), **short)
    other = spoilt.uns["sbnn_cv"]["history"].query("model == '0' and stage == 'tuning'")["train_loss"].to_numpy()
    np.testing.assert_allclose(clean, other, rtol=1e-5)


def test_shuffled_features_teach_nothing(api: SimpleNamespace, simulated: Any, short: dict[str, Any]) -> None:
    mdata = simulated(n_cells=200, shuffled=True)
    table = api.cross_validate(mdata, n_features=4, folds=4, **short)
    for _, group in whole(table).groupby("method"):
        assert group["r2"].mean() < 0.03
        assert not learned_something(group["r2"].to_numpy())
    assert "Nothing was learned" in table.attrs["report"]
    assert mdata.uns["sbnn_cv"]["metrics"]["learned"] == 0


def test_a_signal_is_seen(api: SimpleNamespace, simulated: Any, short: dict[str, Any]) -> None:
    mdata = simulated(n_cells=200)
    table = api.cross_validate(mdata, n_features=4, folds=4, baselines=(), **short)
    assert mdata.uns["sbnn_cv"]["metrics"]["learned"] == 1
    assert "Nothing" not in table.attrs["report"]


def test_selection_frequencies_are_counts(fitted: Any, api: SimpleNamespace) -> None:
    table, entry = api.gene_selection(fitted), fitted.uns["sbnn_stability"]
    assert table["count"].sum() == 3 * 4
    for gene, count in table.set_index("gene")["count"].items():
        assert count == sum(gene in set(run) for run in entry["selected"])
    runs = [set(run) for run in entry["selected"]]
    shared = np.mean([len(runs[i] & runs[j]) for i, j in [(0, 1), (0, 2), (1, 2)]])
    assert entry["metrics"]["shared"] == pytest.approx(shared)
    assert entry["metrics"]["always"] == len(set.intersection(*runs))
    assert entry["metrics"]["once"] == (table["count"] == 1).sum()
    assert table["count"].is_monotonic_decreasing


def test_stability_on_parts_of_the_cells(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    table = api.stability(mdata, n_features=4, n_repeats=2, subsample=0.5, **short)
    assert table["count"].sum() == 8
    assert "two of 2 runs share" in table.attrs["report"]


def test_a_linear_model_that_predicts_better_is_named_with_the_call_that_fits_it(
    mdata: Any, api: SimpleNamespace
) -> None:
    """A network that is hardly trained is beaten by all three; the calls of the report make the very models of the table."""
    untrained = scdash.BottleneckTraining(
        hidden=(8, 4), n_clusters=2, pretrain_epochs=0, frozen_epochs=0, unfrozen_epochs=1, tuning_epochs=1
    )
    labels = np.repeat([0, 1], 60)
    report = api.cross_validate(mdata, n_features=4, folds=labels, training=untrained).attrs["report"]
    named = report.split("Linear models predict as well or better: ")[1]
    for call in ("rank=2, n_features=4", "rank=5, n_features=4", "rank=5, alpha=0"):
        assert f"scdash.tl.srrr(mdata, x='rna', y='ephys', {call})" in named
    data = read_paired(mdata, "rna", "ephys")
    fold = Fold("0", np.flatnonzero(labels == 1), np.flatnonzero(labels == 0))
    fit, (x_scale, y_scale) = fit_linear(
        data.matrix, data.features_matrix, fold, rank=5, lam=None, n_features=4, alpha=0.0
    )
    said = fit.predict(x_scale.apply(data.matrix[fold.test].toarray()))
    found = multivariate_r2(y_scale.apply(data.features_matrix[fold.test]), said)
    rows = whole(mdata.uns["sbnn_cv"]["scores"]).query("method == 'ridge' and fold == '0'")
    assert found == pytest.approx(rows["r2"].iloc[0], abs=1e-6)


def test_regressions_that_do_not_converge_are_counted_in_one_warning(
    mdata: Any, api: SimpleNamespace, short: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("scdash.paired.reduced_rank.TOLERANCE", 0.0)
    monkeypatch.setattr("scdash.paired.reduced_rank.MAX_ROUNDS", 3)
    with caplog.at_level("WARNING", logger="scdash"):
        api.cross_validate(mdata, n_features=4, folds=3, **short)
    told = [record.getMessage() for record in caplog.records if "converge" in record.getMessage()]
    assert len(told) == 1 and "6 of 6 sparse reduced-rank regressions did not converge" in told[0]
    caplog.clear()
    with caplog.at_level("WARNING", logger="scdash"):
        api.srrr(mdata, n_features=4)
    assert sum("1 of 1 sparse reduced-rank regressions" in record.getMessage() for record in caplog.records) == 1
