"""The derivatives written out for training against autograd's."""

import pytest
import torch

from scdash.fields import Params, Phoenix, SparsePhoenix, VectorField
from scdash.solve import integrate, rk4_path

FIELDS = [
    Phoenix(6, encoder="modules", n_hidden=3),
    Phoenix(6),
    Phoenix(6, pairs=((0, 1), (3, 2), (4, 4), (0, 1))),
    SparsePhoenix(6, (0, 0, 2, 3, 5), (1, 4, 0, 4, 1)),
]


def _drawn(field: VectorField) -> tuple[Params, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = {
        name: (0.5 * torch.randn(p.shape, generator=generator, dtype=torch.float64)).requires_grad_()
        for name, p in field.init(2, generator, torch.float64).items()
    }
    x = torch.rand(2, 5, 6, generator=generator, dtype=torch.float64).requires_grad_()
    times = torch.rand(2, 5, 3, generator=generator, dtype=torch.float64).cumsum(2)
    return drawn, x, times


@pytest.mark.parametrize("field", FIELDS)
def test_gradients_of_a_solve_equal_those_of_autograd(field: VectorField) -> None:
    params, x, times = _drawn(field)
    assert bool((params["v"] < 0).any())  # genes that stand still
    assert bool((params["v"] > 0).any())
    found = []
    for path in (
        integrate(field.bind(params), x, times, steps=3)[1:],
        rk4_path(field.evaluator(params), params, x, times, 3),
    ):
        weight = torch.linspace(-1, 1, path.numel(), dtype=torch.float64).reshape(path.shape)
        found.append((path, torch.autograd.grad((path * weight).sum(), [x, *params.values()])))
    (slow, expected), (fast, gradients) = found
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=1e-12)
    for name, a, b in zip(["x", *params], gradients, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-10, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("field", FIELDS)
def test_weights_used_elsewhere_too_get_the_sum(field: VectorField) -> None:
    params, x, _ = _drawn(field)
    penalty = lambda: sum(p.square().sum() for p in params.values())
    times = torch.tensor([0.0, 0.5], dtype=torch.float64)
    loss = lambda: rk4_path(field.evaluator(params), params, x, times, 1).sum()
    both = torch.autograd.grad(loss() + penalty(), list(params.values()))
    single = torch.autograd.grad(loss(), list(params.values()))
    for p, a, b in zip(params.values(), both, single, strict=True):
        torch.testing.assert_close(a, b + 2 * p)
