"""What is trained on what, and the state before the first epoch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scdash.fields import VectorField
from scdash.sparsity import Prior, Sparsity
from scdash.training.config import TrainConfig
from scdash.training.examples import Examples
from scdash.training.state import TrainState, apply_masks, stacked


@dataclass(frozen=True)
class Problem:
    """What is trained on what: the fixed part of a run."""

    field: VectorField
    sparsity: Sparsity
    train: Examples
    validation: Examples
    config: TrainConfig
    prior: Prior | None = None
    adjacency: Tensor | None = None  # signed prior (target, regulator) for the prior loss, only if tau < 1
    seed: int = 0
    streams: tuple[int, ...] | None = None  # number of every model's random stream; None: 0, 1, ...
    returnable_from: int = 0  # first epoch whose model may be returned: never one from before the sparsity was reached


def start_state(problem: Problem, params: dict[str, Tensor], masks: Mapping[str, Tensor] | None = None) -> TrainState:
    """Return the state before the first epoch; masks default to the field's own and are applied to `params`.

    `params` may hold the method's own parameters (gates), as in a state that was trained before.
    """
    models = len(next(iter(params.values())))
    device = next(iter(params.values())).device
    streams = [_stream(problem, model) for model in range(models)]
    extra = stacked([problem.sparsity.extra_parameters(problem.field, 1, stream) for stream in streams])
    drawn = {k: v.to(device) for k, v in extra.items() if k not in params}  # gates that are given stay as they are
    every = params | drawn
    params = {k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in every.items()}
    full = problem.field.start_masks(params)
    full |= {name: full[name] & mask.to(device) for name, mask in (masks or {}).items()}
    memories = [
        problem.sparsity.start(problem.field, {k: v[model : model + 1] for k, v in params.items()}, stream)
        for model, stream in enumerate(streams)
    ]
    memory = {k: v.to(device) for k, v in stacked(memories).items()}
    apply_masks(params, full)
    return TrainState.start(params, full, memory, problem.config.learning_rate)


def _stream(problem: Problem, model: int) -> torch.Generator:
    """Return a model's own random stream, so that parts of a stack start as the whole does."""
    number = model if problem.streams is None else problem.streams[model]
    seed = problem.seed if number == 0 else int(np.random.SeedSequence([problem.seed, number]).generate_state(1)[0])
    return torch.Generator().manual_seed(seed)
