"""Large stacks of models in parts that fit in memory, spread over whatever joblib is set up with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from scdash._core.logging import logger
from scdash._core.parallel import spread_all, workers
from scdash.dynamics.options import FitOptions, Recipe
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.state_pairs.train import Trained, train_models
from scdash.fields import Params, VectorField
from scdash.sparsity import Prior, Sparsity
from scdash.training import Examples, TrainState, checkpoint_of_part

# models beyond which a stack is no faster per model (SIM350: 74 CPU ms an epoch of one alone, 59 a model of 4, 58 of 8)
TOGETHER = 8
COPIES = 7  # of the weights: themselves, two moments, the best, gradient, effective ones, and scores while pruning
EVALUATION = 14  # arrays of the size of the states that one evaluation keeps for the gradient


def train_stack(
    problem: FitProblem,
    options: FitOptions,
    plan: Recipe,
    field: VectorField,
    params: Params,
    masks: Mapping[str, Tensor],
    sparsity: Sparsity,
    prior: Prior | None,
    returnable_from: int,
    **options_of_training: Any,
) -> Trained:
    """Do as `train_models`, in parts of at most `TrainConfig.max_memory` bytes and `TOGETHER` models each.

    The parts depend neither on the number of processes nor on their speed, and every model has its own random streams:
    results are the same bit for bit wherever they are trained (methods with random gates draw for a part as a whole).
    """
    models = len(next(iter(params.values())))
    parts = stack_parts(models, field, params, plan)
    if len(parts) == 1:
        return train_models(
            problem, options, plan, field, params, masks, sparsity, prior, returnable_from, **options_of_training
        )
    processes = workers()
    logger.info("    %d models in %d parts on %d process(es)", models, len(parts), processes)
    description = options_of_training.pop("description", "training")
    streams: Sequence[int] = options_of_training.pop("streams", range(models))
    state: TrainState | None = options_of_training.pop("state", None)
    pieces = []
    for number, part in enumerate(parts):
        rest = {k: v.of_models(part) if isinstance(v, Examples) else v for k, v in options_of_training.items()}
        mine = replace(
            options,
            checkpoint=checkpoint_of_part(options.checkpoint, number),
            progress=False if processes > 1 else options.progress,
        )
        numbers = range(models)[part]
        rest["description"] = f"{description}, part {number + 1}"
        rest["streams"] = streams[part]
        if state is None:
            own = (_cut(params, part), _cut(masks, part))
        else:
            rest["state"] = at = state.of_models(numbers)
            own = (at.params, at.masks)
        known = None if prior is None else prior.of_models(part)
        pieces.append(
            (problem, mine, plan, field, *own, sparsity.of_models(part, models), known, returnable_from, rest)
        )
    progress = options.progress if processes > 1 else False
    return _merged(spread_all(_train_part, pieces, description, progress=progress))


def stack_parts(models: int, field: VectorField, params: Mapping[str, Tensor], plan: Recipe) -> list[slice]:
    """Cut a stack into parts of nearly equal size."""
    size = min(TOGETHER, max(1, int(plan.config.max_memory // bytes_per_model(field, params, plan))))
    edges = np.linspace(0, models, -(-models // size) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def bytes_per_model(field: VectorField, params: Mapping[str, Tensor], plan: Recipe) -> int:
    """Return about how many bytes training takes for each model: copies of its weights, and states of every evaluation."""
    config = plan.config
    weights = COPIES * sum(value[0].numel() * value.element_size() for value in params.values())
    evaluations = 4 * config.steps * config.window  # rk4
    return weights + 4 * EVALUATION * evaluations * config.batch_size * field.n_genes


def _train_part(
    problem: FitProblem,
    options: FitOptions,
    plan: Recipe,
    field: VectorField,
    params: Params,
    masks: Params,
    sparsity: Sparsity,
    prior: Prior | None,
    returnable_from: int,
    rest: dict[str, Any],
) -> Trained:
    found = train_models(problem, options, plan, field, params, masks, sparsity, prior, returnable_from, **rest)
    if found.interrupted:
        raise KeyboardInterrupt("interrupted while a part of the models was training; the others have not begun")
    return found


def _cut(values: Mapping[str, Tensor], part: slice) -> Params:
    return {name: value[part].clone() for name, value in values.items()}


def _merged(parts: list[Trained]) -> Trained:
    import torch

    first, histories = 0, []
    for part in parts:
        histories.append(part.history.assign(model=part.history["model"] + first))
        first += len(next(iter(part.params.values())))
    history = pd.concat(histories, ignore_index=True)
    states = [part.state for part in parts if part.state is not None]
    return Trained(
        params={name: torch.cat([part.params[name] for part in parts]) for name in parts[0].params},
        masks={name: torch.cat([part.masks[name] for part in parts]) for name in parts[0].masks},
        history=history.sort_values(["epoch", "model"], kind="stable", ignore_index=True),
        epochs=max(part.epochs for part in parts),
        best_epoch=tuple(epoch for part in parts for epoch in part.best_epoch),
        validation_loss=tuple(loss for part in parts for loss in part.validation_loss),
        state=TrainState.together(states) if states else None,
    )
