"""One loop for every vector field and every sparsity method; it knows none of them by name."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scdash._core.errors import NonFiniteError, memory_hint
from scdash._core.files import check_writable
from scdash._core.logging import logger, progress_bar
from scdash._core.threads import flushed_denormals, keep_freed_memory, one_thread
from scdash.fields import Params, VectorField, zero_share
from scdash.sparsity import Prior, Sparsity
from scdash.training.checkpoint import read_checkpoint, write_checkpoint
from scdash.training.config import TrainConfig
from scdash.training.examples import Examples, epoch_batches
from scdash.training.loss import data_loss, evaluate_with_error, predict, prior_loss
from scdash.training.plateau import lower_rates
from scdash.training.state import TrainState, stacked
from scdash.training.workspace import Workspace

REMEDIES = "`n_models`, `n_bins`, or the number of genes (mask_var); Training(adjoint=True) needs least."


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


@dataclass(frozen=True)
class TrainResult:
    """Best models of a stack, with evaluation gates applied; leading axis: models."""

    params: dict[str, Tensor]
    masks: dict[str, Tensor]
    best_epoch: list[int]
    validation_loss: list[float]
    epochs: int
    history: pd.DataFrame
    interrupted: bool = False


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
    _apply(params, full)
    return TrainState.start(params, full, memory, problem.config.learning_rate)


def _stream(problem: Problem, model: int) -> torch.Generator:
    """Return a model's own random stream, so that parts of a stack start as the whole does."""
    number = model if problem.streams is None else problem.streams[model]
    seed = problem.seed if number == 0 else int(np.random.SeedSequence([problem.seed, number]).generate_state(1)[0])
    return torch.Generator().manual_seed(seed)


def train(
    problem: Problem,
    state: TrainState,
    *,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    progress: bool | None = None,
    description: str = "fit_dynamics",
    until: int | None = None,
) -> TrainResult:
    """Train until `max_epochs` or until every model has stopped improving, or pause before epoch `until`.

    `state` is changed in place; a run that was paused goes on from it as if it had not been.

    A run found at `checkpoint` with the same `fingerprint` is continued, bit for bit on a CPU. Interrupting from the
    keyboard ends the run early with the best models so far. A checkpoint that cannot be written any more is a warning,
    a path that never could be an error before the first epoch.
    """
    device = state.rate.device
    if checkpoint is not None:
        check_writable(checkpoint)
    if checkpoint is not None and (found := read_checkpoint(checkpoint, fingerprint, device)) is not None:
        logger.info("    continuing at epoch %d from %s", found.epoch, checkpoint)
        state = found
    interrupted, last = False, problem.config.max_epochs if until is None else min(until, problem.config.max_epochs)
    writing = checkpoint is not None
    try:
        with (
            memory_hint(f"Lower Training(batch_size=...) (now {problem.config.batch_size}), {REMEDIES}"),
            flushed_denormals(),
            progress_bar(last, description, progress=progress) as bar,
        ):
            bar.update(state.epoch)
            while state.epoch < last and bool(_active(problem, state).any()):
                run_epoch(problem, state)
                bar.update()
                bar.set_postfix_str(_postfix(state), refresh=False)
                if writing and checkpoint is not None and state.epoch % problem.config.checkpoint_every == 0:
                    writing = write_checkpoint(checkpoint, state, fingerprint)
    except KeyboardInterrupt:
        if state.epoch == 0:  # nothing has been learned yet
            raise
        interrupted = True
        _keep_unfinished(problem, state)
        logger.warning("    interrupted at epoch %d: the best models so far are kept", state.epoch)
    return _result(problem, state, interrupted=interrupted)


