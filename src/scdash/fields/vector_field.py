"""What a vector field is to the rest of the package.

A field is a value without weights: its weights are a dictionary of tensors whose FIRST axis counts models, so that
lambda grids, folds, seeds and bootstraps train as one stacked model. A sparsity method sees nothing of a field but
its regulatory paths.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, TypeAlias, final

import numpy as np
import torch
from torch import Tensor

from scdash._core.errors import check_least, check_options
from scdash._core.registry import Registry

Params: TypeAlias = dict[str, Tensor]
Velocity: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Layer:
    """One prunable matrix, (models, out, in).

    `importance` is non-negative and is what magnitude pruning normalises and ranks; `effect` is signed and is what
    counts as zero or not and enters the effects matrix D. A parameter may hold whole groups of weights per entry of
    the matrix (the hidden units of one network per target): `group_axis` is then the axis of the parameter that
    they lie along, and an entry is pruned as a group.
    """

    parameter: str
    importance: Callable[[Mapping[str, Tensor]], Tensor]
    effect: Callable[[Mapping[str, Tensor]], Tensor]
    group_axis: int | None = None

    def expand(self, matrix: Tensor) -> Tensor:
        """Turn (models, out, in), e.g. a mask, into a shape that broadcasts against the parameter."""
        return matrix if self.group_axis is None else matrix.unsqueeze(self.group_axis)

    def collapse(self, mask: Tensor) -> Tensor:
        """Undo `expand`."""
        return mask if self.group_axis is None else mask.squeeze(self.group_axis)


@dataclass(frozen=True)
class RegulatoryPath:
    """Layers from regulators (input side, first) to targets (last).

    The product of the effects is part of D where `linear`. `inputs` names the genes behind each input of the first
    layer (None: input j is gene j), e.g. both genes of a pair; `skip` is the direct connection from inputs to targets
    that LassoNet needs. `entries` are the (targets, inputs) of a single layer that lists edges, (models, 1, edges),
    instead of a matrix.
    """

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[tuple[int, ...], ...] | None = None
    linear: bool = True
    skip: Layer | None = None
    entries: tuple[Tensor, Tensor] | None = None
    factorised: bool = False


class VectorField(ABC):
    """dx/dt = f(x) for stacked models; subclasses are final, frozen dataclasses of sizes and options."""

    name: ClassVar[str]
    n_genes: int

    def __init_subclass__(cls) -> None:
        if "__post_init__" in cls.__dict__:
            raise TypeError(
                f"{cls.__name__} defines __post_init__, in which fields check their options: call it `check`."
            )
        if "name" in cls.__dict__:
            DEFINED[cls.name] = cls

    @final
    def __post_init__(self) -> None:
        check_options(self)
        check_least("n_genes", self.n_genes, 0)
        self.check()

    def check(self) -> None:  # noqa: B027
        """Raise where options are out of their range or contradict each other; their types have been checked before.

        `check_least` and `check_choice` of this folder name the argument, what was found and what is allowed.
        """

    @abstractmethod
    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Draw weights, each with leading axis `n_models`, on the CPU."""

    @abstractmethod
    def bind(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return x -> dx/dt with everything that depends on the weights alone computed once, for one ODE solve.

        x and the result are (models, batch, state), in arbitrary units (per unit of time).
        """

    @abstractmethod
    def paths(self) -> tuple[RegulatoryPath, ...]:
        """Return the paths by which regulators act on targets."""

    @final
    def velocity(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return dx/dt in arbitrary units per unit of time; x and the result are (models, batch, state)."""
        return self.bind(params)(x)

    @final
    def config(self) -> dict[str, Any]:
        """Return the JSON-like settings from which `from_config` rebuilds the field."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {name: _plain(value) for name, value in values.items()}

    @final
    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild a field from `config()`."""
        return cls(**config)

    @final
    def of_genes(self, n_genes: int) -> Self:
        """Return this field for `n_genes` genes; one that was made for another number of genes is refused.

        A field that is declared with `n_genes: int = 0` can be made before the data are known, such as `Hill(exponent=3)`.
        """
        if self.n_genes not in (0, n_genes):
            raise ValueError(f"model={self!r} was made for {self.n_genes} genes, and {n_genes} are modelled.")
        made: Self = replace(self, n_genes=n_genes)  # type: ignore[type-var]
        return made

    def structure(self) -> Params:
        """Return, by parameter, boolean masks (broadcastable, leading axis 1) of weights that may differ from zero.

        Absent parameters are free. Gene-wise networks leave out self edges this way.
        """
        return {}

    @final
    def start_masks(self, params: Mapping[str, Tensor]) -> Params:
        """Return the masks (True = kept) of all prunable parameters before anything is pruned."""
        structure, masks = self.structure(), {}
        for path in self.paths():
            for layer in (*path.layers, *(() if path.skip is None else (path.skip,))):
                weight = params[layer.parameter]
                # the first hidden unit's weights stand for their group
                one = weight if layer.group_axis is None else weight.narrow(layer.group_axis, 0, 1)
                mask = torch.ones_like(one, dtype=torch.bool)
                if layer.parameter in structure:
                    mask = mask & structure[layer.parameter].to(weight.device)
                masks[layer.parameter] = mask
        return masks

    def learning_rates(self) -> dict[str, float]:
        """Return factors on the learning rate of single parameters (1 where absent)."""
        return {}

    def rates(self, params: Mapping[str, Tensor]) -> Tensor | None:
        """Return the non-negative factor on each target's derivative (models, genes), None where there is none."""
        return None

    def lift(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Turn gene states (models, batch, genes) into ODE states; second-order fields append a velocity."""
        return x

    def observe(self, params: Mapping[str, Tensor], state: Tensor) -> Tensor:
        """Return what is observed of ODE states (..., models, batch, state): (..., models, batch, genes)."""
        return state[..., : self.n_genes]


def _plain(value: Any) -> Any:
    """Return tuples as lists, all else as it is."""
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


FIELDS: Registry[type[VectorField]] = Registry("vector field")
DEFINED: dict[str, type[VectorField]] = {}
"""Every field whose file has been imported, registered or not, by its name: where stored fits look for theirs."""


def zero_fraction(field: VectorField, params: Mapping[str, Tensor]) -> Tensor:
    """Return the fraction of exact zeros among all path weights as they reach the derivative, (models,).

    For PHOENIX these are W_S, W_P, relu(v) U_S and relu(v) U_P together (4 m n entries).
    """
    rates = field.rates(params)
    zeros, total = torch.zeros(()), 0
    for path in field.paths():
        for position, layer in enumerate(path.layers):
            zero = layer.effect(params) == 0
            if position == len(path.layers) - 1 and rates is not None:
                dead = (rates == 0)[:, :, None]
                zero = zero | (dead if path.entries is None else dead[:, path.entries[0].to(dead.device)].mT)
            size = zero[0].numel() if path.entries is None else field.n_genes**2
            zeros = zeros.to(zero.device) + _count(zero) + (size - zero[0].numel())
            total += size
    return zeros / total


def _count(true: Tensor) -> Tensor:
    """Return how many are true, (models,): NumPy counts booleans a hundred times as fast as torch adds them."""
    if true.device.type != "cpu":
        return true.flatten(1).sum(1)
    return torch.tensor([np.count_nonzero(one) for one in true.numpy()])
