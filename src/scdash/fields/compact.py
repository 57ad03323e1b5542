"""The same field on the weights that are left: what a pruned model computes with between two prunings.

Parameters stay what they are for sparsity methods, checkpoints and results; a training epoch gathers the values that
are left, works on them alone, and puts them back.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scdash.fields.evaluator import Evaluator, at_once
from scdash.fields.vector_field import Params, RegulatoryPath, VectorField, Velocity

# One product with M (units, genes) for a batch of 28 costs 1.6 ms dense and 9 ms times its density sparse at
# 300 x 11,165 (one core; benchmarks.speed measures whole epochs); small products are cheaper than the calls around them.
LARGE = 250_000  # entries of a matrix from which sparse products can win
DENSE = 0.125  # share of weights above which they do not
WIDE = 10_000  # entries from which they win for hundreds of states at once: 3 to 7 times faster at 100 x 529 and 5 %


@dataclass(frozen=True, eq=False)
class Compact:
    """A field on the weights that are left, and where these lie in the parameters of the whole field."""

    field: VectorField
    places: Mapping[str, list[Tensor]]  # parameter -> for every model the flat places of its entries
    density: float

    def gather(self, params: Mapping[str, Tensor]) -> Params:
        """Return the values that are left, (models, entries) padded with zeros; other parameters as they are."""
        found = {}
        for name, value in params.items():
            if name not in self.places:
                found[name] = value.clone()
                continue
            places = self.places[name]
            kept = value.new_zeros(len(value), max(map(len, places)))
            for model, at in enumerate(places):
                kept[model, : len(at)] = value[model].flatten().index_select(0, at)  # twice as fast as indexing
            found[name] = kept
        return found

    def scatter(self, small: Mapping[str, Tensor], params: Params) -> None:
        """Put gathered values back, in place."""
        for name, value in small.items():
            if name not in self.places:
                params[name].copy_(value)
                continue
            for model, at in enumerate(self.places[name]):
                params[name][model].view(-1).index_copy_(0, at, value[model, : len(at)])


class CompactField(VectorField):
    """What a `Compact` computes with: PHOENIX on gathered weights."""

    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Refuse: weights are gathered, never drawn."""
        raise TypeError("A compact field takes the weights of the field it stands for; see Compact.gather.")

    def paths(self) -> tuple[RegulatoryPath, ...]:
        """Refuse: sparsity methods see the whole field."""
        raise TypeError("A compact field has no matrices; prune the field it stands for.")

    def learning_rates(self) -> dict[str, float]:
        """Return the factor 5 of the gene multipliers v, as `Phoenix` has it."""
        return {"v": 5.0}

    def lift(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Lay states out gene by gene."""
        return batch_last(x)

    def bind(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return x -> dx/dt, (models, batch, genes)."""
        return at_once(self.evaluator(params), params)

    @abstractmethod
    def evaluator(self, params: Mapping[str, Tensor]) -> Evaluator[Any]:
        """Return the same with its derivative written out."""


def worth_it(masks: Mapping[str, Tensor], *, wide: bool = False) -> float | None:
    """Return the density of the masks if products with what they leave are faster than dense ones, else None.

    Only on a CPU. The rule is measured: see `LARGE`, `WIDE` (hundreds of states at once, or edges of genes) and `DENSE`.
    """
    if not masks or any(mask.device.type != "cpu" for mask in masks.values()):
        return None
    if max(mask[0].numel() for mask in masks.values()) < (WIDE if wide else LARGE):
        return None
    density = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
    return density if density <= DENSE else None


def entries(mask: Tensor, *, transposed: bool = False) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Return rows, columns and flat places of what is left of one model's mask, in order of rows.

    `transposed` orders by columns and returns them first: gene by gene for an encoder (units, genes).
    """
    if not transposed:
        rows, columns = mask.nonzero(as_tuple=True)
        return rows.numpy(), columns.numpy(), rows * mask.shape[1] + columns
    columns, rows = mask.mT.contiguous().nonzero(as_tuple=True)
    return columns.numpy(), rows.numpy(), rows * mask.shape[1] + columns


def batch_last(x: Tensor) -> Tensor:
    """Return x (models, batch, genes) in memory order (models, genes, batch), which elementwise operations keep."""
    return x.mT.contiguous().mT
