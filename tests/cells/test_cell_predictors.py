"""`tl.predict` with a predictor: the network by default, or what foretold held-out cells best."""

import logging

import anndata
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash.dynamics.predictions import nearest_training, predictors_of_cells, validation_errors

from .test_predictions_without_network import CURVES, TIMES, series_of


@pytest.fixture(scope="module")
def fitted():
    """Return cells of two lineages in three batches, with a fit that has no training."""
    rng = np.random.default_rng(0)
    names, parts = [f"g{i}" for i in range(6)], []
    for lineage, sign in (("left", 1.0), ("right", -1.0)):
        for batch in "abc":
            time = np.sort(rng.random(150))
            x = 2 + np.column_stack([sign * np.sin((k + 1) * time) for k in range(6)]) + 0.2 * rng.normal(size=(150, 6))
            obs = pd.DataFrame({"time": time, "lineage": lineage, "batch": batch}, index=[f"c{k}" for k in range(150)])
            parts.append(anndata.AnnData(np.maximum(x, 0).astype(np.float32), obs=obs, var=pd.DataFrame(index=names)))
    adata = anndata.concat(parts, index_unique="_", keys=range(len(parts)))
    adata.obs_names = [f"c{i}" for i in range(adata.n_obs)]
    adata.obs["split"] = adata.obs["batch"].map({"a": "train", "b": "validation", "c": "test"}).astype(str)
    scdash.tl.fit_dynamics(adata, time_key="time", trajectory_key="lineage", batch_key="batch", split_key="split", observations=scdash.Cells(n_bins=10), training=scdash.Training(max_epochs=0), validation=scdash.Validation(null_models=True))  # fmt: skip
    return adata


def test_errors_are_those_of_validation_windows_smallest_first():
    series = series_of(np.concatenate([CURVES, CURVES[1:] + 1]), TIMES, [0, 1, 2])
    found = validation_errors(
        series,
        {
            "off by one": lambda start, times, code: CURVES[1][1:, None] + 1,
            "exact": lambda start, times, code: CURVES[1][1:, None],
            "diverges": lambda start, times, code: np.full((8, 1, 2), np.inf),
        },
    )
    assert list(found) == ["exact", "off by one", "diverges"]
    np.testing.assert_allclose(list(found.values()), [0, 1, np.inf])


def test_every_predictor_starts_where_it_is_told_to():
    series = series_of(np.concatenate([CURVES, CURVES[1:] + 0.1]), TIMES, [0, 0, 1])
    times, code = nearest_training(series, CURVES[1, [3, 5]] + 0.01)
    np.testing.assert_array_equal(times, [3, 5])
    np.testing.assert_array_equal(code, [1, 1])
    for name, predict in predictors_of_cells(series, None).items():
        path = predict(CURVES[1, [3]], TIMES[None, 3:6], np.array([1]))
        assert path.shape == (2, 1, 2), name
        assert np.isfinite(path).all()


def test_the_network_is_the_default(fitted):
    plain = scdash.tl.predict(fitted)
    assert plain.uns["predictor"] == "network"
    np.testing.assert_array_equal(plain.X, scdash.tl.predict(fitted, predictor="network").X)


def test_the_mean_trajectory_is_the_mean_training_curve_of_the_lineage(fitted):
    found = scdash.tl.predict(fitted, predictor="mean trajectory")
    series = fitted.uns["dynamics"]["series"]
    for lineage in ("left", "right"):
        path = found[found.obs["trajectory"] == f"{lineage}:c"].X
        np.testing.assert_allclose(path[1:], _mean_of_training(series, lineage)[1:], atol=1e-4)


def _mean_of_training(series, lineage):
    """Return the states of the one training batch."""
    names = np.asarray(series["trajectory"]).astype(str)
    return np.asarray(series["states"])[names == f"{lineage}:a"]


def test_best_is_the_smallest_validation_error_and_is_named(fitted, caplog, monkeypatch):
    monkeypatch.setattr(scdash.settings, "verbosity", 2)
    with caplog.at_level(logging.INFO, logger="scdash"):
        best = scdash.tl.predict(fitted, predictor="best")
    name = best.uns["predictor"]
    assert any(f"predictor: {name} (" in record.message for record in caplog.records)
    np.testing.assert_array_equal(best.X, scdash.tl.predict(fitted, predictor=name).X)
    assert list(best.obs["trajectory"]) == list(scdash.tl.predict(fitted).obs["trajectory"])
    report = scdash.get.report(fitted).set_index("predictor")["rollout_mse"]
    assert (report[name] if name != "network" else report.iloc[0]) < report["constant"]


def test_starts_of_all_kinds_have_a_time_and_a_lineage(fitted):
    rows = fitted.obs_names[:3]
    by_name = scdash.tl.predict(fitted, rows, times=[0, 1, 2], predictor="nearest neighbours")
    table = scdash.tl.predict(fitted, fitted[rows].to_df(), times=[0, 1, 2], predictor="nearest neighbours")
    np.testing.assert_allclose(by_name.X, table.X, atol=1e-6)
    np.testing.assert_allclose(by_name.X[::3], fitted[rows].X, atol=1e-5)  # the start itself comes first
    late = scdash.tl.predict(fitted, "c140", times=[0, 100], predictor="aligned mean trajectory")
    end = _mean_of_training(fitted.uns["dynamics"]["series"], "left")[-1]
    np.testing.assert_allclose(late.X[1], end, atol=1e-4)  # it rests at the end of its own lineage


def test_predictors_survive_a_file(fitted, tmp_path):
    fitted.write_h5ad(tmp_path / "cells.h5ad")
    again = anndata.read_h5ad(tmp_path / "cells.h5ad")
    for name in ("best", "nearest neighbours", "mean trajectory + start offset", "no network"):
        np.testing.assert_allclose(
            scdash.tl.predict(again, predictor=name).X, scdash.tl.predict(fitted, predictor=name).X, atol=1e-6
        )


def test_what_cannot_be_predicted_is_refused(fitted):
    with pytest.raises(ValueError, match=r"predictor.*nearest neighbours"):
        scdash.tl.predict(fitted, predictor="analog")
    trajectories = scdash.simulate.grn_dynamics(n_genes=12, n_trajectories=8, n_test=2)
    scdash.tl.fit_dynamics(
        trajectories,
        time_key="time",
        trajectory_key="trajectory",
        split_key="split",
        observations="states",
        training=scdash.Training(max_epochs=0),
    )
    with pytest.raises(ValueError, match=r"cells along pseudotime.*time courses"):
        scdash.tl.predict(trajectories, predictor="best")