def run_epoch(problem: Problem, state: TrainState) -> None:
    """Advance `state` by one epoch: prune if it is time, train over all batches, validate, keep the best."""
    keep_freed_memory()
    config, epoch = problem.config, state.epoch
    amount = problem.sparsity.amount(epoch)
    if amount > 0:
        _prune(problem, state, amount)
    active = _active(problem, state)
    if not bool(active.any()):
        state.epoch += 1
        return
    generator = torch.Generator().manual_seed(problem.seed * 1_000_003 + epoch)
    losses = []
    work = Workspace.of(problem.sparsity, state, active)
    batches = epoch_batches(
        problem.train, len(state.rate), config.batch_size, problem.seed, epoch, streams=problem.streams
    )
    pace, mine = _Pace.of(problem, state, work, active), work.models.cpu()
    with one_thread() if work.small else nullcontext():
        for rows, weight in batches:
            losses.append(_train_batch(problem, state, work, rows[mine], weight[mine], pace, generator))
        evaluated = problem.sparsity.gate(problem.field, work.params, None)
        figures = evaluate_with_error(problem.field, evaluated, problem.validation.of_models(work.models), config)
        penalty = _penalty(problem, work)
    trained, loss, error = (torch.full_like(state.rate, torch.nan) for _ in range(3))
    for found, value in zip((trained, loss, error), (torch.stack(losses).mean(0), *figures), strict=True):
        found[work.models] = value.to(found.dtype)  # models may train in double precision
    work.write_back(state)
    gated = problem.sparsity.gate(problem.field, state.params, None)
    _check_finite(problem, state, loss, active)
    _keep_best(problem, state, loss, error, active, penalty)
    lower_rates(config, state, loss)
    sparsity = zero_share(problem.field, gated)
    for model in range(len(state.rate)):
        if active[model]:
            row = {
                "epoch": epoch,
                "model": model,
                "train_loss": float(trained[model]),
                "validation_loss": float(loss[model]),
                "sparsity": float(sparsity[model]),
                "learning_rate": float(state.rate[model]),
                "pruned": amount > 0,
            }
            state.history.append(row)
    state.epoch += 1


@dataclass(frozen=True)
class _Pace:
    """Learning rates of an epoch: of every model, and of every parameter of every model, 0 for those that stopped."""

    rate: Tensor
    rates: Params
    stopped: Tensor

    @classmethod
    def of(cls, problem: Problem, state: TrainState, work: Workspace, active: Tensor) -> "_Pace":
        rate, active = state.rate[work.models], active[work.models]
        factors = problem.field.learning_rates() | problem.sparsity.learning_rates(problem.field)
        return cls(rate, {name: rate * factors.get(name, 1.0) * active for name in work.params}, ~active)


def _train_batch(
    problem: Problem,
    state: TrainState,
    work: Workspace,
    rows: Tensor,
    weight: Tensor,
    pace: _Pace,
    generator: torch.Generator,
) -> Tensor:
    config, device, field = problem.config, state.rate.device, problem.field
    leaves = {name: p.detach().requires_grad_() for name, p in work.params.items()}
    gated = problem.sparsity.gate(field, leaves, generator)
    start, times, targets = problem.train.batch(rows.to(device))
    loss = data_loss(predict(field, gated, start, times, config), targets, weight.to(device))
    objective = loss
    if config.tau < 1 and problem.adjacency is not None:
        objective = config.tau * loss + (1 - config.tau) * prior_loss(field, gated, start, problem.adjacency)
    penalty = problem.sparsity.penalty(field, leaves)
    if penalty is not None:
        objective = objective + penalty
    gradients = torch.autograd.grad(objective.sum(), list(leaves.values()), allow_unused=True)
    used = {name: g for (name, g) in zip(leaves, gradients, strict=True) if g is not None}
    state.step += 1
    before = {name: work.params[name].clone() for name in used} if bool(pace.stopped.any()) else {}
    work.adam.step(used, state.step, pace.rates)
    if not problem.sparsity.plain:
        problem.sparsity.prox(field, work.params, pace.rate)
        work.adam.clear()
    for name, old in before.items():  # a proximal step would go on shrinking models that have stopped
        work.params[name][pace.stopped] = old[pace.stopped]
    return loss.detach()


def _prune(problem: Problem, state: TrainState, amount: float) -> None:
    masks, memory = problem.sparsity.prune(
        problem.field, state.params, state.masks, state.memory, amount, problem.prior
    )
    state.masks, state.memory = dict(masks), dict(memory)
    state.pruned_at = state.epoch
    _apply(state.params, state.masks)
    for name, mask in state.masks.items():  # changes no result, and keeps decaying moments from becoming denormal
        for moment in state.moments.get(name, ()):
            moment.mul_(mask)
    state.rate = torch.full_like(state.rate, problem.config.learning_rate)
    state.plateau_best, state.plateau_bad = torch.full_like(state.plateau_best, torch.inf), state.plateau_bad * 0


def _penalty(problem: Problem, work: Workspace) -> Tensor | float:
    """Return the penalty on the weights as they are, (models,); 0 for methods without one."""
    with torch.no_grad():
        found = problem.sparsity.penalty(problem.field, work.params)
    return 0.0 if found is None else found


