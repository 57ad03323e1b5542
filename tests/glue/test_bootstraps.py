"""How many bootstraps of every trajectory are made, what is trained on them, and how many are kept with a fit."""

import numpy as np
import pandas as pd
import pytest

import scdash
from scdash._data import TimeSeries
from scdash._data.time_series import observed
from scdash.dynamics.inputs import read_inputs
from scdash.dynamics.whole_trajectories import result

from .data import cells_of

NOTHING = dict.fromkeys(("layer", "mask_var", "trajectory_key", "split_key", "prior", "coregulation", "regulators"))


def names(batches, *, by_folds, **options):
    """Return the names of all trajectories, in order."""
    settings = NOTHING | {"time_key": "time", "batch_key": "batch", "observations": "auto", "n_bins": 8, "seed": 0}
    return read_inputs(cells_of(batches), by_folds=by_folds, **settings | options).observed.series.names


@pytest.mark.parametrize(("batches", "number"), [(1, 64), (5, 64), (8, 40)])
def test_trajectories_that_choose_by_folds_have_many_bootstraps_and_of_many_each_less_often(batches, number):
    assert len(names(batches, by_folds=True)) == (1 + number) * batches
    assert len(names(batches, by_folds=False)) == 9 * batches


@pytest.mark.parametrize(("most", "number"), [(160 * 2 * 20, 20), (160 * 2 * 100, 64), (160, 8)])
def test_of_many_cells_fewer_bootstraps_are_made(monkeypatch, most, number):
    monkeypatch.setattr(observed, "RESAMPLED_CELLS", most)
    assert len(names(2, by_folds=True)) == (1 + number) * 2


def test_cells_that_take_no_part_do_not_count(monkeypatch):
    monkeypatch.setattr(observed, "RESAMPLED_CELLS", 160 * 40)
    adata = cells_of(2)
    adata.obs["batch"] = adata.obs["batch"].where(adata.obs["batch"] == "b0")
    settings = NOTHING | {"time_key": "time", "batch_key": "batch", "observations": "auto", "n_bins": 8, "seed": 0}
    assert len(read_inputs(adata, by_folds=True, **settings).observed.series.names) == 41


def test_cells_at_sampled_times_have_as_many():
    adata = cells_of(1)
    adata.obs["hours"] = np.repeat([0, 6, 12, 18, 24], 32)
    settings = NOTHING | {"batch_key": None, "observations": "auto", "n_bins": None, "seed": 0}
    for by_folds, number in ((True, 64), (False, 8)):
        found = read_inputs(adata, by_folds=by_folds, time_key="hours", **settings).observed.series
        assert len(found.names) == 1 + number


def test_rows_of_the_first_bootstraps_are_kept_in_whatever_order_they_stand():
    origin = np.array([1, 1, 1, 4, 4, 1])  # the original stands after the first of its bootstraps
    series = TimeSeries(
        np.zeros((12, 1)), np.tile([0.0, 1.0], 6), np.repeat(np.arange(6), 2), tuple("abcdef"), np.zeros(12, np.int8),
        pd.Index(["g"]), origin=origin,
    )  # fmt: skip
    assert series.rows_with_bootstraps(0).reshape(6, 2)[:, 0].tolist() == [False, True, False, False, True, False]
    assert series.rows_with_bootstraps(1).reshape(6, 2)[:, 1].tolist() == [True, True, False, True, True, False]
    assert series.rows_with_bootstraps(2).reshape(6, 2)[:, 0].tolist() == [True, True, True, True, True, False]
    assert series.rows_with_bootstraps(3).all()


def test_training_sees_all_of_them_and_eight_of_each_are_kept(monkeypatch):
    seen = []
    follow = result.follow
    monkeypatch.setattr(
        result, "follow", lambda problem, *given, **how: seen.append(len(problem.series.names)) or follow(problem, *given, **how)
    )  # fmt: skip
    adata = cells_of(2)
    fast = {"training": scdash.Training(max_epochs=2), "validation": scdash.Validation(null_models=False)}
    scdash.tl.fit_dynamics(adata, time_key="time", batch_key="batch", regulators="is_tf", progress=False, **fast)
    assert seen == [2 * 65]
    series = adata.uns["dynamics"]["series"]
    kept = pd.DataFrame({"origin": series["origin"], "trajectory": series["trajectory"]}).drop_duplicates()
    assert kept["origin"].value_counts().tolist() == [9, 9]
    rows = len(kept) * 20
    assert all(len(series[name]) == rows for name in ("time", "split", "n_cells", "states", "fitted", "lineage"))
    states, own = series["states"].reshape(18, 20, -1), kept["origin"].to_numpy() == kept["trajectory"].to_numpy()
    assert own.sum() == 2 and (np.diff(series["time"].reshape(18, 20), axis=1) > 0).all()
    for fitted, seen_states in zip(series["fitted"].reshape(18, 20, -1), states, strict=True):
        np.testing.assert_allclose(
            fitted[0], seen_states[0], atol=1e-5
        )  # every prediction starts at its own first state


def test_a_batch_for_test_leaves_its_lineage_with_a_single_trajectory():
    adata = cells_of(2)
    settings = NOTHING | {"time_key": "time", "batch_key": "batch", "observations": "auto", "n_bins": 8, "seed": 0}
    assert not read_inputs(adata, by_folds=True, **settings).observed.learning_halves
    adata.obs["split"] = np.where(adata.obs["batch"] == "b1", "test", "train")
    assert read_inputs(adata, by_folds=True, **settings | {"split_key": "split"}).observed.learning_halves
