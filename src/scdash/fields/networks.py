"""Stacked multilayer networks with ELU, shared by the fields that are plain networks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import elu

from scdash.fields.vector_field import Layer, Params, RegulatoryPath, VectorField, Velocity


@dataclass(frozen=True)
class NetworkField(VectorField):
    """Sizes and options of a field that is a network; see `Mlp`."""

    n_genes: int
    hidden: tuple[int, ...] = (100, 100)
    skip: Literal["none", "inner", "outer"] = "none"
    per_target: bool = False

    def check(self) -> None:
        """Raise where sizes are not positive, or do not go with one network for every target."""
        if self.n_genes < 1 or not self.hidden or min(self.hidden) < 1:
            raise ValueError(
                f"n_genes and every size in hidden must be positive, found {self.n_genes} and {self.hidden}."
            )
        if self.per_target and len(self.hidden) != 1:
            raise ValueError(
                f"per_target networks have one hidden layer, found hidden={self.hidden}; pass e.g. hidden=(10,)."
            )

    @property
    def depth(self) -> int:
        """Number of layers of weights."""
        return len(self.hidden) + 1


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """Return U(-bound, bound) in double precision."""
    return (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1) * bound


def init_network(
    n_models: int, sizes: tuple[int, ...], generator: torch.Generator, *, weight: str = "W", bias: str = "b"
) -> Params:
    """Draw weights `W1`, `b1`, ... of a network with layer sizes `sizes`, U(+-1/sqrt(inputs)) as torch's layers do."""
    params = {}
    for number, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True), start=1):
        bound = 1 / math.sqrt(inputs)
        params[f"{weight}{number}"] = uniform((n_models, outputs, inputs), bound, generator)
        params[f"{bias}{number}"] = uniform((n_models, outputs), bound, generator)
    return params


def init_per_target(n_models: int, targets: int, hidden: int, inputs: int, generator: torch.Generator) -> Params:
    """Draw one network inputs - hidden - 1 a target: `W1` (models, targets, hidden, inputs), `W2` (models, targets, hidden)."""
    first, second = 1 / math.sqrt(inputs), 1 / math.sqrt(hidden)
    return {
        "W1": uniform((n_models, targets, hidden, inputs), first, generator),
        "b1": uniform((n_models, targets, hidden), first, generator),
        "W2": uniform((n_models, targets, hidden), second, generator),
        "b2": uniform((n_models, targets), second, generator),
    }


def bind_network(params: Mapping[str, Tensor], depth: int, *, weight: str = "W", bias: str = "b") -> Velocity:
    """Return x (models, batch, inputs) -> network output, ELU after every layer but the last."""
    weights = [params[f"{weight}{number}"].mT for number in range(1, depth + 1)]
    biases = [params[f"{bias}{number}"][:, None] for number in range(1, depth + 1)]

    def network(x: Tensor) -> Tensor:
        for matrix, offset in zip(weights[:-1], biases[:-1], strict=True):
            x = elu(torch.baddbmm(offset, x, matrix))
        return torch.baddbmm(biases[-1], x, weights[-1])

    return network


def bind_per_target(params: Mapping[str, Tensor]) -> Velocity:
    """Return x (models, batch, inputs) -> outputs (models, batch, targets) of all targets' networks at once."""
    models, targets, hidden, inputs = params["W1"].shape
    first = params["W1"].reshape(models, targets * hidden, inputs).mT
    offset = params["b1"].reshape(models, 1, targets * hidden)
    second, last = params["W2"][:, None], params["b2"][:, None]

    def networks(x: Tensor) -> Tensor:
        units = elu(torch.baddbmm(offset, x, first)).reshape(models, -1, targets, hidden)
        return (units * second).sum(-1) + last

    return networks


def network_layer(name: str) -> Layer:
    """Return a dense layer, ranked by absolute weights."""
    return Layer(name, lambda p: p[name].abs(), lambda p: p[name])


def network_path(
    depth: int, skip: str, *, per_target: bool, inputs: tuple[tuple[int, ...], ...] | None = None
) -> RegulatoryPath:
    """Return the path of such a network: its layers, or one group of first-layer weights an edge if `per_target`."""
    layers: tuple[Layer, ...]
    if per_target:
        norm: Any = lambda p: torch.linalg.vector_norm(p["W1"], dim=2)
        layers = (Layer("W1", norm, norm, group_axis=2),)
    else:
        layers = tuple(network_layer(f"W{number}") for number in range(1, depth + 1))
    return RegulatoryPath("network", layers, inputs=inputs, skip=None if skip == "none" else network_layer("S"))
