"""Training on pairs of states, or windows of several, for every vector field and every sparsity method."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from scdash._core.errors import memory_hint
from scdash._core.files import check_writable
from scdash._core.logging import logger, progress_bar
from scdash._core.threads import flushed_denormals, keep_freed_memory, one_thread
from scdash.fields import Params
from scdash.sparsity import Context
from scdash.training.callbacks import Checkpoint, Report, Stop, of_every_epoch
from scdash.training.checkpoint import read_checkpoint
from scdash.training.examples import epoch_batches
from scdash.training.keep_best import still_training
from scdash.training.loop import run_epochs
from scdash.training.loss import data_loss, evaluate_with_error, predict, prior_loss
from scdash.training.problem import Problem
from scdash.training.state import TrainState, apply_masks
from scdash.training.workspace import Workspace, small

REMEDIES = "`n_models`, `n_bins`, or the number of genes (mask_var); Training(adjoint=True) needs least."


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
    if checkpoint is not None:
        check_writable(checkpoint)
    if checkpoint is not None and (found := read_checkpoint(checkpoint, fingerprint, state.rate.device)) is not None:
        logger.info("    continuing at epoch %d from %s", found.epoch, checkpoint)
        state = found
    interrupted, last = False, problem.config.max_epochs if until is None else min(until, problem.config.max_epochs)
    run = StatePairs(problem, state)
    try:
        with (
            memory_hint(f"Lower Training(batch_size=...) (now {problem.config.batch_size}), {REMEDIES}"),
            flushed_denormals(),
            one_thread() if small(state.params) else nullcontext(),
            progress_bar(last, description, progress=progress) as bar,
        ):
            bar.update(state.epoch)
            callbacks = [*of_every_epoch(run), Report(run, bar), Checkpoint(run, checkpoint, fingerprint), Stop(run)]
            run_epochs(run, range(state.epoch, last if run.active.any() else state.epoch), callbacks)
    except KeyboardInterrupt:
        if state.epoch == 0:  # nothing has been learned yet
            raise
        interrupted = True
        _keep_unfinished(problem, state)
        logger.warning("    interrupted at epoch %d: the best models so far are kept", state.epoch)
    return _result(problem, state, interrupted=interrupted)


def run_epoch(problem: Problem, state: TrainState) -> None:
    """Advance `state` by one epoch: prune if it is time, train over all batches, validate, keep the best."""
    run = StatePairs(problem, state)
    with one_thread() if small(state.params) else nullcontext():
        run_epochs(run, [state.epoch], of_every_epoch(run))


@dataclass
class StatePairs:
    """The objective: the error of states that are predicted from earlier ones, and the penalty of the sparsity method."""

    problem: Problem
    state: TrainState
    pruned: bool = False  # before this epoch
    work: Workspace | None = None  # of this epoch; None where every model has stopped
    losses: list[Tensor] = field(default_factory=list)
    gradients: Params = field(default_factory=dict)

    @property
    def active(self) -> Tensor:
        """Return which models still train."""
        return still_training(self.problem.config, self.state, self.problem.returnable_from)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the places of examples and their weights, (models, batch) each, of the models that still train."""
        keep_freed_memory()
        problem, state, active = self.problem, self.state, self.active
        self.work, self.losses = None, []
        if not bool(active.any()):
            return
        self.work = work = Workspace.of(problem.sparsity, state, active)
        factors = problem.field.learning_rates() | problem.sparsity.learning_rates(problem.field)
        self.rate, self.stopped = state.rate[work.models], ~active[work.models]
        self.rates = {name: self.rate * factors.get(name, 1.0) * ~self.stopped for name in work.params}
        self.generator = torch.Generator().manual_seed(problem.seed * 1_000_003 + epoch)
        size, streams, mine = problem.config.batch_size, problem.streams, work.models.cpu()
        for rows, weight in epoch_batches(problem.train, len(state.rate), size, problem.seed, epoch, streams=streams):
            yield rows[mine].to(state.rate.device), weight[mine].to(state.rate.device)

    def differentiate(self, batch: tuple[Tensor, Tensor]) -> None:
        """Set the gradients of loss, prior loss and penalty together; note the loss, and tell a sparsity method that follows."""
        problem, config, vector_field, work = self.problem, self.problem.config, self.problem.field, self._work
        rows, weight = batch
        leaves = {name: p.detach().requires_grad_() for name, p in work.params.items()}
        gated = problem.sparsity.gate(vector_field, leaves, self.generator)
        start, times, targets = problem.train.batch(rows)
        loss = data_loss(predict(vector_field, gated, start, times, config), targets, weight)
        objective = loss
        if config.tau < 1 and problem.adjacency is not None:
            away = prior_loss(vector_field, gated, start, problem.adjacency)
            objective = config.tau * loss + (1 - config.tau) * away
        penalty = problem.sparsity.penalty(self._seen(leaves))
        if penalty is not None:
            objective = objective + penalty
        gradients = torch.autograd.grad(objective.sum(), list(leaves.values()), allow_unused=True)
        self.gradients = {name: g for (name, g) in zip(leaves, gradients, strict=True) if g is not None}
        self.losses.append(loss.detach())
        if problem.sparsity.follows_steps:
            masks = self.state.masks
            given = {name: g * masks[name] if name in masks else g for name, g in self.gradients.items()}
            seen = Context(vector_field, work.params, masks, problem.prior, self.state.memory, given)
            self.state.memory = problem.sparsity.after_step(seen)

    def look(self, epoch: int) -> None:
        """Tell the sparsity method of the gradients of an epoch, without a step."""
        for batch in self.batches(epoch):
            self.differentiate(batch)

    def update(self) -> None:
        """Take a step of Adam and a proximal one; models that have stopped stay as they are."""
        state, sparsity, work = self.state, self.problem.sparsity, self._work
        state.step += 1
        before = {name: work.params[name].clone() for name in self.gradients} if bool(self.stopped.any()) else {}
        work.adam.step(self.gradients, state.step, self.rates)
        if not sparsity.plain:
            sparsity.prox(self._seen(work.params), self.rate)
            work.adam.clear()
        for name, old in before.items():  # a proximal step would go on shrinking models that have stopped
            work.params[name][self.stopped] = old[self.stopped]

    def _seen(self, params: Params) -> Context:
        return Context(self.problem.field, params, self._work.masks, self.problem.prior)

    @property
    def _work(self) -> Workspace:
        if self.work is None:
            raise RuntimeError("An epoch has not begun.")
        return self.work


def _keep_unfinished(problem: Problem, state: TrainState) -> None:
    """Keep the current weights of models that an interrupt found before their last pruning: none of theirs was kept."""
    apply_masks(state.params, state.masks)  # the interrupt may have come between a step and its masks
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
