"""The mean of many fits of cells is one network; what is pruned and at which time_scale it runs."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from scdash.regression import TransitionSettings
from scdash.regression.averaging import at_time_scale, average, model_weights, prune, shrunk
from scdash.regression.held_out_trajectories import DRAWS, SHIFTS, HeldOutWindows
from scdash.regression.linear_field import Field, integrate
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


def test_weights_fall_with_the_error_and_the_hopeless_count_nothing():
    found = model_weights(np.array([2.0, 2.2, 4.0, np.inf]), temperature=0.1)
    assert found.sum() == pytest.approx(1)
    assert found[1] / found[0] == pytest.approx(np.exp(-1))
    assert (found[2:] == 0).all()
    np.testing.assert_array_equal(model_weights(np.full(3, np.inf), 0.1), [1, 0, 0])
    np.testing.assert_allclose(model_weights(np.zeros(2), 0.1), 0.5)  # a perfect fit is no division by zero


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


def test_pace_is_another_clock_on_the_same_path():
    one, start, times = field(5), np.full((1, 6), 0.3), np.linspace(0, 4, 9)
    fast = integrate(at_time_scale(one, 2.0), start, times / 2, largest=0.01)
    np.testing.assert_allclose(fast, integrate(one, start, times, largest=0.01), atol=1e-4)
    assert shrunk(0.25, 1) == pytest.approx(0.5)  # the training's own time_scale counts as one more window
    assert shrunk(1.0, 3) == 1
    assert 0.25 < shrunk(0.25, 3) < shrunk(0.25, 1)


def test_a_single_judge_judges_in_shifted_copies(system):
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


def test_windows_and_several_trajectories_are_judged_as_they_are(system):
    truth = system.network()
    several = system.observe(truth, 3, times=np.arange(0, 3, 0.5), split=np.array([0, 1, 1]))
    np.testing.assert_array_equal(HeldOutWindows.of(several, alone=True).shifts, 0)
    window = system.observe(truth, 1, times=np.arange(0, 3, 0.5))
    window.split[2:4] = 1
    np.testing.assert_array_equal(HeldOutWindows.of(window, alone=True).shifts, 0)


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"smallest_share": 1.0}, {"time_scales": ()}, {"time_scales": (0.0,)}]
)
def test_settings_of_the_mean_are_checked(wrong):
    with pytest.raises(ValueError, match="smallest_share"):
        TransitionSettings.for_cells(**wrong)
