"""The package's own Runge-Kutta steps give the states and the gradients of torchdiffeq, for every field with hidden units."""

import pytest
import torch
from torchdiffeq import odeint

from scdash.fields import Phoenix, field_class
from scdash.solve import integrate

GENES, BATCH = 6, 4
TIGHT = {"method": "dopri5", "rtol": 1e-10, "atol": 1e-12}
FIELDS = {
    "modules": Phoenix(GENES, encoder="modules", n_hidden=3),
    "genes": Phoenix(GENES, encoder="genes"),
    "mlp": field_class("mlp")(GENES, hidden=(5, 5)),
}


def drawn(field, dtype):
    generator = torch.Generator().manual_seed(0)
    params = {
        name: (p + 0.2 * torch.randn(p.shape, generator=generator, dtype=dtype)).requires_grad_()
        for name, p in field.init(1, generator, dtype).items()
    }
    x = torch.rand(1, BATCH, GENES, generator=generator, dtype=dtype).requires_grad_()
    return params, x, torch.tensor([0.0, 0.5, 1.5], dtype=dtype)


def with_gradients(path, params, x):
    weight = torch.linspace(-1, 1, path.numel()).to(path.dtype).reshape(path.shape)
    loss = (path.square() * weight).sum()
    return path.detach(), torch.autograd.grad(loss, [x, *params.values()], allow_unused=True)


def torchdiffeq_path(field, params, x, times):
    """States after the start, by torchdiffeq alone."""
    velocity = field.bind(params)
    return odeint(lambda _, state: velocity(state), field.lift(params, x), times, **TIGHT)[1:]


@pytest.mark.parametrize("name", FIELDS)
def test_rk4_converges_to_the_states_and_gradients_of_torchdiffeq(name):
    field = FIELDS[name]
    params, x, times = drawn(field, torch.float64)
    states, gradients = with_gradients(torchdiffeq_path(field, params, x, times), params, x)
    start = field.lift(params, x)
    found, ours = with_gradients(integrate(field.bind(params), start, times, steps=64)[1:], params, x)
    torch.testing.assert_close(found, states, rtol=0, atol=1e-8)
    for one, other in zip(ours, gradients, strict=True):
        assert (one is None) is (other is None)
        if one is not None:
            # the activations have kinks in their derivatives, which steps of either solver go over
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
