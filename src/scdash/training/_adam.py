"""Adam on stacked models as a pure step: moments are part of the state, learning rates differ between models.

torch.optim has one learning rate per parameter group; a stack needs one per model, because each model meets its own
plateaus and stops at its own epoch.
"""

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._compiled import loop

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
TINY = 1e-30  # square roots of exact zeros (pruned weights) take 20 times as long; 1e-15 is nothing beside EPSILON


class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1) on parameters that are changed in place.

    Parameters
    ----------
    params
        Tensors (models, ...).
    moments
        First and second moment of every parameter.
    masks
        Weights that stay 0, as booleans, of some of the parameters.
    """

    def __init__(
        self,
        params: Mapping[str, Tensor],
        moments: Mapping[str, tuple[Tensor, Tensor]],
        masks: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.params, self.moments, self.masks = params, moments, masks or {}

    def step(self, gradients: Mapping[str, Tensor], number: int, rates: Mapping[str, Tensor]) -> None:
        """Update parameters and moments.

        `number` is that of this step, from 1; `rates` are the learning rates of every parameter, (models,): 0 leaves a
        model as it is.
        """
        first_share, second_share = 1 - BETA1**number, 1 - BETA2**number
        with torch.no_grad():
            for name, gradient in gradients.items():
                if (flat := self._flat.get(name)) is None:
                    self._step_of(name, gradient, rates[name] / first_share, second_share)
                else:
                    found = _rows(gradient.to(self.params[name].dtype))
                    _compiled()(*flat, found, rates[name].numpy(), first_share, second_share)

    def clear(self) -> None:
        """Set what is masked to 0: other steps than this one (proximal ones) may know nothing of masks."""
        with torch.no_grad():
            for name, kept in self._kept.items():
                self.params[name].mul_(kept)

    def _step_of(self, name: str, gradient: Tensor, rate: Tensor, second_share: float) -> None:
        first, second = self.moments[name]
        if (kept := self._kept.get(name)) is not None:
            gradient = gradient * kept
        first.lerp_(gradient, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        scale = (second / second_share).add_(TINY).sqrt_().add_(EPSILON)
        self.params[name].sub_(rate.reshape(-1, *[1] * (gradient.ndim - 1)) * first / scale)
        if kept is not None:
            self.params[name].mul_(kept)

    @cached_property
    def _kept(self) -> dict[str, Tensor]:
        """Masks as 0 and 1 in the type of the weights: products with booleans take eight times as long."""
        return {name: mask.to(self.params[name].dtype) for name, mask in self.masks.items()}

    @cached_property
    def _flat(self) -> dict[str, tuple[NDArray[Any], ...]]:
        """Parameter, moments and mask as (models, weights), where the compiled loop can work on them in place."""
        found = {}
        for name, param in self.params.items():
            parts = (param, *self.moments[name])
            if param.device.type == "cpu" and all(part.is_contiguous() for part in parts):
                mask = self.masks.get(name, torch.zeros(len(param), 0, dtype=torch.bool))
                found[name] = tuple(_rows(part) for part in (*parts, mask))
        return found


def _rows(part: Tensor) -> NDArray[Any]:
    return part.contiguous().view(len(part), -1).numpy()


@cache
def _compiled() -> Any:
    return loop(_adam)


def _adam(
    param: Any, first: Any, second: Any, mask: Any, gradient: Any, rate: Any, first_share: float, second_share: float
) -> None:
    """One pass through memory where torch's operations make ten."""
    kind = param.dtype.type
    beta1, beta2, one, zero = kind(BETA1), kind(BETA2), kind(1), kind(0)
    epsilon, tiny, correction = kind(EPSILON), kind(TINY), kind(1 / second_share)
    masked = mask.size > 0
    for model in range(param.shape[0]):
        step = kind(rate[model] / first_share)
        for i in range(param.shape[1]):
            g = gradient[model, i] if not masked or mask[model, i] else zero
            mean = first[model, i] + (one - beta1) * (g - first[model, i])
            square = beta2 * second[model, i] + (one - beta2) * g * g
            first[model, i], second[model, i] = mean, square
            value = param[model, i] - step * mean / (np.sqrt(square * correction + tiny) + epsilon)
            param[model, i] = value if not masked or mask[model, i] else zero
