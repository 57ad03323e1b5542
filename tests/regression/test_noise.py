"""Noise and constant genes are read off the data where they show, and not where they do not."""

import numpy as np
import pytest

from scdash.regression.intervals import Trajectories
from scdash.regression.noise import average_constants, denoise, noise_and_constants


def all_of(data):
    return np.ones(data.times.shape, dtype=bool)


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.06])
def test_constant_genes_and_the_noise_are_found(system, noise):
    data = Trajectories.from_series(system.observe(system.network(30, 8), 60, noise=noise), ("train",))
    variance, constant = noise_and_constants(data, all_of(data))
    assert np.array_equal(np.flatnonzero(constant), np.arange(8))
    # chi-squared with 8 * 60 * 3 degrees of freedom: standard error 3.7 %; four of them
    assert variance == pytest.approx(noise**2, rel=0.15)


def test_without_noise_constants_are_exact(system):
    data = Trajectories.from_series(system.observe(system.network(), noise=0.0), ("train",))
    variance, constant = noise_and_constants(data, all_of(data))
    assert np.array_equal(np.flatnonzero(constant), np.arange(5))
    assert variance < 1e-8


@pytest.mark.parametrize("seed", range(4))
def test_genes_that_all_change_are_not_called_constant(system, seed):
    series = system.observe(system.network(inputs=0, seed=seed), seed=seed)
    data = Trajectories.from_series(series, ("train",))
    variance, constant = noise_and_constants(data, all_of(data))
    assert variance is None
    assert not constant.any()


def test_two_times_cannot_tell(system):
    data = Trajectories.from_series(system.observe(system.network(), 60, times=(0.0, 1.0)), ("train",))
    assert noise_and_constants(data, all_of(data))[0] is None


def test_averages_are_weighted_and_leave_other_genes_alone(system):
    states = np.arange(12.0).reshape(1, 4, 3)
    series = system.series_of(states, range(4), weights=np.array([1.0, 1, 1, 5]))
    data = Trajectories.from_series(series, ("train",))
    averaged = average_constants(data, np.array([True, False, False]))
    np.testing.assert_allclose(averaged[0, :, 0], (0 + 3 + 6 + 5 * 9) / 8)
    np.testing.assert_array_equal(averaged[..., 1:], states[..., 1:])


def test_denoising_is_the_best_mix_of_simulation_and_observation(system):
    rng = np.random.default_rng(0)
    truth = rng.random((400, 3, 2))
    seen = truth + rng.normal(0, 0.1, truth.shape)
    simulated = truth + rng.normal(0, [0.05, 0.3], truth.shape)
    data = Trajectories.from_series(system.series_of(seen, range(3)), ("train",))
    mixed = denoise(data, simulated, 0.01, all_of(data))
    error = ((mixed - truth)[:, 1:] ** 2).mean(axis=(0, 1))
    best = np.array([0.05**2, 0.3**2]) * 0.01 / (np.array([0.05**2, 0.3**2]) + 0.01)
    np.testing.assert_allclose(error, best, rtol=0.15)  # 800 draws: 5 % standard error


def test_a_simulation_without_error_and_noise_stays_as_it_is(system):
    seen = np.random.default_rng(0).normal(size=(1, 4, 2))
    data = Trajectories.from_series(system.series_of(seen, range(4)), ("train",))
    simulated = data.states + np.array([0.0, 0.5]) * (np.arange(4) > 0)[:, None]
    with np.errstate(all="raise"):
        mixed = denoise(data, simulated, 0.0, all_of(data))
    np.testing.assert_array_equal(mixed, data.states)  # observations are exact: the second gene follows them
