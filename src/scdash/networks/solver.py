"""The one way to simulate a fitted model: on its edges, in blocks of states that stay in a core's cache.

Predictions, interventions and influences all integrate here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash.fields import VectorField, Velocity
from scdash.networks.dynamics_model import DynamicsModel
from scdash.networks.edges import Edges
from scdash.solve import rk4_interval

CACHED = 2**16  # entries of the states that are integrated together: about what stays in a core's cache
FEWEST = 16  # states integrated together at least: edges act on rows of states


@dataclass(frozen=True)
class Solver:
    """The field of a model bound to its weights once: made in the process that uses it."""

    model: DynamicsModel
    field: VectorField
    weights: dict[str, Tensor]
    velocity: Velocity
    edges: Edges | None  # of gene-wise models of which few are left

    @classmethod
    def of(cls, model: DynamicsModel, dtype: torch.dtype | None = None) -> "Solver":
        """Return the solver of a model in the precision `dtype`; None: that of the model."""
        weights = {name: value.detach().to(dtype or value.dtype) for name, value in model.weights.items()}
        return cls(model, model.field, weights, model.field.bind(weights), Edges.of(model.field, weights))

    def path(self, x: NDArray[Any], times: NDArray[Any], steps: int) -> Iterator[Tensor]:
        """Yield the field's states (rows, genes) from `x` at each time after the first, holding one at a time."""
        yield from self.path_of(scaled(self.model, x), times, steps)

    def path_of(self, z: Tensor, times: NDArray[Any], steps: int, held: Tensor | None = None) -> Iterator[Tensor]:
        """Do as `path` from states of the field; genes that are `held`, (rows, genes), stay where they are."""
        state, fixed = self.field.lift(self.weights, z[None]), None
        if held is not None:
            fixed = torch.zeros_like(state, dtype=torch.bool)
            fixed[0, :, : held.shape[1]] = held
        for duration in np.diff(times):
            state = self._advance(state, float(duration), steps, fixed)
            yield self.field.observe(self.weights, state)[0]

    def _advance(self, state: Tensor, duration: float, steps: int, fixed: Tensor | None) -> Tensor:
        if self.edges is not None:
            return self.edges.advance(state, duration, steps, fixed)
        velocity, zero = self.velocity, state.new_zeros(())
        if fixed is not None:
            velocity = lambda x: torch.where(fixed, zero, self.velocity(x))
        return rk4_interval(velocity, state, torch.as_tensor(duration, dtype=state.dtype), steps)


def blocks(rows: int, genes: int) -> Iterator[slice]:
    """Yield the rows of states that are integrated together."""
    size = max(FEWEST, CACHED // genes)
    yield from (slice(first, min(first + size, rows)) for first in range(0, rows, size))


def scaled(model: DynamicsModel, values: NDArray[Any]) -> Tensor:
    """Return values in the user's units as states of the field, (rows, genes)."""
    x = torch.as_tensor(np.array(values), dtype=model.minimum.dtype, device=model.minimum.device)
    return (x - model.minimum) / model.range


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
