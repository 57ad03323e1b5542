"""Velocities with their derivative written out.

A solver evaluates the velocity 16 times an interval with the same weights, and autograd adds a whole weight-sized
gradient each time. With small batches that is most of the work. Here every evaluation only notes its small factors
(inputs and what comes back to them), and one product over all evaluations gives the gradient, the same sum;
`scdash.solve.rk4_path` does so. `at_once` makes an ordinary velocity of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scdash.fields.compiled_solve import CompiledSolve
from scdash.fields.vector_field import Params, Velocity

# Examples taken together for gradients of weights: long rows fill vector registers (28 examples of a sparse product fill
# less than half of what is loaded), while their factors still fit in the cache. Of multiples of 28, those of 32 are fastest.
WIDTH = 224
Record = tuple[Tensor, ...]
Kept = TypeVar("Kept")


class Evaluator(ABC, Generic[Kept]):
    """A velocity for one solve; `Kept` is what it notes of an evaluation."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the velocity at x (models, batch, genes), and what `backward` needs."""

    @abstractmethod
    def backward(self, saved: Kept, gradient: Tensor, *, wanted: bool) -> tuple[Tensor | None, Kept]:
        """Return the gradient of x (None unless wanted) and the factors of those of the weights."""

    @abstractmethod
    def collect(self, factors: list[Kept]) -> Params:
        """Return the gradients of the weights from the factors of some evaluations."""

    def advance(self, x: Tensor, duration: float, steps: int, held: Tensor | None) -> Tensor | None:
        """Return the states `duration` later by so many Runge-Kutta steps, without derivatives; None where that is no faster.

        Genes that are `held`, shaped like x (models, batch, genes), stay where they are.
        """
        return None

    def compiled(self, x0: Tensor) -> CompiledSolve | None:
        """Return the same for compiled solves that start from `x0`, where that is faster."""
        return None


def summed(collect: Callable[[Record], Params], records: list[Record], *, heavy: bool = False) -> Params:
    """Return the gradients of the weights, from about `WIDTH` examples at a time joined along the batch, axis 1.

    `heavy` weights, larger than the factors, are gone through only once: all examples are joined.
    """
    several, total = len(records) if heavy else max(1, WIDTH // records[0][0].shape[1]), None
    for first in range(0, len(records), several):
        parts = zip(*records[first : first + several], strict=True)
        found = collect(tuple(torch.cat(part, dim=1) for part in parts))
        if total is None:
            total = found
            continue
        for name, value in found.items():
            total[name] += value
    return total or {}


def at_once(evaluator: Evaluator[Any], params: Mapping[str, Tensor]) -> Velocity:
    """Return the velocity for any use of autograd: gradients reach `params` from every evaluation by itself."""
    names, values = tuple(params), tuple(params.values())
    return lambda x: _Evaluation.apply(x, evaluator, names, *values)  # type: ignore[no-untyped-call]


class _Evaluation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, evaluator: Evaluator[Any], names: tuple[str, ...], *_: Tensor) -> Tensor:
        velocity, ctx.kept = evaluator.forward(x)
        ctx.evaluator, ctx.names = evaluator, names
        return velocity

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        of_x, factors = ctx.evaluator.backward(ctx.kept, gradient, wanted=ctx.needs_input_grad[0])
        found = ctx.evaluator.collect([factors])
        return of_x, None, None, *(found[name] for name in ctx.names)
