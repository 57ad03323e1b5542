"""The written-out gradients against autograd, and the losses against torch's own."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from scdash.paired.layers import (
    Dense,
    add_group_lasso,
    backward,
    cross_entropy,
    flatten,
    forward,
    glorot,
    group_norms,
    mean_squares,
)


def streams(number: int, seed: int = 0) -> list[np.random.Generator]:
    return np.random.default_rng(seed).spawn(number)


@pytest.fixture
def layers() -> list[Dense]:
    return glorot((7, 5, 4, 3), streams(2))


def reference_outputs(layers: list[Dense], x: torch.Tensor) -> torch.Tensor:
    """Return the network written out: matrix product, bias, ELU on all but the last layer."""
    for k, layer in enumerate(layers):
        x = torch.einsum("rbi,rio->rbo", x, layer.weight) + layer.bias
        x = torch.where(x > 0, x, torch.exp(x) - 1) if k < len(layers) - 1 else x
    return x


def test_forward_is_the_network_written_out(layers: list[Dense]) -> None:
    x = torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(forward(layers, x)[-1], reference_outputs(layers, x))


@pytest.mark.parametrize("masked", [False, True])
def test_gradient_equals_autograd(layers: list[Dense], masked: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 6, 7, generator=generator), torch.randn(2, 6, 3, generator=generator)
    weight = (torch.rand(2, 6, 3, generator=generator) > 0.3).float() if masked else None
    leaves = [part.clone().requires_grad_() for layer in layers for part in layer.parameters]
    copies = [Dense(leaves[2 * k], leaves[2 * k + 1], layer.elu) for k, layer in enumerate(layers)]
    residual = (reference_outputs(copies, x) - y).square()
    each = residual.mean((1, 2)) if weight is None else (residual * weight).sum((1, 2)) / weight.sum((1, 2))
    each.sum().backward()

    _, _, gradients = flatten(layers)
    with torch.no_grad():
        outputs = forward(layers, x)
        loss, delta = mean_squares(outputs[-1], y, weight)
        backward(layers, x, outputs, delta, gradients)
    torch.testing.assert_close(loss, each.detach())
    for ours, leaf in zip([part for pair in gradients for part in pair], leaves, strict=True):
        torch.testing.assert_close(ours, leaf.grad)


def test_models_of_a_stack_do_not_mix(layers: list[Dense]) -> None:
    """A model's gradient does not change when another model's data do."""
    x, y = torch.randn(2, 6, 7), torch.randn(2, 6, 3)

    def gradient_of_first(other: torch.Tensor) -> torch.Tensor:
        changed = torch.stack([x[0], other])
        _, slope, gradients = flatten([layer.clone() for layer in layers])
        copies = [layer.clone() for layer in layers]
        outputs = forward(copies, changed)
        backward(copies, changed, outputs, mean_squares(outputs[-1], y, None)[1], gradients)
        return gradients[0][0][0].clone()

    torch.testing.assert_close(gradient_of_first(x[1]), gradient_of_first(torch.randn(6, 7)), rtol=0, atol=0)


@pytest.mark.parametrize("masked", [False, True])
def test_cross_entropy_is_torchs(masked: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    output = torch.randn(3, 5, 4, generator=generator, requires_grad=True)
    labels = torch.randint(0, 4, (3, 5), generator=generator)
    keep = (
        torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]).bool() if masked else torch.ones(3, 5).bool()
    )
    expected = torch.stack([functional.cross_entropy(output[r][keep[r]], labels[r][keep[r]]) for r in range(3)])
    expected.sum().backward()
    weight = keep[..., None].float() if masked else None
    loss, delta = cross_entropy(output.detach(), labels, weight)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(delta, output.grad)


def test_group_lasso_gradient_is_autograds_and_finite_at_zero(layers: list[Dense]) -> None:
    weight = layers[0].weight.clone()
    leaf = weight.clone().requires_grad_()
    (0.1 * leaf.square().sum(2).sqrt().sum()).backward()
    gradient = torch.zeros_like(weight)
    add_group_lasso(gradient, weight, 0.1)
    torch.testing.assert_close(gradient, leaf.grad)
    weight[0, 3] = 0
    gradient.zero_()
    add_group_lasso(gradient, weight, 0.1)
    assert torch.isfinite(gradient).all()
    assert (gradient[0, 3] == 0).all()
    torch.testing.assert_close(group_norms(weight)[0, 3], torch.tensor(0.0))


def test_flatten_moves_the_weights_into_one_buffer(layers: list[Dense]) -> None:
    before = [part.clone() for layer in layers for part in layer.parameters]
    flat, slope, gradients = flatten(layers)
    assert flat.numel() == slope.numel() == sum(part.numel() for part in before)
    flat.mul_(2)
    for part, old in zip([p for layer in layers for p in layer.parameters], before, strict=True):
        torch.testing.assert_close(part, 2 * old)
    gradients[1][0].fill_(3)
    assert int((slope == 3).sum()) == layers[1].weight.numel()


def test_glorot_bounds_and_streams() -> None:
    both, alone = glorot((40, 30), streams(2)), glorot((40, 30), streams(2)[1:])
    torch.testing.assert_close(both[0].weight[1:], alone[0].weight, rtol=0, atol=0)
    bound = np.sqrt(6 / 70)
    assert float(both[0].weight.abs().max()) <= bound
    assert float(both[0].weight.abs().max()) > 0.98 * bound
    assert not both[0].bias.any()
    assert [layer.elu for layer in glorot((4, 3, 2), streams(1))] == [True, False]
    assert [layer.elu for layer in glorot((4, 3, 2), streams(1), last_elu=True)] == [True, True]


def test_keep_inputs_takes_each_models_own_genes(layers: list[Dense]) -> None:
    genes = torch.tensor([[4, 0], [2, 6]])
    kept = layers[0].keep_inputs(genes)
    torch.testing.assert_close(kept.weight[0], layers[0].weight[0, [4, 0]])
    torch.testing.assert_close(kept.weight[1], layers[0].weight[1, [2, 6]])
