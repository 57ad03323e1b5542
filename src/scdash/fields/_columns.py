"""Fields whose models have different shapes, so that they are computed one by one, on states laid out (genes, batch).

A row of such a state is a gene's value in all examples: products with sparse matrices then run along memory.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from scdash.fields._base import Params
from scdash.fields._evaluator import Evaluator, Record, summed


class Columns(ABC):
    """One model's velocity with its derivative written out; states and gradients are (genes, batch)."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Record]:
        """Return the velocity, and what `backward` needs."""

    @abstractmethod
    def backward(self, saved: Record, gradient: Tensor) -> tuple[Tensor, Record]:
        """Return the gradient of x, and the factors (rows, batch) of those of the weights."""

    @abstractmethod
    def collect(self, factors: Record) -> Params:
        """Return the gradients of this model's weights, without leading axis, from factors joined along the batch."""


class OneByOne(Evaluator[list[Record]]):
    """A stack of such models."""

    def __init__(self, models: Sequence[Columns]) -> None:
        self.models = models

    def forward(self, x: Tensor) -> tuple[Tensor, list[Record]]:
        found = [one.forward(state.mT.contiguous()) for state, one in zip(x.detach(), self.models, strict=True)]
        return _stacked([velocity for velocity, _ in found]), [saved for _, saved in found]

    def backward(self, saved: list[Record], gradient: Tensor, *, wanted: bool) -> tuple[Tensor | None, list[Record]]:
        parts = zip(self.models, saved, gradient, strict=True)
        found = [one.backward(kept, part.mT.contiguous()) for one, kept, part in parts]
        return (_stacked([of_x for of_x, _ in found]) if wanted else None), [factors for _, factors in found]

    def collect(self, factors: list[list[Record]]) -> Params:
        collected = [
            summed(one.collect, [record[place] for record in factors]) for place, one in enumerate(self.models)
        ]
        return {name: torch.stack([found[name] for found in collected]) for name in collected[0]}


def _stacked(columns: list[Tensor]) -> Tensor:
    """Return (models, batch, genes), without a copy for one model."""
    rows = [state.mT for state in columns]
    return rows[0][None] if len(rows) == 1 else torch.stack(rows)
