"""rk4 with its derivative written out, for velocities that have theirs: what training spends its time in."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scdash.fields import Evaluator
from scdash.solve._integrate import integrate, intervals


def rk4_path(evaluator: Evaluator[Any], params: Mapping[str, Tensor], x0: Tensor, times: Tensor, steps: int) -> Tensor:
    r"""Return what `integrate` returns with solver "rk4", for the velocity of `evaluator`, which was made of `params`.

    Gradients by `x0` and `params` are those of the discrete steps. With k_i = f(x_i), x_1 = x, x_2 = x + h/2 k_1,
    x_3 = x + h/2 k_2, x_4 = x + h k_3 and x' = x + h/6 (k_1 + 2 k_2 + 2 k_3 + k_4), a gradient g of x' comes back as

    .. math::

        g_4 = J_4^\top \tfrac h6 g, \quad g_3 = J_3^\top (\tfrac h3 g + h g_4), \quad
        g_2 = J_2^\top (\tfrac h3 g + \tfrac h2 g_3), \quad g_1 = J_1^\top (\tfrac h6 g + \tfrac h2 g_2),

    and g + g_1 + g_2 + g_3 + g_4 is that of x. Weights get theirs once, from all evaluations.
    """
    found: Tensor = _Path.apply(  # type: ignore[no-untyped-call]
        x0, evaluator, tuple(params), times, steps, *params.values()
    )
    return found


class _Path(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x0: Tensor,
        evaluator: Evaluator[Any],
        names: tuple[str, ...],
        times: Tensor,
        steps: int,
        *_: Tensor,
    ) -> Tensor:
        kept: list[Any] = []  # four evaluations a step

        def velocity(x: Tensor) -> Tensor:
            found, saved = evaluator.forward(x)
            kept.append(saved)
            return found

        ctx.evaluator, ctx.names, ctx.kept, ctx.steps = evaluator, names, kept, steps
        ctx.durations, ctx.like = tuple(intervals(x0, times)[1]), x0.detach()
        return integrate(velocity, x0, times, steps=steps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        factors: list[Any] = []
        place, of_x = len(ctx.kept), torch.zeros_like(ctx.like)  # in the memory order of states, which operations keep
        for number in range(len(ctx.durations) - 1, -1, -1):
            of_x = of_x + gradient[number + 1]
            step = ctx.durations[number] / ctx.steps
            for _ in range(ctx.steps):
                place -= 4
                wanted = place > 0 or ctx.needs_input_grad[0]
                of_x = _step_back(ctx.evaluator, ctx.kept[place : place + 4], of_x, step, factors, wanted=wanted)
        found = ctx.evaluator.collect(factors)
        return of_x + gradient[0], None, None, None, None, *(found[name] for name in ctx.names)


def _step_back(
    evaluator: Evaluator[Any], kept: list[Any], of_x: Tensor, step: Tensor, factors: list[Any], *, wanted: bool
) -> Tensor:
    """Return the gradient of the step's first state (anything, unless wanted); append the factors of the weights'."""
    half, sixth = step / 2, step / 6
    edge, middle = sixth * of_x, 2 * sixth * of_x
    fourth = _back(evaluator, kept[3], edge, factors)
    third = _back(evaluator, kept[2], middle.addcmul(step, fourth), factors)
    second = _back(evaluator, kept[1], middle.addcmul_(half, third), factors)
    first, record = evaluator.backward(kept[0], edge.addcmul_(half, second), wanted=wanted)
    factors.append(record)
    total = (of_x + fourth).add_(third).add_(second)
    return total if first is None else total.add_(first)


def _back(evaluator: Evaluator[Any], kept: Any, gradient: Tensor, factors: list[Any]) -> Tensor:
    of_x, record = evaluator.backward(kept, gradient, wanted=True)
    factors.append(record)
    if of_x is None:  # an evaluator returns what is wanted of it
        raise TypeError("an evaluator returned no gradient of its state")
    return of_x
