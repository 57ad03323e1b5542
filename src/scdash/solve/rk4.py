"""The classic fourth-order Runge-Kutta method with a fixed number of steps: the only hot loop of training."""

from collections.abc import Callable

from torch import Tensor


def rk4_interval(velocity: Callable[[Tensor], Tensor], x: Tensor, duration: Tensor, steps: int) -> Tensor:
    """Return the state `duration` later, by `steps` equal steps of each example's own length.

    `duration` broadcasts against x (models, batch, state), e.g. (models, batch, 1).
    """
    step = duration / steps
    half, sixth = step / 2, step / 6
    for _ in range(steps):
        first = velocity(x)
        second = velocity(x.addcmul(half, first))
        third = velocity(x.addcmul(half, second))
        fourth = velocity(x.addcmul(step, third))
        x = x.addcmul(sixth, (second + third).mul_(2).add_(first).add_(fourth))
    return x


def rk4_interval_timed(
    velocity: Callable[[Tensor, Tensor], Tensor], x: Tensor, start: Tensor, duration: Tensor, steps: int
) -> Tensor:
    """Do as `rk4_interval` for a velocity that depends on time, `velocity(t, x)`; start is shaped like duration."""
    step = duration / steps
    half = step / 2
    for number in range(steps):
        t = start + number * step
        first = velocity(t, x)
        second = velocity(t + half, x + half * first)
        third = velocity(t + half, x + half * second)
        fourth = velocity(t + step, x + step * third)
        x = x + step / 6 * (first + 2 * (second + third) + fourth)
    return x
