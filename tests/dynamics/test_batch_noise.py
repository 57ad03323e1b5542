"""What the noise of few cells adds to the differences between batches is taken away; what is learned about them stays."""

from dataclasses import replace

import numpy as np
import pytest

from scdash.dynamics.whole_trajectories.batch_noise import without_batch_noise

from .data import series_of

BATCHES, LINEAGES, DRAWS, TIMES, GENES = 4, 2, 30, 5, 40
TRAIN, TEST = 0, 2
MEAN = np.linspace(0, 1, TIMES)[:, None] * np.array([1.0, -1.0])[:, None, None]  # of the lineages, (lineages, times, 1)


def batches(shared=0.0, single=0.0, noise_shared=0.1, noise_single=0.1, seed=0):
    """Return a series of all lineages and batches with their bootstraps, and the lineage of every trajectory.

    `shared`, `single`: how much batches, and lineages of a batch, really differ. The noise of a bootstrap has the size of that
    of the cells.
    """
    rng = np.random.default_rng(seed)

    def drawn(size, lineages):
        return size * rng.normal(size=(lineages, BATCHES, 1, GENES))

    truth = MEAN[:, None] + drawn(shared, 1) + drawn(single, LINEAGES)
    states = [truth + drawn(noise_shared, 1) + drawn(noise_single, LINEAGES)]
    states += [states[0] + drawn(noise_shared, 1) + drawn(noise_single, LINEAGES) for _ in range(DRAWS)]
    names = LINEAGES * BATCHES
    values = np.stack(states).reshape(-1, TIMES, GENES)  # (draws, lineages, batches)
    own = np.tile(np.arange(names), DRAWS + 1)
    series = replace(series_of(values, np.zeros(values.shape[:2])), origin=own, group=own % BATCHES)
    return series, own // BATCHES


def shaped(series):
    """Return the states of a series as (draws, lineages, batches, times, genes)."""
    return series.states.reshape(DRAWS + 1, LINEAGES, BATCHES, TIMES, GENES)


def made(series, lineage, learned=None):
    everything = np.ones(len(series.names), dtype=bool)
    return without_batch_noise(series, lineage, everything if learned is None else learned, np.ones(GENES))


def parts(series):
    """Return the variance of what the lineages of a batch have in common, and of what they have not."""
    states = shaped(series)[0]
    difference = states - states.mean(axis=1, keepdims=True)
    shared = difference.mean(axis=0, keepdims=True)
    return (shared**2).mean(), ((difference - shared) ** 2).mean()


def test_batches_that_differ_by_the_noise_of_their_cells_alone_become_alike():
    series, lineage = batches()
    before, after = parts(series), parts(made(series, lineage))
    assert after[0] < 0.1 * before[0] and after[1] < 0.1 * before[1]


def test_batches_that_really_differ_stay_as_they_are():
    series, lineage = batches(shared=2.0, single=2.0)
    np.testing.assert_allclose(made(series, lineage).states, series.states, atol=0.1)


def test_lineages_share_what_is_special_to_their_batch():
    series, lineage = batches(shared=2.0)
    before, after = parts(series), parts(made(series, lineage))
    assert after[0] == pytest.approx(before[0], rel=0.05) and after[1] < 0.1 * before[1]


def test_means_of_lineages_and_the_spread_of_bootstraps_stay():
    series, lineage = batches(shared=0.1, single=0.1)
    before, after = shaped(series), shaped(made(series, lineage))
    assert abs(after - before).max() > 0.05
    np.testing.assert_allclose(after[0].mean(axis=1), before[0].mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(after[1:] - after[0], before[1:] - before[0], atol=1e-12)


def test_weights_of_genes_say_whose_differences_count():
    series, lineage = batches()
    series.states[..., 0] += np.repeat(np.tile([5.0, -5.0, 5.0, -5.0], LINEAGES * (DRAWS + 1)), TIMES)
    everything = np.ones(len(series.names), dtype=bool)
    with_it, without = (
        without_batch_noise(series, lineage, everything, np.r_[weight, np.ones(GENES - 1)]) for weight in (1.0, 0.0)
    )
    assert parts(with_it)[0] > 0.9 * parts(series)[0] and parts(without)[0] < 0.1 * parts(series)[0]


def test_of_a_batch_that_is_left_out_the_start_alone_is_moved_and_nothing_later_is_used():
    series, lineage = batches()
    left_out = series.group == 1
    found = made(series, lineage, ~left_out)
    rows = left_out[series.trajectory]
    first = series.times == series.times.min()
    np.testing.assert_array_equal(found.states[rows & ~first], series.states[rows & ~first])
    moved, seen = (part.states[rows & first] - MEAN[:, 0].mean() for part in (found, series))
    assert (moved[:LINEAGES] ** 2).mean() < 0.5 * (seen[:LINEAGES] ** 2).mean()  # nearer to the mean of the others
    series.states[rows & ~first] = 100.0
    again = made(series, lineage, ~left_out)
    np.testing.assert_array_equal(again.states[~rows | first], found.states[~rows | first])


def test_states_for_test_are_neither_moved_nor_used():
    series, lineage = batches()
    late = series.times == series.times.max()
    series = replace(series, split=np.where(late, TEST, TRAIN).astype(np.int8))
    found = made(series, lineage)
    np.testing.assert_array_equal(found.states[late], series.states[late])
    series.states[late] = 100.0
    np.testing.assert_array_equal(made(series, lineage).states[~late], found.states[~late])


def test_nothing_is_moved_without_batches_without_bootstraps_or_with_one_batch_to_learn_from():
    series, lineage = batches()
    np.testing.assert_array_equal(made(replace(series, group=None), lineage).states, series.states)
    own = series.originals()
    np.testing.assert_array_equal(made(own, lineage).states, own.states)
    np.testing.assert_allclose(made(series, lineage, series.group == 0).states, series.states, atol=1e-12)
