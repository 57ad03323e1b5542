"""PerturbODE as its paper trains it: control cells are carried through the ODE onto each regime's cells."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._data._screen import Screen
from scdash._errors import NonFiniteError
from scdash._logging import logger, progress_bar
from scdash.fields._base import Params
from scdash.fields._perturbode import PerturbODE
from scdash.sparsity import Prior, Sparsity, as_sparsity
from scdash.training._flow import Flow
from scdash.training._interventions import Strengths, interventions, start_knockdowns, start_strengths
from scdash.training._transport_cells import Distance, TransportCells, distance
from scdash.training._transport_config import TransportConfig, TransportFit


@dataclass(frozen=True)
class _Task:
    """What is trained on what: everything that training does not change."""

    field: PerturbODE
    config: TransportConfig
    sparsity: Sparsity
    prior: Prior | None
    data: TransportCells
    regimes: tuple[Tensor, Tensor, Tensor]  # M, added, weak of every regime (regimes, genes)
    distance: Distance
    rng: np.random.Generator
    generator: torch.Generator

    def carry(self, params: Params, strengths: Strengths, start: Tensor, regimes: NDArray[Any], flow: Flow) -> Tensor:
        """Return start cells (regimes * n, genes) under their regimes' interventions, (regimes, n, genes)."""
        n = start.shape[0] // len(regimes)
        pick = torch.as_tensor(np.repeat(regimes, n))
        mask, added, weak = (part[pick] for part in self.regimes)
        m, u = strengths.apply(mask, added, weak)
        return flow.carry(self.field, params, start[None], m[None], u[None])[0].reshape(len(regimes), n, -1)


