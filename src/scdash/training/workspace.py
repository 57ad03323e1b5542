"""What an epoch works on: the whole stack, or copies of the models that still train."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scdash.fields import Params
from scdash.sparsity import Sparsity
from scdash.training.adam import StackedAdam
from scdash.training.state import TrainState

# weights of a matrix: 350 x 350 and 1 % of 2,000 x 2,000 train as fast on one core as on two, smaller ones faster
SMALL = 2**17


def small(params: Params) -> bool:
    """Return whether all products are too small for several threads."""
    return all(value[0].numel() <= SMALL for value in params.values())


@dataclass(frozen=True)
class Workspace:
    """Parameters, masks and moments of the models with the numbers `models`, changed in place.

    `whole` says that the tensors are the state's own; copies are written back to it after the epoch.
    """

    params: Params
    masks: Params
    moments: dict[str, tuple[Tensor, Tensor]]
    models: Tensor
    whole: bool = True

    @cached_property
    def adam(self) -> StackedAdam:
        """Adam on the parameters left by the masks."""
        return StackedAdam(self.params, self.moments, self.masks)

    @classmethod
    def of(cls, sparsity: Sparsity, state: TrainState, active: Tensor) -> "Workspace":
        """Return the state's own tensors, or copies of the active models.

        Methods with gates, penalties or proximal steps, or that follow every step, may look at whole stacks, so these stay
        as they are.
        """
        every = torch.arange(len(active), device=active.device)
        if bool(active.all()) or not sparsity.plain or sparsity.follows_steps:
            return cls(state.params, state.masks, state.moments, every)
        models = every[active]
        moments = {name: (first[models], second[models]) for name, (first, second) in state.moments.items()}
        params, masks = ({name: value[models] for name, value in part.items()} for part in (state.params, state.masks))
        return cls(params, masks, moments, models, whole=False)

    def write_back(self, state: TrainState) -> None:
        """Put copies back; nothing to do where the state's own tensors were changed."""
        if self.whole:
            return
        for name, value in self.params.items():
            state.params[name][self.models] = value
            for kept, moment in zip(state.moments[name], self.moments[name], strict=True):
                kept[self.models] = moment
