"""rk4 with its derivative written out, for velocities that have theirs: what training spends its time in."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scdash._core.threads import one_thread, side_by_side
from scdash.fields import CompiledSolve, Evaluator
from scdash.solve.integration import integrate, intervals


def rk4_path(evaluator: Evaluator[Any], params: Mapping[str, Tensor], x0: Tensor, times: Tensor, steps: int) -> Tensor:
    r"""Return what `integrate` returns after `x0` with solver "rk4"; `evaluator`, the velocity, was made of `params`.

    Gradients by `x0` and `params` are those of the discrete steps. With k_i = f(x_i), x_1 = x, x_2 = x + h/2 k_1,
    x_3 = x + h/2 k_2, x_4 = x + h k_3 and x' = x + h/6 (k_1 + 2 k_2 + 2 k_3 + k_4), a gradient g of x' comes back as

    .. math::

        g_4 = J_4^\top \tfrac h6 g, \quad g_3 = J_3^\top (\tfrac h3 g + h g_4), \quad
        g_2 = J_2^\top (\tfrac h3 g + \tfrac h2 g_3), \quad g_1 = J_1^\top (\tfrac h6 g + \tfrac h2 g_2),

    and g + g_1 + g_2 + g_3 + g_4 is that of x. Weights get theirs once, from all evaluations.
    """
    compiled = evaluator.compiled(x0)
    if compiled is None and not torch.is_grad_enabled():
        return integrate(lambda x: evaluator.forward(x)[0], x0, times, steps=steps)[1:]
    if compiled is None:
        found: Tensor = _Path.apply(x0, evaluator, tuple(params), times, steps, *params.values())  # type: ignore[no-untyped-call]
        return found
    there_and_back = torch.is_grad_enabled() and any(value.requires_grad for value in (x0, *params.values()))
    room = 4 * steps * (times.shape[-1] - 1) if there_and_back else 1
    loops: Tensor = _CompiledPath.apply(x0, compiled, tuple(params), times, steps, room, *params.values())  # type: ignore[no-untyped-call]
    return loops


class _CompiledPath(torch.autograd.Function):
    """In loops compiled as a whole: with small states, calling operations one by one takes as long as they do."""

    @staticmethod
    def forward(
        ctx: Any,
        x0: Tensor,
        compiled: CompiledSolve,
        names: tuple[str, ...],
        times: Tensor,
        steps: int,
        room: int,  # for so many evaluations; the way back needs all
        *_: Tensor,
    ) -> Tensor:
        spans = intervals(x0, times)[1][..., 0]
        durations = spans.expand(len(spans), *x0.shape[:2]).contiguous()
        path = x0.new_empty(len(spans), *x0.shape)
        kept = compiled.keep(room, x0.shape[1])
        start = x0.detach().contiguous().numpy()
        arrays = (durations.numpy(), steps, kept, start, path.numpy())
        with one_thread():
            side_by_side(lambda first, last: compiled.forward(first, last, *arrays), x0.shape[0])
        ctx.compiled, ctx.names, ctx.record, ctx.steps = compiled, names, kept, steps
        ctx.durations = durations  # not the path: what has its gradient from here must not be held from here
        return path

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        if ctx.record is None:
            raise RuntimeError("this path was differentiated already, and what it had kept is used up")
        kept, ctx.record, compiled, wanted = ctx.record, None, ctx.compiled, ctx.needs_input_grad[0]
        of_x = gradient.new_empty(gradient.shape[1:])
        arrays = (ctx.durations.numpy(), ctx.steps, kept, gradient.contiguous().numpy(), of_x.numpy())
        with one_thread():
            parts = side_by_side(
                lambda first, last: compiled.backward(first, last, *arrays, wanted=wanted), gradient.shape[1]
            )
        found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts[1:] else parts[0]
        return of_x if wanted else None, None, None, None, None, None, *(found[name] for name in ctx.names)


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
        return integrate(velocity, x0, times, steps=steps)[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        factors: list[Any] = []
        place, of_x = len(ctx.kept), torch.zeros_like(ctx.like)  # in the memory order of states, which operations keep
        for number in range(len(ctx.durations) - 1, -1, -1):
            of_x = of_x + gradient[number]
            step = ctx.durations[number] / ctx.steps
            for _ in range(ctx.steps):
                place -= 4
                wanted = place > 0 or ctx.needs_input_grad[0]
                of_x = _step_back(ctx.evaluator, ctx.kept[place : place + 4], of_x, step, factors, wanted=wanted)
        found = ctx.evaluator.collect(factors)
        return of_x, None, None, None, None, *(found[name] for name in ctx.names)


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