def _keep_best(
    problem: Problem, state: TrainState, loss: Tensor, error: Tensor, active: Tensor, penalty: Tensor | float = 0.0
) -> None:
    """Keep the best model since the last harmless pruning, each model of the stack for itself.

    Models are compared by what training minimises, validation loss and penalty together: by the loss alone one from before
    the gates had closed would be best. The learning rate follows the loss alone, see `lower_rates`.
    With a tolerance of 0 that is the lowest validation loss of all; with 1 it is the rule of one standard error by which
    the paper chooses the sparsity of post-hoc pruning (Hastie et al.), applied along the schedule.
    """
    if state.epoch < problem.returnable_from:
        return
    allowed = state.lowest + problem.config.tolerance * state.lowest_error
    sparser = state.best_epoch < state.pruned_at
    objective = loss + penalty
    better = active & (objective < torch.where(sparser, allowed, state.best_loss))
    state.best_loss = torch.where(better, objective, state.best_loss)
    state.best_validation = torch.where(better, loss, state.best_validation)
    state.best_epoch = torch.where(better, state.epoch, state.best_epoch)
    for kept, current in ((state.best_params, state.params), (state.best_masks, state.masks)):
        for name, value in current.items():
            for model in better.nonzero().flatten().tolist():  # a fifth of the time of kept[better] = value[better]
                kept[name][model].copy_(value[model])
    lower = active & (objective < state.lowest)
    state.lowest = torch.where(lower, objective, state.lowest)
    state.lowest_error = torch.where(lower, error, state.lowest_error)
    state.lowest_epoch = torch.where(lower, state.epoch, state.lowest_epoch)


def _keep_unfinished(problem: Problem, state: TrainState) -> None:
    """Keep the current weights of models that an interrupt found before their last pruning: none of theirs was kept."""
    _apply(state.params, state.masks)  # the interrupt may have come between a step and its masks
    unfinished = state.best_epoch < 0
    if not bool(unfinished.any()):
        return
    logger.warning("    interrupted before the sparsity asked for was reached: denser models are kept")
    gated = problem.sparsity.gate(problem.field, state.params, None)
    loss, _ = evaluate_with_error(problem.field, gated, problem.validation, problem.config)
    for kept, current in ((state.best_params, state.params), (state.best_masks, state.masks)):
        for name, value in current.items():
            kept[name][unfinished] = value[unfinished]
    state.best_validation = torch.where(unfinished, loss, state.best_validation)
    state.best_epoch = torch.where(unfinished, state.epoch - 1, state.best_epoch)


def _active(problem: Problem, state: TrainState) -> Tensor:
    """Return which models still train: those that improved within `patience` epochs, counted once they may be kept."""
    since = state.lowest_epoch.clamp_min(problem.returnable_from)
    return state.epoch - since <= problem.config.patience


def _check_finite(problem: Problem, state: TrainState, loss: Tensor, active: Tensor) -> None:
    failed = active & ~torch.isfinite(loss)
    if not bool(failed.any()):
        return
    model = int(failed.nonzero()[0])
    first = problem.validation.start[:1].expand(len(loss), -1, -1)
    velocity = problem.field.velocity(state.params, problem.field.lift(state.params, first))[model, 0]
    bad = (~torch.isfinite(velocity)).nonzero()
    gene = int(bad[0]) if len(bad) else int(velocity.abs().argmax())
    raise NonFiniteError(
        f"The validation loss of model {model} is not finite at epoch {state.epoch}; the fastest-growing gene is number "
        f"{gene}. Lower `learning_rate` (now {problem.config.learning_rate:g}), raise `steps` (now "
        f"{problem.config.steps}) or rescale the data. No weights were stored."
    )


def _apply(params: dict[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, mask in masks.items():
            params[name].mul_(mask)


def _postfix(state: TrainState) -> str:
    last = state.history[-1]
    return f"loss {last['validation_loss']:.3g}, sparsity {last['sparsity']:.1%}, {int(len(state.rate))} model(s)"


def _result(problem: Problem, state: TrainState, *, interrupted: bool) -> TrainResult:
    params, masks = problem.sparsity.finalise(problem.field, state.best_params, state.best_masks)
    return TrainResult(
        params={k: v.detach() for k, v in params.items()},
        masks=dict(masks),
        best_epoch=state.best_epoch.tolist(),
        validation_loss=state.best_validation.tolist(),
        epochs=state.epoch,
        history=pd.DataFrame(state.history),
        interrupted=interrupted,
    )
