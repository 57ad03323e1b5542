"""Is a step short enough? Fixed steps against a tight adaptive solution."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scdash.solve.integration import integrate


class StepError(NamedTuple):
    """Error of fixed steps over all times and states: the largest, and the root mean square over that of the change."""

    largest: float
    relative: float


def step_error(
    velocity: Callable[[Tensor], Tensor],
    x0: Tensor,
    times: Tensor,
    *,
    steps: int = 4,
    rtol: float = 1e-6,
    atol: float = 1e-7,
) -> StepError:
    """Compare rk4 with `steps` per interval to dopri5 at `rtol`, `atol`; arguments as for `integrate`.

    Give it a sample of examples: the tight solution costs far more than the steps it judges. In float32 tolerances
    below the defaults cannot be met.
    """
    with torch.no_grad():
        found = integrate(velocity, x0, times, steps=steps)
        tight = integrate(velocity, x0, times, solver="dopri5", rtol=rtol, atol=atol)
        error, change = found - tight, tight - x0
        scale = float(change.square().mean().sqrt())
        rounding = 100 * torch.finfo(x0.dtype).eps * float(x0.square().mean().sqrt())
        relative = float(error.square().mean().sqrt()) / scale if scale > rounding else 0.0  # a state at rest
        return StepError(float(error.abs().max()), relative)
