"""What the row-wise benchmarks have in common, and how they judge."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from benchmarks import _perturbode_tables, _rows, beeline, dash_real, mocap, pathreg_cells, realtime, yeast
from benchmarks._rows import Row


def test_finished_rows_are_kept_and_repeated_ones_replaced(tmp_path):
    path = tmp_path / "runs.csv"
    for value, data in ((0.1, "a"), (0.2, "b"), (0.3, "a")):
        _rows.keep(pd.DataFrame([Row(data, "m", "p", 0, value)]), path)
    found = pd.read_csv(path).set_index("data")["value"]
    assert found.to_dict() == {"a": 0.3, "b": 0.2}
    table = _rows.summary(pd.DataFrame([Row("a", "m", "p", seed, float(seed)) for seed in range(3)]))
    assert table[["mean", "min", "max", "seeds"]].values.tolist() == [[1, 0, 2, 3]]


def test_yeast_counts_rows_of_judged_factors():
    truth = np.zeros((4, 4), bool)
    truth[0, 1] = True
    score = np.zeros((4, 4))
    score[0, 1], score[2, 3] = 0.5, 1.0  # the wrong pair is of a factor without ChIP
    found = yeast.judged(score, truth)
    assert found[yeast.AUC_ROWS] == 1 and found[yeast.AUPRC] == 1 and found[yeast.AUC] < 1


def test_real_courses_shuffle_within_a_series_and_lag_by_one_time():
    from anndata import AnnData

    rng = np.random.default_rng(0)
    x = rng.random((20, 3))
    for start in (0, 10):
        x[start + 1 : start + 10, 1] = x[start : start + 9, 0]  # the second gene is the first, one time later
    obs = pd.DataFrame({"t": [*range(10)] * 2, "series": ["a"] * 10 + ["b"] * 10}, index=[str(k) for k in range(20)])
    adata = AnnData(x, obs=obs)
    found = realtime.correlations(adata, "t", "series")
    assert found[realtime.LAGGED][0, 1] == pytest.approx(1) and found[realtime.LAGGED][1, 0] < 0.9
    times = realtime.shuffled(adata, "t", "series", 0)
    assert sorted(times[:10]) == sorted(times[10:]) == list(range(10)) and list(times[:10]) != list(range(10))
    assert realtime.ratio(np.array([True, False, False, False]), np.array([3.0, 2, 1, 0])) == 4


def test_mocap_errors_are_of_what_follows_the_third_frame(monkeypatch):
    states = np.arange(10.0)[None, :, None] * np.ones((2, 10, 3))
    monkeypatch.setattr(mocap, "load", lambda: ({"test": states}, None))
    assert mocap.error_of("test", states[:, 3:] + 2) == 4


def test_mocap_windows_are_frames_apart_and_validation_is_whole_where_windows_are_long(monkeypatch):
    states = np.arange(300.0)[None, :, None] * np.full((2, 300, 1), mocap.UNIT)
    monkeypatch.setattr(mocap, "load", lambda: ({"train": states, "validation": states}, None))
    stage = mocap.Stage(50, 10, 1, 1)
    train, held = mocap.windows("train", stage), mocap.windows("validation", stage)
    assert train.targets[:, 0, 0].tolist() == list(range(mocap.THIN, 151, mocap.THIN))
    assert sorted(set(train.start[:, 0].tolist())) == list(range(0, 150, 10))
    assert held.steps == 99 and set(held.start[:, 0].tolist()) == {0.0}


def test_balanced_accuracy_is_of_edges_and_of_pairs_without():
    true, found = np.array([True, True, False, False]), np.array([True, False, False, False])
    assert dash_real.balanced_accuracy(found, true) == 0.75


def test_pathreg_errors_are_of_single_cells_from_the_mean_of_the_first(monkeypatch):
    states = np.array([0.0, 0, 0, 0, 5, 1, 1, 1, 1, 1])[:, None]
    monkeypatch.setattr(pathreg_cells, "batches", lambda batch: {"B": (np.linspace(0, 1, 10), states)})
    assert pathreg_cells.errors("any", lambda first, times: first) == 2
    found = pathreg_cells.examples("any")
    assert found.start.tolist() == [[1.0]] and found.times.shape == (1, 11) and found.targets.shape == (10, 1, 1)


def test_cells_of_two_lineages_are_in_both():
    from anndata import AnnData

    obs = pd.DataFrame({"p": [0.1, 0.2, np.nan], "q": [np.nan, 0.3, 0.4]}, index=["a", "b", "c"])
    found = beeline.lineages(AnnData(np.eye(3), obs=obs), {"one": "p", "two": "q"})
    assert found.obs["cell"].tolist() == ["a", "b", "b", "c"]
    assert (
        found.obs["time"].tolist() == [0.1, 0.2, 0.3, 0.4]
        and found.obs["lineage"].tolist() == ["one"] * 2 + ["two"] * 2
    )


def test_a_single_run_has_no_spread(tmp_path):
    runs = {"data": ["dag"] * 3, "method": ["DCDI", "DCDI", "DCDFG"], "auprc": [0.2, 0.4, 0.3]}
    runs |= {name: 0.5 for name in _perturbode_tables.SHOWN["paper"] if name != "auprc"}
    pd.DataFrame(runs).to_csv(tmp_path / "paper.csv", index=False)
    table = _perturbode_tables.summary(tmp_path, "paper")["auprc"]
    assert table["dag", "DCDI"] == "0.300 (0.141)" and table["dag", "DCDFG"] == "0.300 (one run)"
