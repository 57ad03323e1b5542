"""The single-cell recipe: cells to scaled trajectories of bins."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scdash._data import cells_to_series, rank_align

from .kernels import kernel_bins

RNG = np.random.default_rng(3)
N = 240
TIME = RNG.random(N)
X = np.column_stack([2 * TIME, np.sin(3 * TIME) + 1, np.full(N, 0.7)]) + 0.01 * RNG.random((N, 3))
GENES = ["rise", "hump", "flat"]
ALL_TRAIN = np.full(N, "train")
BATCH = np.array(["b1", "b2", "b3"])[np.arange(N) % 3]


def test_one_trajectory_is_its_scaled_kernel_means():
    series, bins, low, width, *_ = cells_to_series(X, GENES, TIME, n_bins=10, bandwidth=2.0, split=ALL_TRAIN)
    means, cells = kernel_bins(X, rank_align(TIME), n_bins=10)
    train = (bins["split"] == "train").to_numpy()
    np.testing.assert_allclose(low, means[train].min(0))
    np.testing.assert_allclose(width, np.maximum(means[train].max(0) - means[train].min(0), 0.5))
    assert width[2] == 0.5  # the flat gene's noise is not blown up
    np.testing.assert_allclose(series.states, (means - low) / width)
    np.testing.assert_allclose(series.times, (np.arange(10) + 0.5) / 10 * 10.0)
    np.testing.assert_allclose(series.weights, cells)
    np.testing.assert_allclose(bins["n_cells"], cells)
    assert list(series.genes) == GENES and series.names == ("all",)


def test_a_held_out_window_and_its_surroundings_share_no_cell():
    series, bins, low, width, *_ = cells_to_series(X, GENES, TIME, n_bins=10)
    assert {"train", "validation", "test"} == set(bins["split"])
    of_cell = bins["split"].to_numpy()[(rank_align(TIME) * 10).astype(int)]
    for side in ("train", "validation", "test"):
        wild = X + 50.0 * (of_cell != side)[:, None]  # what happens to all other cells must not reach these bins
        rows = (bins["split"] == side).to_numpy()
        there = cells_to_series(wild, GENES, TIME, n_bins=10).log_means
        np.testing.assert_allclose(there[rows], (series.states * width + low)[rows])


def test_log_means_go_back_to_log_units():
    result = cells_to_series(X, GENES, TIME, n_bins=10, bandwidth=2.0, split=ALL_TRAIN)
    np.testing.assert_allclose(result.log_means, kernel_bins(X, rank_align(TIME), n_bins=10)[0])


def test_trajectories_are_lineages_within_batches():
    lineage = pd.Categorical(np.where(np.arange(N) < 120, "ery", "b"), categories=["unused", "ery", "b"])
    series, bins, *_ = cells_to_series(X, GENES, TIME, lineage=lineage, batch=BATCH, n_bins=8, n_bootstrap=2)
    parents = [f"{lin}:{bat}" for lin in ("ery", "b") for bat in ("b1", "b2", "b3")]
    assert sorted(series.names) == sorted(p + s for p in parents for s in ("", "#1", "#2"))
    own = bins[bins["trajectory"] == "b:b2"]
    chosen = (np.asarray(lineage) == "b") & (BATCH == "b2")
    means, _ = kernel_bins(X[chosen], rank_align(TIME[chosen]), n_bins=8)
    rows = np.flatnonzero(bins["trajectory"] == "b:b2")
    result = cells_to_series(X, GENES, TIME, lineage=lineage, batch=BATCH, n_bins=8, n_bootstrap=2, bandwidth=2.0)
    np.testing.assert_allclose(result.log_means[rows], means)
    assert set(own["lineage"]) == {"b"} and set(own["batch"]) == {"b2"} and set(own["bootstrap"]) == {0}


def test_scaling_uses_only_the_named_trajectories():
    shifted = X + (BATCH == "b2")[:, None] * 5.0
    _, bins, low, *_ = cells_to_series(shifted, GENES, TIME, batch=BATCH, scale_by=["b2"])
    assert low[0] > 5.0
    _, _, low, *_ = cells_to_series(shifted, GENES, TIME, batch=BATCH, scale_by="b1")
    assert low[0] < 1.0
    with pytest.raises(ValueError, match="Unknown trajectory in scale_by 'b9'"):
        cells_to_series(X, GENES, TIME, batch=BATCH, scale_by=["b9"])


def test_held_out_trajectories_do_not_reach_the_scale():
    split = np.where(BATCH == "b3", "test", "train")
    plain = cells_to_series(X, GENES, TIME, batch=BATCH, split=split)
    wild = cells_to_series(X + 100.0 * (BATCH == "b3")[:, None], GENES, TIME, batch=BATCH, split=split)
    np.testing.assert_array_equal(plain.minimum, wild.minimum)
    np.testing.assert_array_equal(plain.range, wild.range)
    assert plain.series.split.tolist() == [0] * 40 + [2] * 20


def test_split_must_keep_trajectories_whole():
    with pytest.raises(ValueError, match="'all' have 2 different splits"):
        cells_to_series(X, GENES, TIME, split=np.where(TIME < 0.9, "train", "test"))
    with pytest.raises(ValueError, match="Unknown label in split 'validate'"):
        cells_to_series(X, GENES, TIME, batch=BATCH, split=np.where(BATCH == "b1", "train", "validate"))


def test_bootstraps_follow_their_parent_and_vary_by_the_standard_error():
    result = cells_to_series(X, GENES, TIME, n_bins=5, n_bootstrap=60, bandwidth=2.0, rng=1, split=ALL_TRAIN)
    bins = result.bins
    draws = result.log_means[(bins["bootstrap"] > 0).to_numpy(), 0].reshape(60, 5)
    whole = result.log_means[(bins["bootstrap"] == 0).to_numpy(), 0]
    place = rank_align(TIME)
    w = np.exp(-0.5 * ((place - 0.5) / (2 / 5)) ** 2)
    w /= w.sum()
    error = np.sqrt((w**2 * (X[:, 0] - w @ X[:, 0]) ** 2).sum())  # of a weighted mean with random exponential weights
    assert draws.mean(0) == pytest.approx(whole, abs=4 * error / np.sqrt(60))
    assert draws[:, 2].std() == pytest.approx(error, rel=4 / np.sqrt(2 * 60))
    held = cells_to_series(X, GENES, TIME, n_bins=5, n_bootstrap=60).bins
    assert held.groupby("time")["split"].nunique().eq(1).all() and held["split"].nunique() == 3


def test_the_same_seed_gives_the_same_series_and_another_seed_another():
    a, b, c = (cells_to_series(X, GENES, TIME, batch=BATCH, n_bootstrap=2, rng=r).series.states for r in (5, 5, 6))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_sparse_dense_and_permuted_cells_agree():
    order = RNG.permutation(N)
    a = cells_to_series(X, GENES, TIME, batch=BATCH)
    b = cells_to_series(sp.csr_matrix(X), GENES, TIME, batch=BATCH)
    c = cells_to_series(X[order], GENES, TIME[order], batch=BATCH[order])
    np.testing.assert_allclose(a.series.states, b.series.states)
    np.testing.assert_allclose(a.series.states, c.series.states)


def test_cells_without_a_lineage_take_no_part_even_without_a_time():
    lineage = np.array(["path"] * 200 + [None] * 40, dtype=object)
    time = TIME.copy()
    time[200:] = np.inf
    got = cells_to_series(X, GENES, time, lineage=lineage)
    np.testing.assert_allclose(got.series.states, cells_to_series(X[:200], GENES, TIME[:200]).series.states)
    with pytest.raises(ValueError, match="NaN or infinite for 40"):
        cells_to_series(X, GENES, time)


def test_rank_alignment_ignores_the_scale_of_pseudotime_and_range_does_not():
    warped = np.where(BATCH == "b2", TIME**3 * 50, TIME)
    rank = [cells_to_series(X, GENES, t, batch=BATCH).series.states for t in (TIME, warped)]
    np.testing.assert_allclose(*rank)
    scaled = np.where(BATCH == "b2", TIME * 50, TIME)
    ranged = [cells_to_series(X, GENES, t, batch=BATCH, align="range").series.states for t in (TIME, scaled)]
    np.testing.assert_allclose(*ranged)


def test_without_alignment_trajectories_keep_their_own_part_of_the_axis():
    time = np.where(BATCH == "b2", 0.5 + TIME / 2, TIME)
    _, bins, *_ = cells_to_series(X, GENES, time, batch=BATCH, align="none", n_bins=10, bandwidth=0.5)
    assert bins.loc[bins["batch"] == "b2", "time"].min() > 4.5
    assert bins.loc[bins["batch"] == "b1", "time"].min() < 1.0


def test_disjoint_bins_with_too_few_cells_are_left_out(caplog):
    time = np.concatenate([np.linspace(0, 0.45, 50), np.linspace(0.8, 1.0, 50)])
    series, bins, *_ = cells_to_series(X[:100], GENES, time, align="range", disjoint=True, n_bins=10, min_cells=5)
    assert (bins["n_cells"] >= 5).all() and len(series) < 10
    assert np.isfinite(series.states).all()


def test_cell_time_is_the_mean_time_behind_a_bin():
    _, bins, *_ = cells_to_series(X, GENES, TIME, n_bins=4, disjoint=True)
    quarter = np.sort(TIME)[:60]
    assert bins["cell_time"].iloc[0] == pytest.approx(quarter.mean())


def test_more_bins_than_cells_and_constant_time_name_the_trajectory():
    with pytest.raises(ValueError, match="'b1' has 80 cells, too few for n_bins=100"):
        cells_to_series(X, GENES, TIME, batch=BATCH, n_bins=100)
    weights = np.linspace(0, 1, len(TIME)).astype(str)
    with pytest.raises(ValueError, match="Weights of cells in lineages are no labels: put a table"):
        cells_to_series(X, GENES, TIME, lineage=weights)
    with pytest.raises(ValueError, match="constant within trajectory 'b2'"):
        cells_to_series(X, GENES, np.where(BATCH == "b2", 0.5, TIME), batch=BATCH)
    with pytest.raises(ValueError, match="Unknown align 'ranks'.*'rank'"):
        cells_to_series(X, GENES, TIME, align="ranks")
    with pytest.raises(ValueError, match="range_floor"):
        cells_to_series(X, GENES, TIME, range_floor=0)
