"""Kernel bins against the formula, and rank alignment against its definition."""

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scdash._data import as_expression, bin_grid, effective_cells, expression, range_align, rank_align
from scdash._data.time_series.bins import binned_means, fit_kernels

from .kernels import kernel_bins

RNG = np.random.default_rng(0)


def test_ranks_are_places_within_the_batch():
    time, batch = [3.0, 1.0, 2.0, 9.0, 7.0], ["a", "a", "a", "b", "b"]
    np.testing.assert_allclose(rank_align(time, batch), [2.5 / 3, 0.5 / 3, 1.5 / 3, 0.75, 0.25])
    np.testing.assert_allclose(rank_align([1.0, 1.0, 5.0]), [1 / 3, 1 / 3, 2.5 / 3])  # ties: mean of 1/6 and 1/2


@given(hnp.arrays(float, st.integers(1, 30), elements=st.floats(-1e3, 1e3).map(lambda v: round(v, 3))))
def test_ranks_ignore_monotone_changes_of_time_and_average_one_half(time):
    place = rank_align(time)
    np.testing.assert_allclose(place, rank_align(3.0 * time + 2.0))
    assert place.mean() == pytest.approx(0.5)
    assert (place > 0).all() and (place < 1).all()


def test_range_alignment():
    np.testing.assert_allclose(range_align([2.0, 4.0, 6.0, 5.0], ["a", "a", "a", "b"]), [0, 0.5, 1, 0.5])


def test_kernel_means_are_the_written_formula():
    X, position = RNG.random((200, 4)), RNG.random(200)
    means, cells = kernel_bins(X, position, n_bins=10, bandwidth=1.5, min_cells=1)
    for b, centre in enumerate((np.arange(10) + 0.5) / 10):
        w = np.exp(-((position - centre) ** 2) / (2 * (1.5 / 10) ** 2))
        np.testing.assert_allclose(means[b], w @ X / w.sum(), rtol=1e-12)
        assert cells[b] == pytest.approx(w.sum() ** 2 / (w**2).sum())


def test_every_array_type_gives_the_same_bins(build):
    X = RNG.poisson(1.0, (60, 5))
    position = rank_align(RNG.random(60))
    wanted = kernel_bins(X.astype(float), position, n_bins=6)
    for got, truth in zip(kernel_bins(expression(build(X)), position, n_bins=6), wanted, strict=True):
        np.testing.assert_allclose(got, truth, rtol=1e-6)


def test_kernels_widen_until_enough_cells_stand_behind_each_bin():
    position = np.concatenate([RNG.uniform(0, 0.1, 50), RNG.uniform(0.9, 1, 50)])  # nobody in the middle
    X = position[:, None]
    narrow, few = kernel_bins(X, position, n_bins=20, bandwidth=0.05, min_cells=1)
    wide, cells = kernel_bins(X, position, n_bins=20, bandwidth=0.05, min_cells=12)
    assert np.isfinite(narrow).all() and few.min() >= 1
    assert cells.min() >= 12
    assert np.isfinite(wide).all()


def test_weights_count_cells_as_often_as_they_say():
    X, position = RNG.random((30, 3)), RNG.random(30)
    times = RNG.integers(1, 4, 30)
    weighted = kernel_bins(X, position, n_bins=5, min_cells=2, weights=times.astype(float))[0]
    repeated = kernel_bins(np.repeat(X, times, axis=0), np.repeat(position, times), n_bins=5, min_cells=2)[0]
    np.testing.assert_allclose(weighted, repeated, rtol=1e-12)


def test_disjoint_bins_are_plain_means_and_share_no_cell():
    X, position = RNG.random((40, 3)), rank_align(RNG.random(40))
    means, cells = kernel_bins(X, position, n_bins=4, min_cells=1, disjoint=True)
    assert cells.tolist() == [10, 10, 10, 10]
    for b in range(4):
        np.testing.assert_allclose(means[b], X[(position * 4).astype(int) == b].mean(0))
    empty, none = kernel_bins(X, position / 2, n_bins=4, min_cells=1, disjoint=True)
    assert np.isnan(empty[3]).all() and none[3] == 0


@given(st.integers(2, 25), st.floats(0.2, 5.0))
def test_means_stay_within_the_data_and_constants_stay_constant(n_bins, bandwidth):
    X = np.column_stack([np.linspace(-2, 3, 50), np.full(50, 1.5)])
    means, _ = kernel_bins(X, np.linspace(0, 1, 50), n_bins=n_bins, bandwidth=bandwidth)
    assert means[:, 0].min() >= -2 - 1e-9 and means[:, 0].max() <= 3 + 1e-9
    np.testing.assert_allclose(means[:, 1], 1.5)
    assert (np.diff(means[:, 0]) > 0).all()  # a rising gene rises


def test_sparse_X_is_multiplied_not_densified(monkeypatch):
    matrix = sp.random(500, 40, density=0.05, format="csr", random_state=1)
    wanted = kernel_bins(matrix.toarray(), np.linspace(0, 1, 500))[0]

    def refuse(*_args, **_kwargs):
        raise AssertionError("densified")

    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, refuse)
    np.testing.assert_allclose(kernel_bins(matrix, np.linspace(0, 1, 500))[0], wanted)


@pytest.mark.parametrize("outside", [0, 30])
def test_draws_of_sparse_cells_are_the_sums_of_their_own_cells(outside):
    """Draws that share no cell are multiplied together, others not; cells of no draw and weights above 1 are heeded."""
    matrix = sp.random(200, 7, density=0.4, format="csr", random_state=1)
    position, part = np.linspace(0, 1, 200), RNG.integers(0, 3, 200)
    part[:outside] = -1
    quarters = np.stack([part == q for q in range(3)]) * RNG.uniform(0.5, 2, 200)
    draws = np.concatenate([quarters, RNG.poisson(1.0, (2, 200)), quarters[::-1]]).astype(float)
    kernel = fit_kernels(position, n_bins=5, bandwidth=1.0, min_cells=1)
    group = np.zeros(200, np.int64)
    means, _ = binned_means(as_expression(matrix), group, position, [kernel], draws)
    for draw, found in zip(draws, means[0], strict=True):
        w = draw * kernel.weights(position)
        np.testing.assert_allclose(found, w @ matrix.toarray() / w.sum(1, keepdims=True), rtol=1e-12)


def test_effective_cells_of_equal_weights_is_their_number():
    assert effective_cells(np.array([[2.0, 2.0, 2.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])).tolist() == [3.0, 1.0, 0.0]


def test_bad_arguments():
    X, position = np.ones((6, 2)), np.linspace(0, 1, 6)
    with pytest.raises(ValueError, match="n_bins must be at least 2"):
        kernel_bins(X, position, n_bins=1)
    with pytest.raises(ValueError, match="bandwidth"):
        kernel_bins(X, position, bandwidth=0)
    with pytest.raises(ValueError, match="Only 6 cells: fewer than min_cells=7"):
        kernel_bins(X, position, min_cells=7)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        kernel_bins(X, position * 2)
    with pytest.raises(ValueError, match="6 cells, position 5"):
        kernel_bins(X, position[:5])
    assert len(bin_grid(4)) == 4


def test_anndata_matrix_is_left_alone():
    X = RNG.random((20, 3))
    X.flags.writeable = False
    before = X.copy()
    kernel_bins(expression(ad.AnnData(X)), np.linspace(0, 1, 20))
    np.testing.assert_array_equal(X, before)
