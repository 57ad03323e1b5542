"""rk4 with its derivative written out, for velocities that have theirs: what training spends its time in."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scdash.fields import Evaluator
from scdash.solve._integrate import intervals


def rk4_path(evaluator: Evaluator[Any], params: Mapping[str, Tensor], x0: Tensor, times: Tensor, steps: int) -> Tensor:
    r"""Return what `integrate` returns with solver "rk4", for the velocity of `evaluator`, which was made of `params`.

    Gradients by `x0` and `params` are those of the discrete steps. With k_i = f(x_i), x_1 = x, x_2 = x + h/2 k_1,
    x_3 = x + h/2 k_2, x_4 = x + h k_3 and x' = x + h/6 (k_1 + 2 k_2 + 2 k_3 + k_4), a gradient g of x' comes back as

    .. math::

        g_4 = J_4^\top \tfrac h6 g, \quad g_3 = J_3^\top (\tfrac h3 g + h g_4), \quad
        g_2 = J_2^\top (\tfrac h3 g + \tfrac h2 g_3), \quad g_1 = J_1^\top (\tfrac h6 g + \tfrac h2 g_2),

    and g + g_1 + g_2 + g_3 + g_4 is that of x. Weights get theirs once, from all evaluations.
    """
    durations = tuple(intervals(x0, times)[1])
    found: Tensor = _Path.apply(  # type: ignore[no-untyped-call]
        x0, evaluator, tuple(params), durations, steps, *params.values()
    )
    return found


class _Path(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x0: Tensor,
        evaluator: Evaluator[Any],
        names: tuple[str, ...],
        durations: tuple[Tensor, ...],
        steps: int,
        *_: Tensor,
    ) -> Tensor:
        ctx.evaluator, ctx.names, ctx.durations, ctx.steps, ctx.kept = evaluator, names, durations, steps, []
        ctx.like = x0.detach()
        x, path = x0, [x0]
        for duration in durations:
            for lengths in _lengths(duration, steps):
                x, saved = _step(evaluator, x, lengths)
                ctx.kept.append(saved)
            path.append(x)
        return torch.stack(path)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        factors: list[Any] = []
        place, of_x = len(ctx.kept), torch.zeros_like(ctx.like)  # in the memory order of states, which operations keep
        for number in range(len(ctx.durations) - 1, -1, -1):
            of_x = of_x + gradient[number + 1]
            for lengths in _lengths(ctx.durations[number], ctx.steps):
                place -= 1
                wanted = place > 0 or ctx.needs_input_grad[0]
                of_x = _step_back(ctx.evaluator, ctx.kept[place], of_x, lengths, factors, wanted=wanted)
        found = ctx.evaluator.collect(factors)
        return of_x + gradient[0], None, None, None, None, *(found[name] for name in ctx.names)


Lengths = tuple[Tensor, Tensor, Tensor]  # h, h / 2 and h / 6, broadcasting against states


def _lengths(duration: Tensor, steps: int) -> Iterator[Lengths]:
    step = duration / steps
    lengths = step, step / 2, step / 6
    for _ in range(steps):
        yield lengths


def _step(evaluator: Evaluator[Any], x: Tensor, lengths: Lengths) -> tuple[Tensor, list[Any]]:
    step, half, sixth = lengths
    first, one = evaluator.forward(x)
    second, two = evaluator.forward(x.addcmul(half, first))
    third, three = evaluator.forward(x.addcmul(half, second))
    fourth, four = evaluator.forward(x.addcmul(step, third))
    return x.addcmul(sixth, (second + third).mul_(2).add_(first).add_(fourth)), [one, two, three, four]


def _step_back(
    evaluator: Evaluator[Any], kept: list[Any], of_x: Tensor, lengths: Lengths, factors: list[Any], *, wanted: bool
) -> Tensor:
    """Return the gradient of the step's first state (anything, unless wanted); append the factors of the weights'."""
    step, half, sixth = lengths
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
