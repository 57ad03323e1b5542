"""What the noise of few cells adds to the start of a left-out batch is taken away; what is special to the batch stays."""

from dataclasses import replace

import numpy as np
import pytest

from scdash.dynamics.whole_trajectories.batch_noise import starts_without_batch_noise

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


def moved(series, lineage, weights=None):
    """Return by how much the starts of the left-out batch 1 differ from the others' mean, before and after: (lineages, genes)."""
    learned = series.group != 1
    found = starts_without_batch_noise(series, lineage, learned, np.ones(GENES) if weights is None else weights)
    states = [shaped(one)[0, :, :, 0] for one in (series, found)]
    others = states[0][:, [0, 2, 3]].mean(axis=1)
    return tuple(one[:, 1] - others for one in states)


def parts(difference):
    """Return the variance of what the lineages of a batch have in common, and of what they have not."""
    shared = difference.mean(axis=0, keepdims=True)
    return (shared**2).mean(), ((difference - shared) ** 2).mean()


def test_a_batch_that_differs_by_the_noise_of_its_cells_alone_begins_where_the_others_do():
    before, after = (parts(one) for one in moved(*batches()))
    assert after[0] < 0.15 * before[0] and after[1] < 0.15 * before[1]


def test_a_batch_that_really_differs_stays_as_it_is():
    before, after = moved(*batches(shared=2.0, single=2.0))
    np.testing.assert_allclose(after, before, atol=0.1)


def test_lineages_share_what_is_special_to_their_batch():
    before, after = (parts(one) for one in moved(*batches(shared=2.0)))
    assert after[0] == pytest.approx(before[0], rel=0.05) and after[1] < 0.15 * before[1]


def test_weights_of_genes_say_whose_differences_count():
    series, lineage = batches()
    series.states[..., 0] += np.repeat(np.tile([5.0, -5.0, 5.0, -5.0], LINEAGES * (DRAWS + 1)), TIMES)
    before, with_it = moved(series, lineage, np.ones(GENES))
    _, without = moved(series, lineage, np.r_[0.0, np.ones(GENES - 1)])
    assert parts(with_it)[0] > 0.9 * parts(before)[0] and parts(without)[0] < 0.2 * parts(before)[0]


def test_starts_of_left_out_batches_alone_are_moved_bootstraps_with_them_and_nothing_later_is_used():
    series, lineage = batches(shared=0.1, single=0.1)
    learned = series.group != 1
    found = starts_without_batch_noise(series, lineage, learned, np.ones(GENES))
    start = ~learned[series.trajectory] & (series.times == series.times.min())
    np.testing.assert_array_equal(found.states[~start], series.states[~start])
    change = shaped(found)[:, :, 1, 0] - shaped(series)[:, :, 1, 0]
    assert abs(change).max() > 0.05
    np.testing.assert_allclose(change, np.broadcast_to(change[0], change.shape), atol=1e-12)
    later = series.times > series.times.min()
    series.states[later] = 100.0
    again = starts_without_batch_noise(series, lineage, learned, np.ones(GENES))
    np.testing.assert_array_equal(again.states[start], found.states[start])


def test_neither_starts_for_test_nor_those_of_the_left_out_batch_say_how_large_the_noise_is():
    series, lineage = batches()
    learned = series.group != 1
    start = series.times == series.times.min()
    for_test = start & (series.group[series.trajectory] == 3)
    series = replace(series, split=np.where(for_test, TEST, TRAIN).astype(np.int8))
    found = starts_without_batch_noise(series, lineage, learned, np.ones(GENES))
    own = ~learned[series.trajectory] & start
    series.states[for_test] = 100.0
    again = starts_without_batch_noise(series, lineage, learned, np.ones(GENES))
    np.testing.assert_array_equal(again.states[own], found.states[own])


def test_nothing_is_moved_without_batches_without_bootstraps_or_with_one_batch_to_learn_from():
    series, lineage = batches()
    for one, learned in ((replace(series, group=None), series.group != 1), (series, series.group == 0)):
        found = starts_without_batch_noise(one, lineage, learned, np.ones(GENES))
        np.testing.assert_allclose(found.states, one.states, atol=1e-12)
    own = series.originals()
    found = starts_without_batch_noise(own, lineage, own.group != 1, np.ones(GENES))
    np.testing.assert_array_equal(found.states, own.states)


def test_how_far_off_the_left_out_batch_begins_does_not_say_how_much_of_that_is_noise():
    series, lineage = batches()
    series.states[(series.group[series.trajectory] == 1) & (series.times == series.times.min())] += 10.0
    before, after = (parts(one) for one in moved(series, lineage))
    assert before[0] > 50 and after[0] < 0.15 * before[0]
