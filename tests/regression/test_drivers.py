"""The production of an interval is exactly linear in the drivers where the regulators' path is known."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from scdash.regression.intervals import Trajectories, Transitions
from scdash.regression.production import productions, softsign, within


def mean_phi(data, steps, rate, kind="exponential"):
    return sum(softsign(x) * w[:, None] for x, w in within(data, data.states, steps, rate, kind))


@pytest.mark.parametrize("lag", [1, 2])
def test_production_is_linear_in_the_driver(system, lag):
    """A regulator that relaxes at the same rate follows the path assumed between observations."""
    rate, bias, effect, level = 0.8, 0.3, 0.9, 0.7

    def velocity(t, x):
        return [rate * (level - x[0]), rate * (bias + effect * softsign(x[0]) - x[1])]

    times = np.array([0.0, 0.7, 1.5, 3.0])
    start = np.random.default_rng(0).random((6, 2))
    states = np.stack([solve_ivp(velocity, (0, 3), x, t_eval=times, rtol=1e-10, atol=1e-12).y.T for x in start])
    data = Trajectories.from_series(system.series_of(states, times), ("train",))
    steps = Transitions.of(data, lag)
    produced, _ = productions(data, steps, rate)
    expected = bias + effect * mean_phi(data, steps, rate)[:, 0]
    # softsign has a kink in its second derivative at 1/2, which Gauss's rule sees
    np.testing.assert_allclose(produced[:, 1], expected, atol=2e-5)
    np.testing.assert_allclose(produced[:, 0], level, atol=1e-9)


@pytest.mark.parametrize("kind", ["exponential", "trapezoid"])
@pytest.mark.parametrize("lag", [1, 3])
def test_weights_sum_to_one_so_that_a_constant_is_kept(system, kind, lag):
    rng = np.random.default_rng(1)
    data = Trajectories.from_series(system.series_of(rng.random((5, 6, 2)), [0, 1, 3, 4, 7, 8]), ("train",))
    steps = Transitions.of(data, lag)
    weights = sum(w for _, w in within(data, data.states, steps, 0.6, kind))
    np.testing.assert_allclose(weights, 1, atol=1e-12)


def test_trapezoid_is_the_trapezoid_rule(system):
    states = np.array([0.1, 0.9, 0.4]).reshape(1, 3, 1)
    data = Trajectories.from_series(system.series_of(states, [0, 1, 4]), ("train",))
    found = mean_phi(data, Transitions.of(data, 2), 0.5, "trapezoid")
    assert found.item() == pytest.approx(np.trapezoid(softsign(states[0, :, 0]), [0, 1, 4]) / 4)


def test_precision_is_the_inverse_variance_of_the_production(system):
    """Of noise alone, the weighted variance is the noise's own, whatever the interval."""
    rng = np.random.default_rng(2)
    states = 0.5 + rng.normal(0, 0.1, (4000, 2, 1))
    for interval in (0.2, 1.0, 4.0):
        data = Trajectories.from_series(system.series_of(states, [0, interval]), ("train",))
        produced, precision = productions(data, Transitions.of(data), 0.7)
        assert (precision * (produced[:, 0] - 0.5) ** 2).mean() == pytest.approx(0.01, rel=0.09)  # four SE


def test_slope_scales_the_activation():
    x = np.linspace(-1, 2, 31)
    np.testing.assert_allclose(softsign(x, 0.0), x - 0.5)
    np.testing.assert_allclose(0.3 * softsign(x, 0.3), softsign(0.5 + 0.3 * (x - 0.5)))
