"""Adam on stacked models as a pure step: moments are part of the state, learning rates differ between models.

torch.optim has one learning rate per parameter group; a stack needs one per model, because each model meets its own
plateaus and stops at its own epoch.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
TINY = 1e-30  # square roots of exact zeros (pruned weights) take 20 times as long; 1e-15 is nothing beside EPSILON


def adam_step(
    params: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    moments: Mapping[str, tuple[Tensor, Tensor]],
    step: int,
    rates: Mapping[str, Tensor],
) -> None:
    """Update `params` and `moments` in place (Kingma & Ba 2015, Algorithm 1).

    Parameters
    ----------
    params, gradients
        Tensors (models, ...).
    moments
        First and second moment of every parameter.
    step
        Number of this step, from 1.
    rates
        Learning rate of every parameter, (models,); 0 leaves a model as it is.
    """
    with torch.no_grad():
        for name, gradient in gradients.items():
            first, second = moments[name]
            first.lerp_(gradient, 1 - BETA1)
            second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            scale = (second / (1 - BETA2**step)).add_(TINY).sqrt_().add_(EPSILON)
            rate = (rates[name] / (1 - BETA1**step)).reshape(-1, *[1] * (gradient.ndim - 1))
            params[name].sub_(rate * first / scale)
