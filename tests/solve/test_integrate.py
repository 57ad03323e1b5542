"""The solvers against closed forms, the published trajectories, and the order of convergence they must have."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from scdash._core.errors import NonFiniteError
from scdash.fields import Phoenix
from scdash.solve import integrate, require_finite, step_error

NAMES = ("W_sums", "W_prods", "b_sums", "b_prods", "U_sums", "U_prods", "v")


@pytest.fixture
def golden(golden_numbers: Callable[[str], dict[str, np.ndarray]]) -> dict[str, Tensor]:
    return {key: torch.as_tensor(value) for key, value in golden_numbers("phoenix_forward").items()}


def _linear(seed: int = 0, size: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(2, size, size, generator=generator, dtype=torch.float64) / 2
    return matrix, torch.randn(2, 3, size, generator=generator, dtype=torch.float64)


def test_phoenix_without_regulators_decays_exponentially() -> None:
    field = Phoenix(3, encoder="modules", n_hidden=2)
    params = field.init(1, torch.Generator().manual_seed(0), torch.float64)
    params |= {"U_sums": params["U_sums"] * 0, "U_prods": params["U_prods"] * 0}
    params["v"] = torch.tensor([[0.3, -1.0, 1.2]], dtype=torch.float64)  # a negative rate stands still
    x0 = torch.rand(1, 4, 3, dtype=torch.float64)
    times = torch.tensor([0.0, 0.5, 2.0, 3.0], dtype=torch.float64)
    exact = x0 * torch.exp(-params["v"].relu() * times[:, None, None, None])
    torch.testing.assert_close(integrate(field.bind(params), x0, times, steps=40), exact, atol=1e-7, rtol=0)
    tight = integrate(field.bind(params), x0, times, solver="dopri5", rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(tight, exact, atol=1e-8, rtol=0)


@pytest.mark.parametrize(("takes_time", "order"), [(False, 4), (True, 4)])
def test_rk4_converges_with_order_four_to_the_matrix_exponential(takes_time: bool, order: int) -> None:
    matrix, x0 = _linear()
    exact = x0 @ torch.matrix_exp(2 * matrix).mT
    velocity = (lambda t, x: x @ matrix.mT) if takes_time else (lambda x: x @ matrix.mT)
    steps = [4, 8, 16, 32]
    errors = [
        float((integrate(velocity, x0, torch.tensor([0.0, 2.0]), steps=s, takes_time=takes_time)[-1] - exact).norm())
        for s in steps
    ]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(-order, abs=0.25)


def test_time_dependent_rk4_has_order_four() -> None:
    # dx/dt = cos(3 t) x has x = x0 exp(sin(3 t) / 3); examples begin at different times
    x0 = torch.ones(1, 2, 1, dtype=torch.float64)
    times = torch.tensor([[0.0, 1.0], [0.5, 2.0]], dtype=torch.float64)
    integral = (torch.sin(3 * times[:, 1]) - torch.sin(3 * times[:, 0])) / 3
    errors = []
    for steps in (32, 64, 128):
        found = integrate(lambda t, x: torch.cos(3 * t) * x, x0, times, steps=steps, takes_time=True)[-1, 0, :, 0]
        errors.append(float((found - integral.exp()).norm()))
    assert np.polyfit(np.log([32, 64, 128]), np.log(errors), 1)[0] == pytest.approx(-4, abs=0.3)


@pytest.mark.parametrize(("solver", "tolerance"), [("rk4", 1e-5), ("dopri5", 1e-5), ("euler", 0.1)])
def test_every_example_follows_its_own_times(solver: str, tolerance: float) -> None:
    matrix, x0 = _linear(1)
    times = torch.tensor([[0.0, 1.0, 1.5], [3.0, 3.1, 5.0], [-1.0, -1.0, 0.0]], dtype=torch.float64)
    options = {"solver": solver, "steps": 200 if solver == "euler" else 20, "rtol": 1e-8, "atol": 1e-9}
    path = integrate(lambda x: x @ matrix.mT, x0, times, **options)  # type: ignore[arg-type]
    assert path.shape == (3, 2, 3, 4)
    for example in range(3):
        for k in range(3):
            exact = x0[:, example : example + 1] @ torch.matrix_exp((times[example, k] - times[example, 0]) * matrix).mT
            torch.testing.assert_close(path[k, :, example : example + 1], exact, atol=tolerance, rtol=tolerance)
    per_model = integrate(lambda x: x @ matrix.mT, x0, times.expand(2, -1, -1), **options)  # type: ignore[arg-type]
    torch.testing.assert_close(per_model, path)


@pytest.mark.parametrize("times", [torch.tensor([0.0, 0.7, 1.0]), torch.tensor([[0.0, 0.7, 1.0], [0.0, 0.1, 2.0]])])
def test_adjoint_and_direct_gradients_agree(times: Tensor) -> None:
    field = Phoenix(4, encoder="modules", n_hidden=3)
    params = {k: p.requires_grad_() for k, p in field.init(2, torch.Generator().manual_seed(0), torch.float64).items()}
    x0 = torch.rand(2, 2, 4, dtype=torch.float64)
    gradients = []
    for adjoint in (False, True):
        path = integrate(
            field.bind(params), x0, times.double(), solver="dopri5", rtol=1e-9, atol=1e-11, adjoint=adjoint,
            parameters=params.values(),
        )  # fmt: skip
        gradients.append(torch.autograd.grad(path.square().mean(), list(params.values())))
    assert max(float(g.abs().max()) for g in gradients[0]) > 1e-3
    for direct, adjoint_ in zip(*gradients, strict=True):
        torch.testing.assert_close(direct, adjoint_, atol=1e-7, rtol=1e-6)


def test_trajectories_and_gradients_of_the_released_code(golden: dict[str, Tensor]) -> None:
    field = Phoenix(5, encoder="modules", n_hidden=3)
    params = {name: golden[name][None].clone().requires_grad_() for name in NAMES}
    tight = {"solver": "dopri5", "rtol": 1e-9, "atol": 1e-11}
    path = integrate(field.bind(params), golden["g"][None], golden["ode_times"], **tight)  # type: ignore[arg-type]
    torch.testing.assert_close(path[:, 0], golden["ode_from_t0"], atol=1e-5, rtol=1e-6)
    # the pairs: all intervals in one batched solve, each with its own length
    intervals = torch.stack([golden["ode_times"][:-1], golden["ode_times"][1:]], 1).repeat_interleave(6, 0)
    starts = golden["g"].repeat(4, 1)[None]
    pairs = integrate(field.bind(params), starts, intervals, **tight)[-1].reshape(4, 6, 5)  # type: ignore[arg-type]
    torch.testing.assert_close(pairs, golden["ode_pairs"], atol=1e-5, rtol=1e-6)
    loss = (
        (integrate(field.bind(params), golden["g"][None], golden["ode_times"][:2], **tight)[-1, 0])
        .sub(  # type: ignore[arg-type]
            golden["loss_target"]
        )
        .square()
        .mean()
    )
    torch.testing.assert_close(loss, golden["loss_t01"], atol=1e-6, rtol=0)
    for name, gradient in zip(NAMES, torch.autograd.grad(loss, list(params.values())), strict=True):
        torch.testing.assert_close(gradient[0], golden[f"grad_{name}"], atol=1e-5, rtol=1e-5)


def test_step_error_shrinks_with_the_step_and_vanishes_at_rest() -> None:
    matrix, x0 = _linear(2)
    coarse, fine = (
        step_error(lambda x: x @ matrix.mT, x0, torch.tensor([0.0, 2.0]), steps=s, rtol=1e-9, atol=1e-11)
        for s in (2, 8)
    )
    assert coarse.relative > 20 * fine.relative > 0 and coarse.largest > fine.largest > 0
    rest = step_error(lambda x: x * 0, x0, torch.tensor([0.0, 2.0]))
    assert rest.largest < 1e-12 and rest.relative == 0


def test_bad_arguments_and_explosions_are_named() -> None:
    x0 = torch.ones(1, 2, 3)
    with pytest.raises(ValueError, match="Did you mean .*'dopri5'"):
        integrate(lambda x: x, x0, torch.tensor([0.0, 1.0]), solver="dopri")
    with pytest.raises(ValueError, match=r"found shape \(3, 2\)"):
        integrate(lambda x: x, x0, torch.zeros(3, 2))
    with pytest.raises(ValueError, match="x0 must be"):
        integrate(lambda x: x, x0[0], torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match="adjoint=True needs `parameters`"):
        integrate(lambda x: x, x0, torch.tensor([0.0, 1.0]), adjoint=True)
    with pytest.raises(NonFiniteError, match="dopri5"):
        integrate(lambda x: x * x * 10, x0, torch.tensor([0.0, 1.0]), solver="dopri5")
    exploded = integrate(lambda x: x * x * 10, x0, torch.tensor([0.0, 1.0]), steps=50)
    with pytest.raises(NonFiniteError, match=r"The state is not finite, first at \(1, 0, 0, 0\).*Raise `steps`"):
        require_finite(exploded, "The state", "Raise `steps`.")
    assert require_finite(x0, "x", "") is x0
