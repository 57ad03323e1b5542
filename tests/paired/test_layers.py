"""Layers and losses against the formulas written out and torch's own."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from scdash.paired.layers import (
    Dense,
    add_group_lasso,
    cross_entropy,
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
    torch.testing.assert_close(forward(layers, x), reference_outputs(layers, x))


@pytest.mark.parametrize("masked", [False, True])
def test_squares_are_means_over_what_counts(masked: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    output, y = torch.randn(2, 6, 3, generator=generator), torch.randn(2, 6, 3, generator=generator)
    weight = (torch.rand(2, 6, 3, generator=generator) > 0.3).float() if masked else None
    square = (output - y).square()
    expected = square.mean((1, 2)) if weight is None else (square * weight).sum((1, 2)) / weight.sum((1, 2))
    torch.testing.assert_close(mean_squares(output, y, weight), expected)
    cells = torch.tensor([[1.0, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])[..., None]
    expected = torch.stack([square[0, :2].mean(), square[1].mean()])
    torch.testing.assert_close(mean_squares(output, y, cells), expected)


def test_models_of_a_stack_do_not_mix(layers: list[Dense]) -> None:
    """A model's gradient does not change when another model's data do, and the layers keep their memory."""
    x, y = torch.randn(2, 6, 7), torch.randn(2, 6, 3)

    def gradient_of_first(other: torch.Tensor) -> torch.Tensor:
        copies = [layer.differentiable() for layer in layers]
        assert all(
            copy.weight.data_ptr() == layer.weight.data_ptr() for copy, layer in zip(copies, layers, strict=True)
        )
        mean_squares(forward(copies, torch.stack([x[0], other])), y, None).sum().backward()
        assert copies[0].weight.grad is not None
        return copies[0].weight.grad[0]

    torch.testing.assert_close(gradient_of_first(x[1]), gradient_of_first(torch.randn(6, 7)), rtol=0, atol=0)
    assert not any(part.requires_grad for layer in layers for part in layer.parameters)


@pytest.mark.parametrize("masked", [False, True])
def test_cross_entropy_is_torchs(masked: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    output = torch.randn(3, 5, 4, generator=generator)
    labels = torch.randint(0, 4, (3, 5), generator=generator)
    keep = (
        torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]).bool() if masked else torch.ones(3, 5).bool()
    )
    expected = torch.stack([functional.cross_entropy(output[r][keep[r]], labels[r][keep[r]]) for r in range(3)])
    weight = keep[..., None].float() if masked else None
    torch.testing.assert_close(cross_entropy(output, labels, weight), expected)


def test_group_lasso_gradient_is_autograds_and_finite_at_zero(layers: list[Dense]) -> None:
    leaf = layers[0].weight.clone().requires_grad_()
    (0.1 * leaf.square().sum(2).sqrt().sum()).backward()
    weight = layers[0].differentiable().weight
    weight.grad = torch.ones_like(weight)
    add_group_lasso(weight, 0.1)
    torch.testing.assert_close(weight.grad, 1 + leaf.grad)
    layers[0].weight[0, 3] = 0
    weight.grad = torch.zeros_like(weight)
    add_group_lasso(weight, 0.1)
    assert torch.isfinite(weight.grad).all()
    assert (weight.grad[0, 3] == 0).all()
    torch.testing.assert_close(group_norms(layers[0].weight)[0, 3], torch.tensor(0.0))


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
