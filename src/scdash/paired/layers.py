"""Dense layers of stacked networks, and the losses they are trained on; autograd differentiates them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass
class Dense:
    """y = x W + b, then ELU if `elu`; W (models, inputs, outputs), b (models, 1, outputs)."""

    weight: Tensor
    bias: Tensor
    elu: bool = False

    @property
    def parameters(self) -> tuple[Tensor, Tensor]:
        """Weight and bias."""
        return self.weight, self.bias

    def differentiable(self) -> "Dense":
        """Return the layer on the same memory, with weights that collect gradients."""
        return Dense(self.weight.detach().requires_grad_(), self.bias.detach().requires_grad_(), self.elu)

    def clone(self) -> "Dense":
        """Return a layer with its own copy of the weights."""
        return Dense(self.weight.clone(), self.bias.clone(), self.elu)

    def take(self, other: "Dense", models: Iterable[int]) -> None:
        """Copy the weights of some models; one by one, because assigning to an index list took as long as a step."""
        for mine, theirs in zip(self.parameters, other.parameters, strict=True):
            for r in models:
                mine[r].copy_(theirs[r])

    def to(self, device: torch.device) -> "Dense":
        """Return the layer on a device."""
        return Dense(self.weight.to(device), self.bias.to(device), self.elu)

    def keep_inputs(self, genes: Tensor) -> "Dense":
        """Return the layer of some inputs only; genes (models, kept)."""
        index = genes[..., None].expand(-1, -1, self.weight.shape[2])
        return Dense(self.weight.gather(1, index).contiguous(), self.bias.clone(), self.elu)


def glorot(sizes: Sequence[int], streams: Sequence[np.random.Generator], *, last_elu: bool = False) -> list[Dense]:
    """Draw layers: weights uniform on +-sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010), biases zero.

    Each model draws from its own stream, so that a stack holds the same networks as models made one by one.
    """
    layers = []
    for k, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        bound = np.sqrt(6 / (inputs + outputs))
        draws = [stream.uniform(-bound, bound, size=(inputs, outputs)).astype(np.float32) for stream in streams]
        elu = last_elu or k < len(sizes) - 2
        layers.append(Dense(torch.from_numpy(np.stack(draws)), torch.zeros(len(draws), 1, outputs), elu))
    return layers


def forward(layers: Sequence[Dense], x: Tensor) -> Tensor:
    """Return the output of the last layer for x (models, cells, inputs)."""
    for layer in layers:
        x = torch.baddbmm(layer.bias, x, layer.weight)
        if layer.elu:
            x = functional.elu(x)
    return x


def group_norms(weight: Tensor) -> Tensor:
    """Return ||W_i|| of every input, (models, inputs)."""
    norms: Tensor = torch.linalg.vector_norm(weight, dim=2)
    return norms


def add_group_lasso(weight: Tensor, strength: float) -> None:
    """Add the gradient of strength * sum_i ||W_i|| to that of the weights; the norm is clamped, because it has none at zero.

    Added in place: a penalty in the loss would allocate two more arrays of the size of the weights in every step.
    """
    assert weight.grad is not None
    with torch.no_grad():
        weight.grad.addcmul_(weight, (strength / group_norms(weight).clamp_(min=1e-12))[..., None])


def mean_squares(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean squared error of each model; weight (models, cells, features or 1) or None."""
    square = (output - target).square()
    if weight is None:
        return square.mean((1, 2))
    return (square * weight).sum((1, 2)) / weight.expand_as(square).sum((1, 2)).clamp(min=1)


def cross_entropy(output: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean cross-entropy of each model; labels (models, cells), weight (models, cells, 1) or None."""
    each = functional.cross_entropy(output.mT, labels, reduction="none")
    if weight is None:
        return each.mean(1)
    return (each * weight[..., 0]).sum(1) / weight.sum((1, 2)).clamp(min=1)
