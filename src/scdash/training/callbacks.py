"""What happens around the epochs of training on pairs of states: pruning, validation, reports and checkpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scdash._core.errors import NonFiniteError
from scdash.fields import zero_fraction
from scdash.sparsity import Context
from scdash.training.checkpoint import write_checkpoint
from scdash.training.keep_best import keep_best
from scdash.training.loop import Callback
from scdash.training.loss import evaluate_with_error
from scdash.training.plateau import lower_rates
from scdash.training.problem import Problem
from scdash.training.state import TrainState, apply_masks

if TYPE_CHECKING:
    from tqdm import tqdm

    from scdash.training.state_pairs import StatePairs


@dataclass
class Prune(Callback):
    """Prune where the schedule says so, and start the learning rate again."""

    run: "StatePairs"

    def before(self, epoch: int) -> None:
        """Prune by the amount that is due."""
        problem, state = self.run.problem, self.run.state
        amount = problem.sparsity.amount(epoch)
        self.run.pruned = amount > 0
        if amount <= 0:
            return
        if state.step == 0 and problem.sparsity.follows_steps:
            self.run.look(epoch)
        masks, memory = problem.sparsity.prune(
            problem.field, state.params, state.masks, state.memory, amount, problem.prior
        )
        state.masks, state.memory, state.pruned_at = dict(masks), dict(memory), state.epoch
        apply_masks(state.params, state.masks)
        for name, mask in state.masks.items():  # changes no result, and keeps decaying moments from becoming denormal
            for moment in state.moments.get(name, ()):
                moment.mul_(mask)
        state.rate = torch.full_like(state.rate, problem.config.learning_rate)
        state.plateau_best, state.plateau_bad = torch.full_like(state.plateau_best, torch.inf), state.plateau_bad * 0


@dataclass
class Validate(Callback):
    """Evaluate the weights: keep the best, lower learning rates on plateaus, write history, and count the epoch."""

    run: "StatePairs"

    def after(self, epoch: int) -> bool:
        """Do so for the models that still train."""
        run, problem, state, work = self.run, self.run.problem, self.run.state, self.run.work
        if work is None:
            state.epoch += 1
            return True
        active = run.active
        evaluated = problem.sparsity.gate(problem.field, work.params, None)
        held = problem.validation.of_models(work.models)
        with torch.no_grad():
            penalty = problem.sparsity.penalty(Context(problem.field, work.params, work.masks, problem.prior))
        found = (torch.stack(run.losses).mean(0), *evaluate_with_error(problem.field, evaluated, held, problem.config))
        trained, loss, error = (torch.full_like(state.rate, torch.nan) for _ in range(3))
        for one, value in zip((trained, loss, error), found, strict=True):
            one[work.models] = value.to(one.dtype)  # models may train in double precision
        work.write_back(state)
        _check_finite(problem, state, loss, active)
        every = 0.0 if penalty is None else penalty
        keep_best(problem.config, state, loss, error, active, every, problem.returnable_from)
        lower_rates(problem.config, state, loss)
        sparsity = zero_fraction(problem.field, problem.sparsity.gate(problem.field, state.params, None))
        columns = {"train_loss": trained, "validation_loss": loss, "sparsity": sparsity, "learning_rate": state.rate}
        for model in active.nonzero().flatten().tolist():
            row = {name: float(values[model]) for name, values in columns.items()}
            state.history.append({"epoch": epoch, "model": model, **row, "pruned": run.pruned})
        state.epoch += 1
        return False


@dataclass
class Report(Callback):
    """Show how far training is."""

    run: "StatePairs"
    bar: "tqdm[Any]"

    def after(self, epoch: int) -> bool:
        """Move the bar."""
        self.bar.update()
        self.bar.set_postfix_str(_postfix(self.run.state), refresh=False)
        return False


@dataclass
class Checkpoint(Callback):
    """Write the state now and then; a file that cannot be written any more is not tried again."""

    run: "StatePairs"
    path: Path | None
    fingerprint: str

    def after(self, epoch: int) -> bool:
        """Write it if it is time."""
        state = self.run.state
        if self.path is not None and state.epoch % self.run.problem.config.checkpoint_every == 0:
            self.path = self.path if write_checkpoint(self.path, state, self.fingerprint) else None
        return False


@dataclass
class Stop(Callback):
    """End training when every model has stopped improving."""

    run: "StatePairs"

    def after(self, epoch: int) -> bool:
        """Return whether none trains on."""
        return not bool(self.run.active.any())


def of_every_epoch(run: "StatePairs") -> list[Callback]:
    """Return what belongs to every epoch, wherever it is run."""
    return [Prune(run), Validate(run)]


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


def _postfix(state: TrainState) -> str:
    last = state.history[-1]
    return f"loss {last['validation_loss']:.3g}, sparsity {last['sparsity']:.1%}, {int(len(state.rate))} model(s)"
