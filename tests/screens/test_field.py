"""The PerturbODE field, its integrator and its training: closed forms, order, fixed points."""

import numpy as np
import pandas as pd
import pytest
import torch

from scdash._data.screen import parse_screen
from scdash.fields.perturbode import PerturbODE
from scdash.screens.transport.fit import fit_transport
from scdash.solve.exponential import exponential_euler
from scdash.training.interventions import Strengths, interventions, start_knockdowns, start_strengths
from scdash.training.transport_config import TransportConfig


def params_of(modules, seed=0, n=5, dtype=torch.float64):
    field = PerturbODE(n, modules)
    return field, field.init(2, torch.Generator().manual_seed(seed), dtype)


@pytest.mark.parametrize("modules", [0, 3])
def test_velocity_is_the_published_equation(modules):
    field, p = params_of(modules)
    x = torch.rand(2, 7, 5, dtype=torch.float64)
    alpha, w = torch.nn.functional.softplus(p["raw_alpha"]), torch.nn.functional.softplus(p["raw_w"]) + 1e-4
    for model in range(2):
        b = p["B"][model] if modules else torch.eye(5, dtype=torch.float64)
        for cell in range(7):
            y = x[model, cell]
            signal = torch.sigmoid(alpha[model] * (b @ y - p["raw_beta"][model]))
            expected = p["A"][model] @ signal + p["bias"][model] - w[model] * y
            torch.testing.assert_close(field.velocity(p, x)[model, cell], expected)


@pytest.mark.parametrize("modules", [0, 3])
def test_control_is_a_fixed_point_after_centring(modules):
    field, p = params_of(modules)
    control = torch.rand(5, dtype=torch.float64) + 0.5
    centred = field.centred(p, control)
    rest = field.velocity(centred, control.expand(2, 1, 5))
    torch.testing.assert_close(rest, torch.zeros_like(rest), atol=1e-10, rtol=0)


@pytest.mark.parametrize("modules", [0, 3])
def test_sensitivity_and_network_are_derivatives(modules):
    field, p = params_of(modules)
    x = torch.rand(5, dtype=torch.float64)
    production = lambda y: field.production(p)(y.expand(2, 1, 5))[0, 0]
    jacobian = torch.autograd.functional.jacobian(production, x) / field.rates(p)[0][:, None]
    torch.testing.assert_close(field.sensitivity(p, x)[0], jacobian)
    product = torch.eye(5, dtype=torch.float64)
    for layer in field.paths()[0].layers:
        product = layer.effect(p)[0] @ product
    torch.testing.assert_close(field.network(p)[0], product)


def test_interventions_mask_and_shift():
    field, p = params_of(3)
    mask, shift = (
        torch.tensor([0.0, 1, 1, 1, 1], dtype=torch.float64),
        torch.tensor([2.0, 0, 1, 0, 0], dtype=torch.float64),
    )
    x = torch.rand(2, 4, 5, dtype=torch.float64)
    under, free = field.velocity_under(p, mask, shift)(x), field.velocity(p, x)
    w = field.rates(p)[:, None]
    torch.testing.assert_close(under[..., 0], 2 - w[..., 0] * x[..., 0])  # perfect: steady state s / w
    torch.testing.assert_close(under[..., 2], free[..., 2] + 1)
    torch.testing.assert_close(under[..., 3], free[..., 3])
    screen = parse_screen(
        ["control", "a", "b+c", "d"], pd.Index(list("abcde")), kind={"a": "knockout", "b+c": "shift", "d": "knockdown"}
    )
    parts = [torch.as_tensor(part) for part in interventions(screen)]
    strengths = Strengths.from_values(np.arange(1.0, 6), np.full(5, 0.6))
    m, u = strengths.apply(*parts)
    np.testing.assert_allclose(m, [[1] * 5, [0, 1, 1, 1, 1], [1] * 5, [1, 1, 1, 0.4, 1]], atol=1e-6)
    np.testing.assert_allclose(u, [[0] * 5, [0] * 5, [0, 2, 3, 0, 0], [0] * 5], atol=1e-6)


def test_strengths_start_from_the_data():
    screen = parse_screen(["control", "a", "b"], pd.Index(list("abc")))
    means = np.array([[1.0, 2, 4], [3, 2, 4], [1, 6, 4]])
    np.testing.assert_allclose(start_strengths(means, means[0], screen, 0.5), [1.5, 3.0, 6.0])  # c: median ratio 1.5


def test_knockdowns_start_from_the_data():
    screen = parse_screen(["control", "a", "b", "c"], pd.Index(list("abcd")), kind={"a": "knockdown", "b": "knockdown", "c": "knockout"})  # fmt: skip
    means = np.array([[1.0, 2, 4, 1], [0.4, 2, 4, 1], [1, 0.4, 4, 1], [1, 2, 0, 1]])
    rho = start_knockdowns(means, means[0], screen)
    np.testing.assert_allclose(rho, [0.6, 0.8, 0.7, 0.7], atol=1e-6)  # never knocked down: the median


def test_exponential_euler_is_exact_for_constant_production_and_first_order_else():
    rate, x0 = torch.tensor([0.5, 2.0], dtype=torch.float64), torch.ones(1, 1, 2, dtype=torch.float64)
    found = exponential_euler(lambda x: torch.full_like(x, 3.0), rate, x0, duration=1.7, steps=1, shift=1.0)
    torch.testing.assert_close(found[0, 0], 4 / rate + (1 - 4 / rate) * torch.exp(-1.7 * rate))
    logistic = lambda x: torch.sigmoid(3 * x)
    solve = lambda steps: exponential_euler(logistic, rate, x0, duration=2.0, steps=steps)
    exact = solve(20_000)
    errors = [float((solve(n) - exact).abs().max()) for n in (20, 40, 80)]
    slope = np.polyfit(np.log([20, 40, 80]), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)
    with pytest.raises(ValueError, match="steps"):
        solve(0)


@pytest.mark.parametrize(
    "settings", [{"loss": "mean"}, {"loss": "w2"}, {"n_modules": 0, "learn_strength": True}, {"diffuse": 0.2}]
)
def test_training_lowers_the_loss(settings):
    if settings.get("loss") == "w2":
        pytest.importorskip("geomloss")
    rng = np.random.default_rng(0)
    genes = pd.Index([f"g{i}" for i in range(6)])
    labels = ["control"] * 40 + [g for g in genes for _ in range(20)]
    screen = parse_screen(labels, genes)
    x = 1 + 0.2 * rng.random((len(labels), 6)) + 1.5 * screen.targets[screen.cells]
    x[screen.cells == screen.index("g0"), 1] += 1.0
    x[screen.cells == screen.index("g2"), 3] += 1.0
    config = TransportConfig(
        **({"steps": 120, "n_modules": 6, "check_every": 20, "perturbations": 6, "learning_rate": 0.02} | settings)
    )
    fit = fit_transport(x, screen, config, rng=np.random.default_rng(1))
    losses = fit.history["validation_loss"]
    assert losses.iloc[-1] < 0.6 * losses.iloc[0]
    again = fit_transport(x, screen, config, rng=np.random.default_rng(1))
    pd.testing.assert_frame_equal(fit.history, again.history)
    if settings.get("n_modules") == 0:
        assert (torch.diagonal(fit.params["A"][0]) == 0).all()
