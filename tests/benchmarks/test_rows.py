"""What the row-wise benchmarks have in common, and how they judge."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from benchmarks import _rows, beeline, mocap, realtime, yeast
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


def test_mocap_errors_are_of_what_follows_the_third_frame():
    from anndata import AnnData

    x = np.arange(10.0)[:, None] * np.ones((1, 2))
    obs = pd.DataFrame({"sequence": ["s"] * 10, "split": "test"}, index=[str(k) for k in range(10)])
    assert mocap.error_of(AnnData(x, obs=obs), lambda sequence: x[3:] + 2) == 4


def test_cells_of_two_lineages_are_in_both():
    from anndata import AnnData

    obs = pd.DataFrame({"p": [0.1, 0.2, np.nan], "q": [np.nan, 0.3, 0.4]}, index=["a", "b", "c"])
    found = beeline.lineages(AnnData(np.eye(3), obs=obs), {"one": "p", "two": "q"})
    assert found.obs["cell"].tolist() == ["a", "b", "b", "c"]
    assert (
        found.obs["time"].tolist() == [0.1, 0.2, 0.3, 0.4]
        and found.obs["lineage"].tolist() == ["one"] * 2 + ["two"] * 2
    )
