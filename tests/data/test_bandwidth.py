"""The width of the kernels is chosen by how well one half of the cells predicts the other."""

import numpy as np
import pytest

from scdash._data import cells_to_series
from scdash._data.expression_matrix import as_expression
from scdash._data.interval_means import interval_sums, kernel_means_of_intervals
from scdash._data.time_series.bandwidth import ALL_CELLS, BANDWIDTHS, NARROWEST, _plain_means, choose_bandwidths
from scdash._data.time_series.bins import bin_grid
from scdash._data.time_series.placed import Placed

BINS = 20
WIDEST = ALL_CELLS * BANDWIDTHS[-1]


def _smooth(sums, cells, bandwidth):
    """Return kernel means at the centres of the bins; the width is in bins."""
    return kernel_means_of_intervals(sums, cells, bin_grid(len(cells)), bin_grid(BINS), bandwidth / BINS)


def cells(number: int, waves: float, noise: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    time = rng.random(number)
    phase = 2 * np.pi * np.linspace(0, 1, 12)
    return time, 2 + np.sin(2 * np.pi * waves * time[:, None] + phase) + noise * rng.normal(size=(number, 12))


def chosen(time, values, batch=None):
    placed = Placed.of(time, None, batch, None)
    return choose_bandwidths(as_expression(values), placed, n_bins=BINS, rng=np.random.default_rng(0))


def test_fast_changes_in_many_cells_take_the_narrowest_kernel():
    assert chosen(*cells(4000, waves=3, noise=0.1)) == [NARROWEST]


def test_slow_changes_in_few_noisy_cells_take_the_widest_kernel():
    assert chosen(*cells(120, waves=0.5, noise=3)) == [WIDEST]


def test_means_of_all_cells_are_nearer_to_the_truth_than_with_the_width_of_one_half():
    # the width that predicts the other half best is the best one for half as many cells, which is too wide for all of them
    centres, gain = (np.arange(BINS) + 0.5) / BINS, []
    phase = 2 * np.pi * np.linspace(0, 1, 12)
    for seed in range(12):
        time, values = cells(400, waves=1.5, noise=1.0, seed=seed)
        place = (np.argsort(np.argsort(time)) + 0.5) / len(time)
        truth = 2 + np.sin(2 * np.pi * 1.5 * np.quantile(time, centres)[:, None] + phase)
        sums, number = interval_sums(as_expression(values), Placed.of(place, None, None, None), 5 * BINS)
        width = float(chosen(time, values)[0])
        narrow, wide = (_smooth(sums[0, 0], number[0, 0], w) for w in (width, width / ALL_CELLS))
        gain.append(((wide - truth) ** 2).mean() / ((narrow - truth) ** 2).mean())
    assert np.mean(np.log(gain)) > 2 * np.std(np.log(gain)) / np.sqrt(len(gain))


def test_every_trajectory_has_a_width_of_its_own():
    fast, slow = cells(4000, waves=3, noise=0.1), cells(120, waves=0.5, noise=3)
    time, values = (np.concatenate(parts) for parts in zip(fast, slow, strict=True))
    batch = np.repeat(["fast", "slow"], [4000, 120])
    assert chosen(time, values, batch).tolist() == [NARROWEST, WIDEST]
    genes = [f"g{i}" for i in range(12)]
    series = cells_to_series(values, genes, time, lineage=batch, n_bins=BINS)
    assert series.bandwidths.tolist() == [NARROWEST, WIDEST]


def test_batches_of_one_lineage_keep_the_width_for_half_of_their_cells():
    time, values = (
        np.concatenate(parts) for parts in zip(*(cells(120, 0.5, 3, seed) for seed in range(3)), strict=True)
    )
    genes, label = [f"g{i}" for i in range(12)], np.repeat(["a", "b", "c"], 120)
    lineage = np.where(label == "c", "other", "one")
    series = cells_to_series(values, genes, time, lineage=lineage, batch=label, n_bins=BINS)
    assert series.bandwidths.tolist() == [BANDWIDTHS[-1], BANDWIDTHS[-1], WIDEST]  # the third is alone in its lineage


def test_a_given_width_is_used():
    time, values = cells(4000, waves=3, noise=0.1)
    genes = [f"g{i}" for i in range(12)]
    chosen_widths, given, wide = (
        cells_to_series(values, genes, time, n_bins=BINS, bandwidth=width, hold_out=None)
        for width in (None, NARROWEST, WIDEST)
    )
    assert np.array_equal(chosen_widths.log_means, given.log_means)
    assert not np.allclose(wide.log_means, given.log_means, atol=0.1)


def test_cells_of_a_test_window_do_not_choose():
    time, values = cells(1000, waves=1, noise=0.3)
    genes = [f"g{i}" for i in range(12)]
    first = cells_to_series(values, genes, time, n_bins=BINS, hold_out=0.2, rng=3)
    times = first.bins["time"].to_numpy()[first.bins["split"].to_numpy() == "test"]
    ranks = (np.argsort(np.argsort(time)) + 0.5) / len(time)
    inside = (ranks * 10 > times.min() - 0.24) & (ranks * 10 < times.max() + 0.24)
    assert inside.sum() > 100
    changed = values.copy()
    changed[inside] = 50 * np.sin(400 * time[inside])[:, None] ** 2
    again = cells_to_series(changed, genes, time, n_bins=BINS, hold_out=0.2, rng=3)
    assert again.bandwidths.tolist() == first.bandwidths.tolist()


def test_cells_that_take_no_part_do_not_choose():
    time, values = cells(1000, waves=1, noise=0.3)
    out = np.arange(1000) % 2 == 0
    placed = Placed.of(time, None, None, out)
    alone = Placed.of(time[~out], None, None, None)
    sides = np.arange(1000) // 2 % 2
    sums, number = interval_sums(as_expression(values), placed, 40, np.where(out, -1, sides), 2)
    expected, counts = interval_sums(as_expression(values[~out]), alone, 40, sides[~out], 2)
    np.testing.assert_allclose(sums, expected)
    assert np.array_equal(number, counts)


def test_sums_in_fine_intervals_give_the_kernel_means_of_the_cells():
    time, values = cells(3000, waves=1, noise=0.3)
    placed = Placed.of(time, None, None, None)
    sums, number = interval_sums(as_expression(values), placed, 5 * BINS)
    assert number.shape == (1, 1, 5 * BINS) and number.sum() == 3000
    centres = (np.arange(BINS) + 0.5) / BINS
    weights = np.exp(-0.5 * ((placed.position[None] - centres[:, None]) * BINS / 1.5) ** 2)
    exact = weights @ values / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(_smooth(sums[0, 0], number[0, 0], 1.5), exact, atol=0.01)
    plain, known = _plain_means(sums[0, 0], number[0, 0], BINS)
    own = (placed.position * BINS).astype(int)
    np.testing.assert_allclose(plain, [values[own == b].mean(0) for b in range(BINS)])
    assert known.all()


def test_bins_without_a_cell_evaluate_nothing():
    time, values = cells(6, waves=1, noise=0.1)
    sums, number = interval_sums(
        as_expression(values), Placed.of(time, None, None, None), 5 * BINS, np.arange(6) % 2, 2
    )
    plain, known = _plain_means(sums[0, 0], number[0, 0], BINS)
    assert known.sum() == 3
    assert np.isfinite(plain).all()
    assert np.isfinite(_smooth(sums[0, 0], number[0, 0], 0.75)).all()


@pytest.mark.parametrize("parts", [2, 4])
def test_neighbours_in_time_go_to_different_parts(parts):
    time = np.random.default_rng(0).permutation(40).astype(float)
    part = Placed.of(time, None, None, None).deal(parts, np.random.default_rng(1))
    ordered = part[np.argsort(time)].reshape(-1, parts)
    assert all(sorted(hand) == list(range(parts)) for hand in ordered)
