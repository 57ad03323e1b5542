"""Gradients of weights once per solve instead of once per evaluation of the velocity.

A solver evaluates the velocity 16 times an interval with the same weights, and autograd adds a whole weight-sized
gradient each time. With small batches that is most of the work. Here every evaluation only notes its small factors
(inputs and what comes back to them), and one product over all evaluations gives the gradient, the same sum.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scdash.fields._base import Params, Velocity

Record = tuple[Tensor, ...]
Kept = TypeVar("Kept")


class Evaluator(ABC, Generic[Kept]):
    """A velocity with its derivative written out, for one solve; `Kept` is what it notes of an evaluation."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the velocity at x (models, batch, genes), and what `backward` needs."""

    @abstractmethod
    def backward(self, saved: Kept, gradient: Tensor, *, wanted: bool) -> tuple[Tensor | None, Kept]:
        """Return the gradient of x (None unless wanted) and the factors of those of the weights."""

    @abstractmethod
    def collect(self, factors: list[Kept]) -> Params:
        """Return the gradients of the weights from the factors of all evaluations."""


def joined(records: Iterable[Record], dim: int) -> Record:
    """Return the factors of several evaluations as one, joined along the batch."""
    return tuple(torch.cat(parts, dim=dim) for parts in zip(*records, strict=True))


def deferred(evaluator: Evaluator[Any], params: Mapping[str, Tensor]) -> Velocity:
    """Return the velocity; gradients reach `params` when those of all its evaluations have been taken."""
    names, records = tuple(params), []  # type: ignore[var-annotated]
    handle = _Weights.apply(evaluator, names, records, *params.values())  # type: ignore[no-untyped-call]
    return lambda x: _Evaluation.apply(x, handle, evaluator, records)  # type: ignore[no-untyped-call]


def at_once(evaluator: Evaluator[Any], params: Mapping[str, Tensor]) -> Velocity:
    """Return the velocity for any use of autograd: gradients reach `params` from every evaluation by itself."""
    return lambda x: deferred(evaluator, params)(x)


class _Weights(torch.autograd.Function):
    """Stands for all weights in the graph: its backward runs after that of every evaluation that used it."""

    @staticmethod
    def forward(
        ctx: Any, evaluator: Evaluator[Any], names: tuple[str, ...], records: list[Any], *values: Tensor
    ) -> Tensor:
        ctx.evaluator, ctx.names, ctx.records = evaluator, names, records
        return values[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Any, ...]:
        found = ctx.evaluator.collect(ctx.records)
        ctx.records.clear()
        return None, None, None, *(found[name] for name in ctx.names)


class _Evaluation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, handle: Tensor, evaluator: Evaluator[Any], records: list[Any]) -> Tensor:
        velocity, ctx.kept = evaluator.forward(x)
        ctx.evaluator, ctx.records, ctx.zero = evaluator, records, torch.zeros_like(handle)
        return velocity

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        of_x, factors = ctx.evaluator.backward(ctx.kept, gradient, wanted=ctx.needs_input_grad[0])
        ctx.records.append(factors)
        return of_x, ctx.zero, None, None
