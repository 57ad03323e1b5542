"""Dense layers of stacked networks, with the gradient written out.

The chain rule is written out here, the only backward pass besides the roll-out kernel that autograd does not do: with autograd a
training takes 1.35 to 1.4 times as long (one network, and three stacked, of the 1,213 Patch-seq cells), for gradients of the size of
the weights that are allocated and copied in every step. `tests/paired/test_layers.py` compares with autograd.
"""

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


def forward(layers: Sequence[Dense], x: Tensor) -> list[Tensor]:
    """Return the output of every layer for x (models, cells, inputs)."""
    outputs = []
    for layer in layers:
        x = torch.baddbmm(layer.bias, x, layer.weight)
        if layer.elu:
            x = functional.elu_(x)
        outputs.append(x)
    return outputs


def backward(
    layers: Sequence[Dense], x: Tensor, outputs: list[Tensor], delta: Tensor, gradients: Sequence[tuple[Tensor, Tensor]]
) -> None:
    """Write d loss / d (weight, bias) of every layer into `gradients`; delta = d loss / d output."""
    for k in range(len(layers) - 1, -1, -1):
        layer, below = layers[k], outputs[k - 1] if k else x
        if layer.elu:
            # elu'(z) is 1 above zero and exp(z) = elu(z) + 1 below; the result is elu(z)
            delta = torch.ops.aten.elu_backward(delta, 1.0, 1.0, 1.0, is_result=True, self_or_result=outputs[k])
        weight, bias = gradients[k]
        torch.bmm(below.mT, delta, out=weight)
        torch.sum(delta, 1, keepdim=True, out=bias)
        if k:
            delta = torch.bmm(delta, layer.weight.mT)


def flatten(layers: Sequence[Dense]) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
    """Move the weights of some layers into one buffer; return it, one for gradients, and views of that by layer.

    An optimiser then has one tensor to update instead of a dozen: half of the time of a small network's step.
    """
    flat = torch.cat([part.reshape(-1) for layer in layers for part in layer.parameters])
    slope = torch.zeros_like(flat)
    gradients, start = [], 0
    for layer in layers:
        views = []
        for part in layer.parameters:
            stop = start + part.numel()
            views.append((flat[start:stop].view_as(part), slope[start:stop].view_as(part)))
            start = stop
        (layer.weight, weight), (layer.bias, bias) = views
        gradients.append((weight, bias))
    return flat, slope, gradients


def group_norms(weight: Tensor) -> Tensor:
    """Return ||W_i|| of every input, (models, inputs)."""
    norms: Tensor = torch.linalg.vector_norm(weight, dim=2)
    return norms


def add_group_lasso(gradient: Tensor, weight: Tensor, strength: float) -> None:
    """Add the gradient of strength * sum_i ||W_i||; the norm is clamped, because it has no gradient at zero."""
    scale = strength / group_norms(weight).clamp_(min=1e-12)
    gradient.addcmul_(weight, scale[..., None])


def mean_squares(output: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the mean squared error of each model and its gradient; weight (models, cells, features or 1) or None."""
    delta = output - target
    if weight is None:
        entries = delta.shape[1] * delta.shape[2]
        loss = delta.square().sum((1, 2)) / entries
        return loss, delta.mul_(2 / entries)
    weighted = delta * weight
    total = weight.expand_as(delta).sum((1, 2)).clamp_(min=1)
    return (weighted * delta).sum((1, 2)) / total, weighted.mul_((2 / total)[:, None, None])


def cross_entropy(output: Tensor, labels: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy of each model and its gradient; labels (models, cells), weight (..., 1) or None."""
    logs = torch.log_softmax(output, 2)
    chosen = labels[..., None]
    cells = output.shape[1] if weight is None else weight.sum((1, 2)).clamp_(min=1)[:, None, None]
    per_cell = -logs.gather(2, chosen)
    delta = logs.exp_().scatter_add_(2, chosen, torch.full_like(per_cell, -1.0))
    if weight is not None:
        per_cell, delta = per_cell * weight, delta.mul_(weight)
    return (per_cell / cells).sum((1, 2)), delta.div_(cells)
