"""Exponential Euler: exact in the decay, one evaluation of the production a step."""

from collections.abc import Callable

import torch
from torch import Tensor


def exponential_euler(
    production: Callable[[Tensor], Tensor],
    rate: Tensor,
    x0: Tensor,
    *,
    duration: float,
    steps: int,
    mask: Tensor | float = 1.0,
    shift: Tensor | float = 0.0,
) -> Tensor:
    r"""Solve dx/dt = M p(x) + u - w x from `x0` (models, batch, genes) over `duration` and return the last state.

    .. math:: x \leftarrow e^{-wh} x + \frac{1 - e^{-wh}}{w} (M p(x) + u)

    is exact where p is constant and of order one otherwise; its fixed points are those of the equation. `rate` w > 0,
    `mask` M and `shift` u broadcast against x.
    """
    if steps < 1 or duration <= 0:
        raise ValueError(f"duration and steps must be positive, found {duration!r} and {steps!r}.")
    h = duration / steps
    keep, gain = torch.exp(-rate * h), -torch.expm1(-rate * h) / rate
    x = x0
    for _ in range(steps):
        x = keep * x + gain * (mask * production(x) + shift)
    return x