@dataclass
class _State:
    """What training changes."""

    params: Params
    masks: Params
    strengths: Strengths
    memory: Params
    best: float = float("inf")
    kept: tuple[Params, Params, Strengths] | None = None
    before: Tensor | None = None  # network at the last round
    stale: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def fit_transport(
    x: NDArray[Any],
    screen: Screen,
    config: TransportConfig,
    *,
    rng: np.random.Generator,
    sparsity: Sparsity | None = None,
    prior: Prior | None = None,
    regulators: NDArray[np.int64] | None = None,
    progress: bool | None = None,
) -> TransportFit:
    """Train on cells x (cells, genes), dense log1p values; 20 % of the cells of regimes of >= 100 cells validate.

    Residuals are divided by the control SD of each gene; states never are (scaled states saturate every module).
    `sparsity` prunes, penalises or gates A and B beside the L1 penalty (an epoch of its schedule is a round of
    `config.check_every` steps); `prior` is what DASH prunes by; `regulators` restricts the inputs.
    """
    task, state = _begin(
        x, screen, config, rng, as_sparsity("none") if sparsity is None else sparsity, prior, regulators
    )
    learned = list(state.params.values())
    if config.learn_strength:
        learned += [state.strengths.raw_shift, state.strengths.raw_rho]
    for p in learned:
        p.requires_grad_()
    factors = task.field.learning_rates() | task.sparsity.learning_rates(task.field)
    groups = [{"params": [p], "lr": config.learning_rate * factors.get(n, 1.0)} for n, p in state.params.items()]
    groups += [{"params": [p]} for p in learned[len(state.params) :]]
    optimiser = torch.optim.Adam(groups, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    began, step = time.perf_counter(), 0
    with progress_bar(config.steps, "transport", progress=progress) as bar:
        for step in range(config.steps):
            if step % config.check_every == 0:
                _prune(task, state, step // config.check_every)
            fit = _train_step(task, state, learned, optimiser, step)
            schedule.step()
            bar.update()
            if (step + 1) % config.check_every and step + 1 < config.steps:
                continue
            _check(task, state, step, fit)
            bar.set_postfix_str(f"loss {state.history[-1]['validation_loss']:.3g}", refresh=False)
            if state.stale >= config.patience:
                break
    return _finish(task, state, screen, (time.perf_counter() - began) / (step + 1), step + 1)


def _begin(
    x: NDArray[Any],
    screen: Screen,
    config: TransportConfig,
    rng: np.random.Generator,
    sparsity: Sparsity,
    prior: Prior | None,
    regulators: NDArray[np.int64] | None,
) -> tuple[_Task, _State]:
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
    means = data.means.numpy()
    rho = start_knockdowns(means, means[0], screen)
    if config.knockdown is not None:
        rho = np.full_like(rho, config.knockdown)
    strengths = Strengths.from_values(start_strengths(means, means[0], screen, 0.5), rho)
    parts = interventions(screen)
    regimes = (torch.as_tensor(parts[0]), torch.as_tensor(parts[1]), torch.as_tensor(parts[2]))
    task = _Task(model, config, sparsity, prior, data, regimes, distance(config.loss, data.sd), rng, generator)
    state = _State(params, masks, strengths, sparsity.start(model, params, generator))
    _apply(state)
    return task, state


def _prune(task: _Task, state: _State, epoch: int) -> None:
    amount = task.sparsity.amount(epoch)
    if amount <= 0:
        return
    masks, memory = task.sparsity.prune(task.field, state.params, state.masks, state.memory, amount, task.prior)
    state.masks, state.memory = dict(masks), dict(memory)
    state.best, state.stale = float("inf"), 0  # a denser model must not be kept for its better loss
    _apply(state)


def _train_step(task: _Task, state: _State, learned: list[Tensor], optimiser: torch.optim.Adam, step: int) -> Tensor:
    config, data, rng = task.config, task.data, task.rng
    n = config.cells_a_regime
    perturbed = np.arange(1, len(data.train))
    regimes = rng.choice(perturbed, min(config.regimes, len(perturbed)), replace=False)
    observed = data.draw(data.train, regimes, n, rng).reshape(len(regimes), n, -1)
    gated = task.sparsity.gate(task.field, state.params, task.generator)
    if config.diffuse > 0 and step % 2 == 1:
        start = data.draw(data.train, regimes, n, rng)
        start = start + config.diffuse * data.sd * torch.randn(start.shape, generator=task.generator)
        predicted = task.carry(gated, state.strengths, start, regimes, config.diffusing)
    else:
        start = data.draw(data.train, np.zeros(len(regimes), int), n, rng)
        predicted = task.carry(gated, state.strengths, start, regimes, config.flow)
    target = data.means[torch.as_tensor(regimes)][:, None] if config.loss == "mean" else observed
    fit = task.distance(predicted, target)
    loss = fit + config.l1 * gated["B" if task.field.n_modules else "A"].abs().sum()
    penalty = task.sparsity.penalty(task.field, state.params)
    loss = loss if penalty is None else loss + penalty.sum()
    if not torch.isfinite(loss):
        raise NonFiniteError(f"transport: the loss is not finite at step {step}; lower learning_rate or duration.")
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(learned, config.clip)
    optimiser.step()
    with torch.no_grad():
        task.sparsity.prox(task.field, state.params, torch.tensor([optimiser.param_groups[0]["lr"]]))
    _apply(state)
    return fit.detach()


def _apply(state: _State) -> None:
    with torch.no_grad():
        for name, mask in state.masks.items():
            state.params[name].mul_(mask)


def _check(task: _Task, state: _State, step: int, fit: Tensor) -> None:
    """Validate, remember the best weights, and count the rounds in which nothing moves."""
    config, data, rng = task.config, task.data, task.rng
    n = config.cells_a_regime
    with torch.no_grad():
        perturbed = np.arange(1, len(data.train))
        sample = rng.choice(perturbed, min(4 * config.regimes, len(perturbed)), replace=False)
        if config.loss == "mean":
            aim = data.held_means[torch.as_tensor(sample)][:, None]
        else:
            aim = data.draw(data.validation, sample, n, rng).reshape(len(sample), n, -1)
        start = data.draw(data.validation, np.zeros(len(sample), int), n, rng)
        gated = task.sparsity.gate(task.field, state.params, None)
        error = float(task.distance(task.carry(gated, state.strengths, start, sample, config.flow), aim))
        network = task.field.network(gated).detach()  # geomloss turns gradients on again
        before = torch.zeros_like(network) if state.before is None else state.before
        moved = float((network - before).norm() / network.norm().clamp_min(1e-12))
    row = {"epoch": step + 1, "train_loss": float(fit), "validation_loss": error, "moved": moved}
    state.history.append(row | {"sparsity": float((network == 0).float().mean())})
    state.before = network.clone()
    if error < state.best:
        state.best, state.kept = error, _copy(state)
    # the validation loss stops falling long before the network is learned: both must have settled
    state.stale = state.stale + 1 if error >= state.best and moved < config.still else 0


def _copy(state: _State) -> tuple[Params, Params, Strengths]:
    params = {name: p.detach().clone() for name, p in state.params.items()}
    return params, dict(state.masks), state.strengths.copy()


def _finish(task: _Task, state: _State, screen: Screen, seconds: float, steps: int) -> TransportFit:
    epoch = seconds * max(1.0, (screen.n_regimes - 1) / task.config.regimes)
    logger.info(
        "    %d steps, %.3f s each; %.2f s an epoch of all %d perturbed regimes",
        steps,
        seconds,
        epoch,
        screen.n_regimes - 1,
    )
    # the mean loss goes on teaching the network after validation has settled; W2 overfits its few cells
    last = task.config.loss == "mean" or state.kept is None
    params, masks, strengths = _copy(state) if last or state.kept is None else state.kept
    params, masks = task.sparsity.finalise(task.field, params, masks)
    own = {name: params[name] for name in task.field.init(1, torch.Generator())}
    return TransportFit(task.field, own, masks, strengths, pd.DataFrame(state.history), epoch)
