"""The mean of many fits of cells is one network; what is pruned, and what it is evaluated by."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from scdash.regression.averaging import average, prune
from scdash.regression.held_out_trajectories import DRAWS, SHIFTS, HeldOutWindows
from scdash.regression.linear_field import Field
from scdash.regression.production import softsign


def field(seed, rate=None, n=6, density=0.5):
    rng = np.random.default_rng(seed)
    effects = sp.random_array((n, n), density=density, rng=rng, data_sampler=rng.normal, format="csr")
    return Field(effects, rng.uniform(size=n), np.full(n, rate or rng.uniform(0.1, 2)), 1.0)


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=6), st.integers(0, 100))
def test_the_velocity_of_the_mean_is_the_mean_of_the_velocities(weights, seed):
    fields = [field(seed + k) for k in range(len(weights))]
    share = np.array(weights) / np.sum(weights)
    x = np.random.default_rng(seed).uniform(size=(4, 6))
    wanted = sum(w * f.velocity(x) for w, f in zip(share, fields, strict=True))
    np.testing.assert_allclose(average(fields, share).velocity(x), wanted, atol=1e-12)


def test_pruning_leaves_strong_edges_and_the_mean_production_as_they_are():
    one = field(3, density=0.9)
    before = one.effects.toarray()
    states = np.random.default_rng(1).uniform(size=(50, 6))
    found = prune(one, states, 0.15)
    share = np.abs(before) / np.abs(before).sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(found.effects.toarray(), np.where(share >= 0.15, before, 0))
    assert 0 < found.effects.nnz < one.effects.nnz
    np.testing.assert_array_equal(one.effects.toarray(), before)  # the field itself is not touched
    mean = [f.effects @ softsign(states).mean(0) + f.bias for f in (one, found)]
    np.testing.assert_allclose(*mean)
    np.testing.assert_array_equal(prune(one, states, 0.0).effects.toarray(), before)


def test_a_single_trajectory_evaluates_in_shifted_copies(system):
    truth = system.network()
    series = system.observe(truth, 3, times=np.arange(0, 3, 0.5), split=np.array([0, 1, 2]))
    alone, plain = HeldOutWindows.of(series, alone=True), HeldOutWindows.of(series)
    states = [series.states[series.split == k] for k in (0, 1)]
    offset = np.abs(states[1].mean(0) - states[0].mean(0))
    np.testing.assert_allclose(np.abs(alone.shifts), np.repeat(SHIFTS, DRAWS)[:, None] * offset)
    assert len(np.unique(alone.shifts, axis=0)) == len(SHIFTS) * DRAWS
    np.testing.assert_array_equal(plain.shifts, 0)

    def nothing_changes(start, times):
        return np.repeat(start[:, None], times.shape[1] - 1, axis=1)

    def training_mean(start, times):
        return np.broadcast_to(states[0].mean(0), (len(start), times.shape[1] - 1, start.shape[1]))

    error, flat = plain.error(nothing_changes)
    assert error == pytest.approx(((states[1][1:] - states[1][:1]) ** 2).mean())
    assert flat == pytest.approx(((states[1][1:] - states[0].mean(0)) ** 2).mean())
    # a prediction that keeps the offset of a start state gains where there is more of it, the training mean does not
    ratio = [np.divide(*windows.error(nothing_changes)) for windows in (plain, alone)]
    assert ratio[1] < ratio[0]
    assert np.divide(*alone.error(training_mean)) == pytest.approx(1)


def test_windows_and_several_trajectories_are_evaluated_as_they_are(system):
    truth = system.network()
    several = system.observe(truth, 3, times=np.arange(0, 3, 0.5), split=np.array([0, 1, 1]))
    np.testing.assert_array_equal(HeldOutWindows.of(several, alone=True).shifts, 0)
    window = system.observe(truth, 1, times=np.arange(0, 3, 0.5))
    window.split[2:4] = 1
    np.testing.assert_array_equal(HeldOutWindows.of(window, alone=True).shifts, 0)
