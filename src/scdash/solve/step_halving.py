"""The one loop that halves the step of a solve until that no longer matters, and the error that steps of a given size make."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from scdash._core.errors import NotConvergedError
from scdash.solve.integration import integrate

T = TypeVar("T")
HALVINGS = 7


@dataclass(frozen=True)
class Converged(Generic[T]):
    """A result with so many steps, which are enough, and with twice as many."""

    coarse: T
    fine: T
    steps: int


def converged(
    solve: Callable[[int], T],  # number of steps -> result
    steps: int,  # steps to begin with; they are doubled at most `HALVINGS` times
    *,
    change: Callable[[T, T], float],
    tolerance: float,  # largest change that does not matter
    what: str,
    remedy: str,
    otherwise: Callable[[T, str], object] | None = None,
) -> Converged[T]:
    """Double the number of steps until the result changes by at most `tolerance`.

    `change`: how far the result with twice the steps is from the one before, `change(coarse, fine)`; NaN is never
    small enough. `what`, `remedy`: for the message: what still changes (plural), and what to do about it. `otherwise`:
    called with the last result and the message where doubling was of no use: it may raise another error (the result is
    not finite), or log the message, and the last results are then returned. By default `NotConvergedError` is raised.

    Raises NotConvergedError if the result still changes and `otherwise` is not given.
    """
    coarse, moved = solve(steps), float("nan")
    for halving in range(HALVINGS):
        fine = solve(2 * steps)
        with np.errstate(all="ignore"):  # of results that are not finite, which are never close enough
            moved = float(change(coarse, fine))
        if moved <= tolerance:
            return Converged(coarse, fine, steps)
        if halving < HALVINGS - 1:
            coarse, steps = fine, 2 * steps
    text = (
        f"{what} still change by {moved:.2g} when their {steps} steps an interval are halved; {tolerance:g} is accepted. "
        f"{remedy}"
    )
    if otherwise is None:
        raise NotConvergedError(text)
    otherwise(fine, text)
    return Converged(coarse, fine, steps)


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

    Give it a sample of examples: the tight solution costs far more than the steps it evaluates. In float32 tolerances
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
