"""PerturbODE as its paper trains it: control cells are carried through the ODE onto each perturbation's cells."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._core.errors import NonFiniteError
from scdash._core.logging import expect, logger, progress_bar
from scdash._data.screen import Screen
from scdash.fields.perturbode import PerturbODE
from scdash.fields.vector_field import Params
from scdash.screens.transport.cells import TransportCells, distance
from scdash.screens.transport.state import State, Task
from scdash.screens.work import TRANSPORT, transport_work
from scdash.sparsity import Context, Prior, Sparsity, as_sparsity
from scdash.training.cycles import Cycles, gained
from scdash.training.interventions import first_strengths, interventions
from scdash.training.loop import Callback, run_epochs
from scdash.training.state import apply_masks
from scdash.training.transport_config import TransportConfig, TransportFit

if TYPE_CHECKING:
    from tqdm import tqdm

MOST_STEPS, PRUNED_STEPS = 15_000, 5000


def fit_transport(
    x: Any,
    screen: Screen,
    config: TransportConfig,
    *,
    rng: np.random.Generator,
    sparsity: Sparsity | None = None,
    prior: Prior | None = None,
    regulators: NDArray[np.int64] | None = None,
    progress: bool | None = None,
) -> TransportFit:
    """Train on cells x (cells, genes), log1p values; 20 % of the cells of perturbations of >= 100 cells validate.

    x[rows] are dense or sparse rows: cells may stay on disk (`scdash._data.loaded`), only those drawn are ever dense.

    Residuals are divided by the control SD of each gene; states never are (scaled states saturate every module).
    `sparsity` prunes, penalises or gates A and B beside the L1 penalty (an epoch of its schedule is a round of
    `config.check_every` steps); `prior` is what DASH prunes by; `regulators` restricts the inputs.

    The learning rate falls in cosine cycles of doubling length. Training ends with the first cycle that does not lower
    the validation loss by more than two standard errors over perturbations, and the best end of a cycle is kept: ends are
    compared, where the rate is zero, because in between the loss is as noisy as the steps are long. A schedule of
    pruning sets its own length: nothing is pruned in the last fifth of its steps, a cycle of its own, in which the
    weights that are left settle. An interrupt from the keyboard keeps the best end of a cycle, or the weights as they are.
    """
    task, state = _begin(
        x, screen, config, rng, as_sparsity("none") if sparsity is None else sparsity, prior, regulators
    )
    began, steps = time.perf_counter(), task.cycles.ends[-1]
    try:
        expect(transport_work(steps))
        with progress_bar(steps, TRANSPORT, progress=progress) as bar:
            run = TransportObjective(task, state, bar)
            run_epochs(run, range(len(run.bounds) - 1), [Prune(run), Validate(run)])
    except KeyboardInterrupt:
        if not state.history:  # not one round: nothing to choose it by
            raise
        logger.warning("    transport interrupted at step %d: the best model so far is kept", run.step + 1)
        apply_masks(state.params, state.masks)  # the interrupt may have come between a step and its masks
    return _finish(task, state, screen, (time.perf_counter() - began) / (run.step + 1), run.step + 1)


class TransportObjective:
    """The error of control cells that are carried onto perturbed ones; an epoch is a round of steps between two evaluations.

    Rounds end every `check_every` steps and with every cycle of the learning rate.
    """

    def __init__(self, task: Task, state: State, bar: "tqdm[Any]") -> None:
        self.task, self.state, self.bar, self.step = task, state, bar, -1
        config, every = task.config, task.config.check_every
        self.bounds = sorted({*range(0, task.cycles.ends[-1], every), *task.cycles.ends})
        self.learned = list(state.params.values())
        if config.learn_strength:
            self.learned += [state.strengths.raw_shift, state.strengths.raw_rho]
        for p in self.learned:
            p.requires_grad_()
        factors = task.field.learning_rates() | task.sparsity.learning_rates(task.field)
        groups = [{"params": [p], "lr": config.learning_rate * factors.get(n, 1.0)} for n, p in state.params.items()]
        groups += [{"params": [p]} for p in self.learned[len(state.params) :]]
        self.optimiser = torch.optim.Adam(groups, lr=config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, task.cycles.factor)

    def batches(self, epoch: int) -> Iterator[int]:
        """Yield the numbers of the steps of a round."""
        for step in range(self.bounds[epoch], self.bounds[epoch + 1]):
            self.step = step
            yield step

    def differentiate(self, batch: int) -> None:
        """Set the gradients of the error, the L1 penalty and that of the sparsity method; note the error."""
        task, params = self.task, self.state.params
        gated = task.sparsity.gate(task.field, params, task.generator)
        fit = _error(task, self.state, gated, diffused=task.config.diffuse > 0 and batch % 2 == 1)
        loss = fit + task.config.l1 * gated["B" if task.field.n_modules else "A"].abs().sum()
        penalty = task.sparsity.penalty(Context(task.field, params, self.state.masks, task.prior))
        loss = loss if penalty is None else loss + penalty.sum()
        if not torch.isfinite(loss):
            raise NonFiniteError(f"transport: the loss is not finite at step {batch}; lower learning_rate or duration.")
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.fit = fit.detach()
        if task.sparsity.follows_steps:
            self._follow()

    def _follow(self) -> None:
        """Tell the sparsity method of the gradients of a step."""
        task, state = self.task, self.state
        given = {name: value.grad for name, value in state.params.items() if value.grad is not None}
        given = {name: g * state.masks[name] if name in state.masks else g for name, g in given.items()}
        params = {name: value.detach() for name, value in state.params.items()}
        state.memory = task.sparsity.after_step(
            Context(task.field, params, state.masks, task.prior, state.memory, given)
        )

    def update(self) -> None:
        """Take a step of Adam along the clipped gradient and a proximal one, and apply the masks."""
        task, state = self.task, self.state
        torch.nn.utils.clip_grad_norm_(self.learned, task.config.clip)
        self.optimiser.step()
        with torch.no_grad():
            seen = Context(task.field, state.params, state.masks, task.prior)
            task.sparsity.prox(seen, torch.tensor([self.optimiser.param_groups[0]["lr"]]))
        apply_masks(state.params, state.masks)
        self.schedule.step()
        self.bar.update()


@dataclass
class Prune(Callback):
    """Prune before a round where the schedule says so."""

    run: TransportObjective

    def before(self, epoch: int) -> None:
        """Prune by the amount that is due."""
        task, state, step = self.run.task, self.run.state, self.run.bounds[epoch]
        due = step % task.config.check_every == 0 and step < task.prunes_until
        amount = task.sparsity.amount(step // task.config.check_every) if due else 0
        if amount <= 0:
            return
        if step == 0 and task.sparsity.follows_steps:
            self.run.differentiate(step)
        masks, memory = task.sparsity.prune(task.field, state.params, state.masks, state.memory, amount, task.prior)
        state.masks, state.memory = dict(masks), dict(memory)
        apply_masks(state.params, state.masks)


@dataclass
class Validate(Callback):
    """Evaluate the validation perturbations after every round, and keep the best end of a cycle."""

    run: TransportObjective

    def after(self, epoch: int) -> bool:
        """Return whether a cycle has ended that was not worth its time."""
        run = self.run
        errors = _check(run.task, run.state, run.step, run.fit)
        run.bar.set_postfix_str(f"loss {run.state.history[-1]['validation_loss']:.3g}", refresh=False)
        return run.step + 1 in run.task.cycles.ends and not _better(run.state, errors)


def _begin(
    x: Any,
    screen: Screen,
    config: TransportConfig,
    rng: np.random.Generator,
    sparsity: Sparsity,
    prior: Prior | None,
    regulators: NDArray[np.int64] | None,
) -> tuple[Task, State]:
    data = TransportCells.split(x, screen, rng)
    d = len(screen.genes)
    modules = min(d, 100) if config.n_modules is None else config.n_modules
    model = PerturbODE(d, modules)
    sparsity.adapt(model)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    params = model.centred(model.init(1, generator), data.means[0])
    params |= sparsity.extra_parameters(model, 1, generator)
    masks = model.start_masks(params)
    if regulators is not None:
        inputs = torch.zeros(d, dtype=torch.bool)
        inputs[torch.as_tensor(regulators)] = True
        first = model.paths()[0].layers[0].parameter
        masks[first] = masks[first] & inputs
    strengths = first_strengths(data.means.numpy(), screen, 0.5, config.knockdown)
    parts = interventions(screen)
    perturbations = (torch.as_tensor(parts[0]), torch.as_tensor(parts[1]), torch.as_tensor(parts[2]))
    rounds = (config.steps or PRUNED_STEPS) // config.check_every
    paced = any(sparsity.amount(epoch) > 0 for epoch in range(rounds + 1))
    steps = config.steps or (PRUNED_STEPS if paced else MOST_STEPS)
    cycles = Cycles.settling(steps) if paced else Cycles.doubling(config.cycle, steps)
    task = Task(
        model,
        config,
        sparsity,
        prior,
        data,
        perturbations,
        distance(config.loss, data.sd),
        data.evaluated(config.loss, 4 * config.perturbations, config.cells_a_perturbation, rng),
        cycles,
        cycles.ends[0] if paced else steps,
        rng,
        generator,
    )
    state = State(params, masks, strengths, sparsity.start(model, params, generator))
    apply_masks(state.params, state.masks)
    return task, state


def _error(task: Task, state: State, gated: Params, *, diffused: bool) -> Tensor:
    """Return the error of cells that are carried to some perturbations: control cells, or these cells themselves with noise."""
    config, data, rng = task.config, task.data, task.rng
    n = config.cells_a_perturbation
    perturbed = np.arange(1, len(data.train))
    perturbations = rng.choice(perturbed, min(config.perturbations, len(perturbed)), replace=False)
    observed = data.draw(data.train, perturbations, n, rng).reshape(len(perturbations), n, -1)
    if diffused:
        start = data.draw(data.train, perturbations, n, rng)
        start = start + config.diffuse * data.sd * torch.randn(start.shape, generator=task.generator)
    else:
        start = data.draw(data.train, np.zeros(len(perturbations), int), n, rng)
    predicted = task.carry(gated, state.strengths, start, perturbations, config.diffusing if diffused else config.flow)
    target = data.means[torch.as_tensor(perturbations)][:, None] if config.loss == "mean" else observed
    return task.distance(predicted, target).mean()


def _check(task: Task, state: State, step: int, fit: Tensor) -> NDArray[Any]:
    """Return the errors of the validation perturbations; remember them and how far the network has moved."""
    perturbations, start, aim = task.evaluated
    with torch.no_grad():
        gated = task.sparsity.gate(task.field, state.params, None)
        predicted = task.carry(gated, state.strengths, start, perturbations, task.config.flow)
        errors: NDArray[Any] = task.distance(predicted, aim).detach().double().numpy()
        network = task.field.network(gated).detach()  # geomloss turns gradients on again
        before = torch.zeros_like(network) if state.before is None else state.before
        moved = float((network - before).norm() / network.norm().clamp_min(1e-12))
    row = {"epoch": step + 1, "train_loss": float(fit), "validation_loss": float(errors.mean()), "moved": moved}
    state.history.append(row | {"sparsity": float((network == 0).float().mean())})
    state.before = network.clone()
    return errors


def _better(state: State, errors: NDArray[Any]) -> bool:
    """Keep the weights at the end of a cycle if they validate best; say whether another cycle is worth its time."""
    before = state.best
    if before is None or errors.mean() < before.mean():
        state.best, state.kept = errors, state.copy()
    return before is None or gained(before, errors)


def _finish(task: Task, state: State, screen: Screen, seconds: float, steps: int) -> TransportFit:
    epoch = seconds * max(1.0, (screen.n_perturbations - 1) / task.config.perturbations)
    logger.info(
        "    %d steps, %.3f s each; %.2f s an epoch of all %d perturbations",
        steps,
        seconds,
        epoch,
        screen.n_perturbations - 1,
    )
    params, masks, strengths = state.copy() if state.kept is None else state.kept
    params, masks = task.sparsity.finalise(task.field, params, masks)
    own = {name: params[name] for name in task.field.init(1, torch.Generator())}
    return TransportFit(task.field, own, masks, strengths, pd.DataFrame(state.history), epoch)
