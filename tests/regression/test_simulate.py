"""The exponential integrator against closed forms and scipy, and the change of units."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.integrate import solve_ivp

from scdash.regression import TransitionFit, TransitionSettings, simulate
from scdash.regression.linear_field import Field, integrate

from .errors import next_step_error, rollout_error


def fit_of(field):
    n = len(field.bias)
    empty = sp.csr_array((n, n))
    return TransitionFit(
        effects=field.effects,
        bias=field.bias,
        rates=field.rates,
        constant=field.rates == 0,
        products=field.pairs,
        product_effects=field.product_effects,
        contribution=empty,
        frequency=empty,
        stability=empty,
        noise_variance=0.01,
        slope=field.slope,
        settings=TransitionSettings(),
        prior_weight=1.0,
        lambdas=np.zeros(n),
        table=pd.DataFrame(),
    )


def test_without_regulators_it_is_exact_at_any_step():
    field = Field(sp.csr_array((3, 3)), np.array([0.2, 0.5, 0.9]), np.array([0.0, 1.0, 5.0]))
    start = np.random.default_rng(0).random((4, 3))
    found = integrate(field, start, np.array([0.0, 0.5, 10.0]), largest=100.0)
    for k, t in enumerate((0.0, 0.5, 10.0)):
        np.testing.assert_allclose(
            found[:, k], field.bias + (start - field.bias) * np.exp(-field.rates * t), atol=1e-12
        )


def test_it_is_of_second_order_and_agrees_with_scipy(system):
    field = dataclasses.replace(system.network(8, 2, products=True), slope=0.3)
    start = np.random.default_rng(0).random((1, 8))
    exact = solve_ivp(
        lambda t, x: field.velocity(x[None])[0], (0, 3), start[0], rtol=1e-10, atol=1e-12, max_step=0.05
    ).y[:, -1]
    errors = [
        np.abs(integrate(field, start, np.array([0.0, 3.0]), largest=h)[0, -1] - exact).max() for h in (0.2, 0.05)
    ]
    assert errors[0] < 1e-2
    assert np.log(errors[0] / errors[1]) / np.log(4) == pytest.approx(2, abs=0.3)


def test_every_trajectory_may_have_its_own_times(system):
    field, start = system.network(), np.random.default_rng(0).random((2, 20))
    times = np.array([[0.0, 1.0, 2.0], [0.0, 0.5, 2.0]])
    together = integrate(field, start, times, largest=0.01)
    for k in range(2):
        np.testing.assert_allclose(together[k], integrate(field, start[[k]], times[k], largest=0.01)[0], atol=1e-5)


@pytest.mark.parametrize("slope", [0.3, 2.0])
def test_another_slope_is_phoenix_in_other_units(system, slope):
    field = dataclasses.replace(system.network(products=True), slope=slope)
    fit = fit_of(field)
    plain = fit.in_units_of_slope_one()
    start, times = np.random.default_rng(0).random((3, 20)), np.array([0.0, 1.0, 3.0])
    inside = simulate(plain, 0.5 + slope * (start - 0.5), times)
    assert plain.slope == 1
    np.testing.assert_allclose(0.5 + (inside - 0.5) / slope, simulate(fit, start, times), atol=1e-10)


def test_errors_are_of_next_steps_and_of_whole_windows(system):
    series = system.observe(system.network(), 4, noise=0.0)
    fit = fit_of(system.network())
    assert next_step_error(fit, series) < 1e-5
    assert rollout_error(fit, series, "train") < 1e-5
    still = dataclasses.replace(fit, rates=np.zeros(20))
    x = series.states.reshape(4, 4, 20)
    assert next_step_error(still, series) == pytest.approx((np.diff(x, axis=1) ** 2).mean())
    assert rollout_error(still, series) == pytest.approx(((x[:, 1:] - x[:, :1]) ** 2).mean())
    assert np.isnan(next_step_error(fit, series, "test"))
    assert np.isnan(rollout_error(fit, series, "test"))


def test_start_states_of_another_number_of_genes_are_refused(system):
    with pytest.raises(ValueError, match="x0 has 3 genes"):
        simulate(fit_of(system.network()), np.zeros(3), np.array([0.0, 1.0]))
