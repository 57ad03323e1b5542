"""What an epoch works on: the whole parameters, or the weights that pruning has left where that is faster."""

from dataclasses import dataclass

from torch import Tensor

from scdash._logging import logger
from scdash.fields import Compact, Params, VectorField
from scdash.sparsity import Sparsity
from scdash.training._state import TrainState

DENSE = "dense"  # found to be no faster otherwise, until the masks change


@dataclass(frozen=True)
class Workspace:
    """A field with its parameters, masks and moments; changed in place, then written back to the state."""

    field: VectorField
    params: Params
    masks: Params
    moments: dict[str, tuple[Tensor, Tensor]]
    compact: Compact | None

    @classmethod
    def of(cls, field: VectorField, sparsity: Sparsity, state: TrainState) -> "Workspace":
        """Return the state's own tensors, or copies of what the masks leave of them.

        Methods with gates, penalties or proximal steps look at whole matrices, so they stay dense.
        """
        if state.compact is None:
            found = field.compact(state.masks) if sparsity.plain else None
            if found is not None:
                logger.info(
                    "    epoch %d: sparse products on the %.1f%% of weights left", state.epoch, 100 * found.density
                )
            state.compact = found or DENSE
        if state.compact == DENSE:
            return cls(field, state.params, state.masks, state.moments, None)
        small: Compact = state.compact
        halves = [small.gather({k: m[i] for k, m in state.moments.items()}) for i in range(2)]
        moments = {name: (halves[0][name], halves[1][name]) for name in state.moments}
        masks = {name: mask for name, mask in state.masks.items() if name not in small.places}
        return cls(small.field, small.gather(state.params), masks, moments, small)

    def write_back(self, state: TrainState) -> None:
        """Put copies back; nothing to do where the state's own tensors were changed."""
        if self.compact is None:
            return
        self.compact.scatter(self.params, state.params)
        for i in range(2):
            self.compact.scatter(
                {k: m[i] for k, m in self.moments.items()}, {k: m[i] for k, m in state.moments.items()}
            )
