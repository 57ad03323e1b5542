"""Hard-concrete gates (Louizos et al. 2018): weights times random gates in [0, 1] that are exactly 0 or 1 at times."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from scdash._core.errors import check_choice
from scdash.fields import Layer, Params, VectorField
from scdash.sparsity._base import Context, Sparsity
from scdash.sparsity._path_norm import Reduction, refuse_groups_and_skips

LOW, HIGH = -0.1, 1.1  # the interval gates are stretched to before they are clipped
TEMPERATURE = 2 / 3
EPSILON = 1e-6
# Gates have further to go than weights, and drawing them makes their gradients noisy: at the rate of the weights they were
# still closing when the weights had long settled.
GATE_RATE = 30.0
OPEN = math.log(19)  # of log_alpha: evaluates to exactly 1, and a fifth of the draws is smaller
PREFIX = "log_alpha_"
GRANULARITIES = ("weight", "input")


def probability_open(log_alpha: Tensor) -> Tensor:
    """Return P(z != 0) = sigmoid(log_alpha - beta ln(-low / high)), clipped to [1e-6, 1 - 1e-6]."""
    return torch.sigmoid(log_alpha - TEMPERATURE * math.log(-LOW / HIGH)).clamp(EPSILON, 1 - EPSILON)


def evaluation_gate(log_alpha: Tensor) -> Tensor:
    """Return clip(1.2 sigmoid(log_alpha) - 0.1, 0, 1), exactly 0 where log_alpha <= -ln 11."""
    return (torch.sigmoid(log_alpha) * (HIGH - LOW) + LOW).clamp(0, 1)


def sample_gate(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Return gates for uniforms u in (0, 1): clip of the stretched sigmoid((ln u - ln(1 - u) + log_alpha) / beta)."""
    concrete = torch.sigmoid((uniform.log() - (-uniform).log1p() + log_alpha) / TEMPERATURE)
    return (concrete * (HIGH - LOW) + LOW).clamp(0, 1)


@dataclass(frozen=True)
class Gates:
    """Gates on all layers of a field's paths, one per weight or one per input unit of a layer."""

    granularity: Literal["weight", "input"] = "weight"
    rate: float = GATE_RATE  # factor on their learning rate

    def __post_init__(self) -> None:
        check_choice("granularity", self.granularity, GRANULARITIES)

    def parameters(self, field: VectorField, n_models: int, generator: torch.Generator) -> Params:
        """Return log_alpha ~ N(ln((1 - d) / d), 0.01) with drop rate d = 0.2 in first layers and 0.5 in others."""
        shapes = field.init(1, torch.Generator().manual_seed(0))
        found = {}
        for path in field.paths():
            for position, layer in enumerate(path.layers):
                weight = shapes[layer.parameter]
                drop = 0.2 if position == 0 else 0.5
                rows = 1 if self.granularity == "input" else weight.shape[1]
                noise = torch.randn(n_models, rows, weight.shape[2], generator=generator, dtype=weight.dtype)
                found[PREFIX + layer.parameter] = math.log((1 - drop) / drop) + 0.01 * noise
        return found

    def opened(self, field: VectorField, n_models: int) -> Params:
        """Return gates that are all open, for weights that were trained without them."""
        drawn = self.parameters(field, n_models, torch.Generator().manual_seed(0))
        return {name: torch.full_like(gates, OPEN) for name, gates in drawn.items()}

    def apply(self, field: VectorField, params: Params, generator: torch.Generator | None) -> Params:
        """Return the field's weights times one draw of the gates, or times the gates of evaluation."""
        found = {name: value for name, value in params.items() if not name.startswith(PREFIX)}
        for layer in layers(field):
            log_alpha = params[PREFIX + layer.parameter]
            if generator is None:
                gate = evaluation_gate(log_alpha)
            else:  # drawn on the CPU, so that all devices see the same noise
                uniform = torch.rand(log_alpha.shape, generator=generator, dtype=torch.float64)
                uniform = (EPSILON + (1 - 2 * EPSILON) * uniform).to(log_alpha)
                gate = sample_gate(log_alpha, uniform)
            found[layer.parameter] = params[layer.parameter] * gate
        return found

    def finalise(self, field: VectorField, params: Params, masks: Params) -> tuple[Params, Params]:
        """Return gated weights with exact zeros where gates are shut, and masks that say so."""
        found, kept = self.apply(field, params, None), dict(masks)
        for layer in layers(field):
            kept[layer.parameter] = masks[layer.parameter] & (evaluation_gate(params[PREFIX + layer.parameter]) != 0)
            found[layer.parameter] = found[layer.parameter] * kept[layer.parameter]
        return found, kept

    def method(
        self,
        name: str,
        penalty: Callable[[Context], Tensor],
        lambdas: tuple[Any, ...],
        reduction: Reduction,
        ladder: tuple[tuple[float, ...], ...],
    ) -> Sparsity:
        """Return the method that these gates make with a penalty on what is open."""
        options = {"lambdas": lambdas, "reduction": reduction, "granularity": self.granularity, "gate_rate": self.rate}
        return Sparsity(
            name,
            options,
            extra_parameters=self.parameters,
            opened=self.opened,
            gate=self.apply,
            penalty=penalty,
            finalise=self.finalise,
            learning_rates=self.learning_rates,
            refuse=refuse_groups_and_skips,
            ladder=ladder,
        )

    def learning_rates(self, field: VectorField) -> dict[str, float]:
        """Return the factors on the gates' learning rates."""
        return {PREFIX + layer.parameter: self.rate for layer in layers(field)}


def layers(field: VectorField) -> list[Layer]:
    """Return all layers of a field's paths."""
    return [layer for path in field.paths() for layer in path.layers]


def open_matrix(layer: Layer, params: Params) -> Tensor:
    """Return P(z != 0) of every weight of a layer, (models, out, in)."""
    return probability_open(params[PREFIX + layer.parameter]).expand_as(params[layer.parameter])
