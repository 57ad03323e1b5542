"""`stability` and `sparsity_path` of paired modalities: one machine for networks and for regressions."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mudata
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash._core.errors import NotFittedError
from scdash._data import without_pulling
from scdash.paired.evaluation import multivariate_r2
from scdash.paired.linear_fit import fit_linear
from scdash.paired.reading import read_paired
from scdash.resampling.folds import Fold


def test_stability_of_a_regression_counts_its_genes_over_half_samples(mdata: Any, api: SimpleNamespace) -> None:
    table = scdash.tl.stability(mdata, model="srrr", rank=2, n_features=4, n_repeats=6)
    entry = mdata.uns["srrr_stability"]
    assert entry["params"]["subsample"] == 0.5
    runs = [set(row) - {""} for row in entry["selected"]]
    for gene, count in table.set_index("gene")["count"].items():
        assert count == sum(gene in run for run in runs)
    assert 0 < table["frequency"].iloc[0] <= 1
    assert len({frozenset(run) for run in runs}) > 1  # the halves differ
    pd.testing.assert_frame_equal(
        api.gene_selection(mdata, key="srrr_stability"), table, check_like=True, check_dtype=False
    )  # pandas 3 reads texts as str
    assert len(api.pl.gene_selection(mdata, key="srrr_stability", show=False)) == 2
    informative = set(mdata["rna"].var_names[mdata["rna"].var["informative"]])
    assert set(table["gene"].head(2)) <= informative


def test_each_model_takes_its_own_arguments_only(mdata: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_latent'"):
        scdash.tl.stability(mdata, model="srrr", n_latent=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'rank'"):
        scdash.tl.stability(mdata, rank=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'lam'"):
        scdash.tl.sparsity_path(mdata, lam=0.1)
    with pytest.raises(ValueError, match="Did you mean 'srrr'"):
        scdash.tl.stability(mdata, model="srr")
    with pytest.raises(ValueError, match="subsample must be above 0 and below 1"):
        scdash.tl.stability(mdata, model="srrr", n_features=4, subsample=1.0)
    with pytest.raises(ValueError, match="alpha=0 is a ridge"):
        scdash.tl.stability(mdata, model="srrr", n_features=4, alpha=0.0)
    with pytest.raises(ValueError, match="strategy"):
        scdash.tl.sparsity_path(mdata, strategy="warm")
    with pytest.raises(ValueError, match="lambdas must be positive"):
        scdash.tl.sparsity_path(mdata, lambdas=[0.0, 0.1])
    assert set(mdata.uns) == {"simulation"}


def test_a_path_holds_the_scores_of_the_fits_at_its_strengths(mdata: Any, tmp_path: Path) -> None:
    """By hand for one fold and one strength; it survives the disk and is drawn from there."""
    labels = np.repeat([0, 1, 2], 40)
    table = scdash.tl.sparsity_path(mdata, lambdas=[0.4, 0.1, 0.02], folds=labels, rank=2)
    assert list(table) == ["lambda", "model", "train_loss", "validation_loss", "n_genes", "chosen"]
    assert table["lambda"].tolist() == [0.02] * 3 + [0.1] * 3 + [0.4] * 3
    data = read_paired(mdata, "rna", "ephys")
    fold = Fold("1", np.flatnonzero(labels != 1), np.flatnonzero(labels == 1))
    fit, (x_scale, y_scale) = fit_linear(data.matrix, data.features_matrix, fold, rank=2, lam=0.1, n_features=4)
    said = fit.predict(x_scale.apply(data.matrix[fold.test].toarray()))
    row = table[(table["lambda"] == 0.1) & (table["model"] == "1")].iloc[0]
    assert row["n_genes"] == len(fit.selected)
    truth = y_scale.apply(data.features_matrix[fold.test])
    assert 1 - row["validation_loss"] == pytest.approx(multivariate_r2(truth, said), abs=1e-4)
    assert table.groupby("lambda")["n_genes"].mean().is_monotonic_decreasing
    assert table.loc[table["chosen"], "lambda"].nunique() == 1
    mdata.write(tmp_path / "m.h5mu")
    with without_pulling():
        again = mudata.read_h5mu(tmp_path / "m.h5mu")
    loss, genes = scdash.pl.sparsity_path(again, show=False)
    assert (loss.get_ylabel(), genes.get_ylabel()) == ("1 - $R^2$", "genes")
    drawn = next(line for line in genes.lines if line.get_label() == "selected genes")
    np.testing.assert_allclose(drawn.get_ydata(), table.groupby("lambda")["n_genes"].mean())


def test_strengths_without_any_go_from_few_genes_to_many(mdata: Any) -> None:
    table = scdash.tl.sparsity_path(mdata, folds=3, rank=2)
    mean = table.groupby("lambda")["n_genes"].mean()
    assert len(mean) == 20 and mean.iloc[-1] <= 3 < 6 <= mean.iloc[0]


def test_a_path_of_networks_varies_the_group_lasso(mdata: Any, short: dict[str, Any]) -> None:
    table = scdash.tl.sparsity_path(mdata, model="sbnn", folds=2, n_features=4, lambdas=[0.01, 1.0], **short)
    assert table["n_genes"].eq(4).all() and np.isfinite(table["validation_loss"]).all()
    margin = table.groupby("lambda")["margin"].mean()
    assert margin.loc[1.0] > margin.loc[0.01]


def test_the_figure_of_a_path_says_what_to_run_on_a_mudata(mdata: Any) -> None:
    with pytest.raises(NotFittedError, match=r"scdash.tl.sparsity_path\(mdata, key_added='sparsity_path'\)"):
        scdash.pl.sparsity_path(mdata)


def test_what_a_path_sets_itself_is_refused(mdata: Any) -> None:
    for name, value in (("lam", 0.1), ("n_features", 4)):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            scdash.tl.sparsity_path(mdata, rank=2, **{name: value})


def test_stability_of_a_penalty_that_selects_nothing_is_an_error(mdata: Any) -> None:
    before = set(mdata.uns)
    with pytest.raises(ValueError, match="lam=50 selects no gene in 3 of 3 fits; lower it"):
        scdash.tl.stability(mdata, model="srrr", rank=2, lam=50.0, n_repeats=3)
    assert set(mdata.uns) == before
