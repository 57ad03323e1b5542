"""What an epoch works on: the whole parameters, or less of them where that is faster.

Models that have stopped are left out, and weights that pruning has removed where sparse products win.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scdash._core.logging import logger
from scdash.fields import Compact, Params, VectorField
from scdash.sparsity import Sparsity
from scdash.training.adam import StackedAdam
from scdash.training.state import TrainState

# weights of a matrix: 350 x 350 and 1 % of 2,000 x 2,000 train as fast on one core as on two, smaller ones faster
SMALL = 2**17
DENSE = "dense"  # found to be no faster otherwise, until the masks change


@dataclass(frozen=True)
class Workspace:
    """A field with its parameters, masks and moments; changed in place, then written back to the state.

    `models` are the numbers of the models in it, `whole` whether the tensors are the state's own.
    """

    field: VectorField
    params: Params
    masks: Params
    moments: dict[str, tuple[Tensor, Tensor]]
    models: Tensor
    compact: Compact | None = None
    whole: bool = True

    @property
    def small(self) -> bool:
        """Whether all products are too small for several threads."""
        return all(value[0].numel() <= SMALL for value in self.params.values())

    @cached_property
    def adam(self) -> StackedAdam:
        """Adam on the parameters left by the masks."""
        return StackedAdam(self.params, self.moments, self.masks)

    @classmethod
    def of(cls, field: VectorField, sparsity: Sparsity, state: TrainState, active: Tensor) -> "Workspace":
        """Return the state's own tensors, or copies of the active models or of what the masks leave.

        Methods with gates, penalties or proximal steps may look at whole matrices and stacks, so they stay as they are.
        """
        every = torch.arange(len(active), device=active.device)
        if state.compact is None:
            found = field.compact(state.masks) if sparsity.plain else None
            if found is not None:
                logger.info(
                    "    epoch %d: sparse products on the %.1f%% of weights left", state.epoch, 100 * found.density
                )
            state.compact = found or DENSE
        if state.compact == DENSE:
            if bool(active.all()) or not sparsity.plain:
                return cls(field, state.params, state.masks, state.moments, every)
            models = every[active]
            pairs = {name: (first[models], second[models]) for name, (first, second) in state.moments.items()}
            return cls(field, _part(state.params, models), _part(state.masks, models), pairs, models, whole=False)
        small: Compact = state.compact
        halves = [small.gather({k: m[i] for k, m in state.moments.items()}) for i in range(2)]
        moments = {name: (halves[0][name], halves[1][name]) for name in state.moments}
        masks = {name: mask for name, mask in state.masks.items() if name not in small.places}
        return cls(small.field, small.gather(state.params), masks, moments, every, small, whole=False)

    def write_back(self, state: TrainState) -> None:
        """Put copies back; nothing to do where the state's own tensors were changed."""
        if self.whole:
            return
        if self.compact is None:
            for name, value in self.params.items():
                state.params[name][self.models] = value
                for kept, moment in zip(state.moments[name], self.moments[name], strict=True):
                    kept[self.models] = moment
            return
        self.compact.scatter(self.params, state.params)
        for i in range(2):
            self.compact.scatter(
                {k: m[i] for k, m in self.moments.items()}, {k: m[i] for k, m in state.moments.items()}
            )


def _part(stack: Params, models: Tensor) -> Params:
    return {name: value[models] for name, value in stack.items()}
