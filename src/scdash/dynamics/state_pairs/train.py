"""Training the stack of models of one fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._core.parallel import resolve_device
from scdash._data import TimeSeries
from scdash.dynamics.options import FitOptions, Recipe
from scdash.dynamics.predictors import Predictor
from scdash.dynamics.problem import FitProblem
from scdash.fields import Params, VectorField, csr_tensor
from scdash.sparsity import Prior, Sparsity
from scdash.training import Examples, Problem, TrainState, examples_from, fingerprint, start_state, train

HISTORY = ("epoch", "model", "train_loss", "validation_loss", "sparsity", "learning_rate", "pruned")


@dataclass(frozen=True)
class Trained:
    """A stack of models after training (or before it, where no epoch was asked for)."""

    params: Params
    masks: Params
    history: pd.DataFrame
    epochs: int = 0
    best_epoch: tuple[int, ...] = ()
    validation_loss: tuple[float, ...] = ()
    interrupted: bool = False
    state: TrainState | None = None  # to go on from, where training was paused


def training_rows(series: TimeSeries, window: int) -> NDArray[np.int64]:
    """Return all windows of training states; shorter ones where no trajectory is long enough."""
    for length in range(window, 0, -1):
        rows = series.windows(length, "train")
        if len(rows):
            return rows
    raise ValueError("No trajectory has two training states in a row: there is no step to learn from.")


def validation_rows(series: TimeSeries, window: int) -> NDArray[np.int64]:
    """Return what models are chosen by: next-step pairs, or, where training rolls out, held-out windows whole."""
    if window == 1:
        return series.pairs("validation")
    runs = series.rollouts("validation")
    shortest = min(len(run) for run in runs)
    return np.stack([run[:shortest] for run in runs])


def validation_levels(series: TimeSeries, window: int, predictors: Mapping[str, Predictor]) -> dict[str, float]:
    """Return what other predictors reach on the very states that `validation_loss` is measured on, for its figure."""
    rows = validation_rows(series, window)
    start, times, code = series.states[rows[:, 0]], series.times[rows], series.trajectory[rows[:, 0]]
    observed = series.states[rows[:, 1:]].swapaxes(0, 1)
    return {name: float(np.mean((predict(start, times, code) - observed) ** 2)) for name, predict in predictors.items()}


def adjacency(prior: sp.csr_matrix, device: torch.device) -> Tensor:
    """Return the signed prior as a torch CSR tensor (target, regulator)."""
    start, index = torch.as_tensor(prior.indptr, device=device), torch.as_tensor(prior.indices, device=device)
    return csr_tensor(start, index, torch.as_tensor(prior.data, dtype=torch.float32, device=device), prior.shape)


def train_models(
    problem: FitProblem,
    options: FitOptions,
    plan: Recipe,
    field: VectorField,
    params: Params,
    masks: Mapping[str, Tensor],
    sparsity: Sparsity,
    prior: Prior | None,
    returnable_from: int,
    *,
    description: str = "training",
    train_examples: Examples | None = None,
    held_examples: Examples | None = None,
    streams: Sequence[int] | None = None,
    state: TrainState | None = None,
    until: int | None = None,
) -> Trained:
    """Train a stack from `params` under `masks`, and return its best models on the CPU.

    `streams` numbers the random streams of its models, by default 0, 1, ... With `until` training pauses before that
    epoch and the state is returned too, to be given back as `state`, from which training then goes on.
    """
    device, config, series = resolve_device(options.device), plan.config, problem.series
    learned = examples_from(series, training_rows(series, config.window)) if train_examples is None else train_examples
    held = examples_from(series, validation_rows(series, config.window)) if held_examples is None else held_examples
    run = Problem(
        field=field,
        sparsity=sparsity,
        train=learned.to(device, torch.float32),
        validation=held.to(device, torch.float32),
        config=config,
        prior=None if prior is None else prior.to(device),
        adjacency=adjacency(problem.prior, device) if config.tau < 1 and problem.prior is not None else None,
        seed=options.seed,
        streams=None if streams is None else tuple(int(number) for number in streams),
        returnable_from=returnable_from,
    )
    if state is None:
        state = start_state(run, {name: value.to(device) for name, value in params.items()}, masks)
    state = state.to(device)
    if config.max_epochs == 0:
        cpu = {name: value.cpu() for name, value in state.params.items()}
        return Trained(cpu, {k: v.cpu() for k, v in state.masks.items()}, pd.DataFrame(columns=list(HISTORY)))
    result = train(
        run,
        state,
        checkpoint=options.checkpoint,
        fingerprint=fingerprint(run, state) if options.checkpoint is not None else "",
        progress=options.progress,
        description=description,
        until=until,
    )
    return Trained(
        params={name: value.cpu() for name, value in result.params.items()},
        masks={name: value.cpu() for name, value in result.masks.items()},
        history=result.history if len(result.history) else pd.DataFrame(columns=list(HISTORY)),
        epochs=result.epochs,
        best_epoch=tuple(result.best_epoch),
        validation_loss=tuple(result.validation_loss),
        interrupted=result.interrupted,
        state=None if until is None else state.to(torch.device("cpu")),
    )
