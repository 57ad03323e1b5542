"""The solves behind influences: which genes can matter at all, and batches of states on the weights that are left."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash.fields import VectorField, Velocity
from scdash.networks._module import DynamicsModel
from scdash.solve import rk4_interval


@dataclass(frozen=True)
class Solver:
    """The field of a model on the weights left, bound once: made in the process that uses it."""

    model: DynamicsModel
    field: VectorField
    weights: dict[str, Tensor]
    velocity: Velocity

    @classmethod
    def of(cls, model: DynamicsModel) -> "Solver":
        field, weights = lean(model)
        return cls(model, field, weights, field.bind(weights))

    def path(self, x: NDArray[Any], times: NDArray[Any], steps: int) -> Iterator[Tensor]:
        """Yield the field's states (rows, genes) from `x` at each time after the first, holding one at a time."""
        yield from self.path_of(scaled(self.model, x), times, steps)

    def path_of(self, z: Tensor, times: NDArray[Any], steps: int) -> Iterator[Tensor]:
        """Do as `path` from states of the field."""
        state = self.field.lift(self.weights, z[None])
        for duration in np.diff(times):
            # not `integrate`, which stacks states: the memory order that sparse products need would be lost
            state = rk4_interval(self.velocity, state, torch.as_tensor(duration, dtype=state.dtype), steps)
            yield self.field.observe(self.weights, state)[0]


def scaled(model: DynamicsModel, values: NDArray[Any]) -> Tensor:
    """Return values in the user's units as states of the field, (rows, genes)."""
    x = torch.as_tensor(np.array(values), dtype=model.minimum.dtype, device=model.minimum.device)
    return (x - model.minimum) / model.range


def lean(model: DynamicsModel) -> tuple[VectorField, dict[str, Tensor]]:
    """Return field and weights, on the weights left where the model is large and sparse: several times faster."""
    weights = {name: value.detach() for name, value in model.weights.items()}
    masks = {name: weights[name] != 0 for name in model.field.start_masks(weights)}
    compact = model.field.compact(masks, wide=True)
    return (model.field, weights) if compact is None else (compact.field, compact.gather(weights))


def outgoing(model: DynamicsModel, starts: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which genes have an outgoing weight, (genes,); all, if the others turn out to matter all the same."""
    params, n = dict(model.weights), len(model.genes)
    reaching = torch.zeros(n, dtype=torch.bool, device=model.minimum.device)
    with torch.inference_mode():
        for path in model.field.paths():
            for layer in (path.layers[0], *([path.skip] if path.skip is not None else [])):
                used = (layer.effect(params)[0] != 0).any(0)
                inputs = path.inputs if layer is path.layers[0] else None
                if path.entries is not None:
                    reaching[path.entries[1][used.cpu()]] = True
                    continue
                for column in used.nonzero().flatten().tolist():
                    reaching[list((column,) if inputs is None else inputs[column])] = True
        sample = starts[:4]
        moved = np.where(reaching.cpu().numpy(), sample, sample + np.asarray(model.range.cpu()))
        rates = [
            model(0.0, torch.as_tensor(x, dtype=model.minimum.dtype, device=reaching.device)) for x in (sample, moved)
        ]
        if not torch.equal(rates[0][:, reaching], rates[1][:, reaching]):
            reaching[:] = True
    return reaching.cpu().numpy()
