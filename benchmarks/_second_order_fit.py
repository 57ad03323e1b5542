"""The stand-in system of `benchmarks.second_order`, and how every method is trained on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.linalg import expm
from torch import Tensor

from benchmarks._path_pruning import prune_paths
from scdash.fields import Params, Sonode, VectorField
from scdash.solve import integrate
from scdash.sparsity import Context, Sparsity
from scdash.training import Examples, Problem, TrainConfig, run_epoch, start_state
from scdash.training.adam import StackedAdam

# x'' = A [x; x']: the coefficients of the paper's Eq. 14 are not available, these stand in for them
TRUTH = np.array([[-1.0, 0.0, 0.0, -0.1, 0.0, 0.0], [0.6, -2.0, 0.0, 0.0, -0.1, 0.0], [0.0, 0.8, -3.0, 0.0, 0.0, -0.1]])
START = np.array([1.0, -0.5, 0.8, 0.0, 0.5, -0.3])
STEP, TRAINED, END = 0.1, 100, 200  # the first 100 steps are for training, the next 100 for extrapolation
CHECKED = 80  # strengths are chosen by what models trained on the first 80 steps say of the next 20


def trajectory() -> NDArray[np.float64]:
    """Return x at times 0, .1, ..., 20 exactly, (201, 3)."""
    first_order = np.block([[np.zeros((3, 3)), np.eye(3)], [TRUTH]])
    return np.stack([expm(first_order * STEP * k) @ START for k in range(END + 1)])[:, :3]


@dataclass(frozen=True)
class Schedule:
    """Epochs, learning rates and strengths of the two stages.

    In the first, rate and strength stay as they are for a while (`held`) and then fall exponentially: a penalty strong
    enough to find the zeros shrinks the coefficients, and a network that is nearly there needs it no more. Then (`pruned`)
    paths below the tolerance are cut, and what remains is trained on at a rate that falls once more, with another cut on
    the way (`again`). The second stage begins with what is left of rate and strength.
    """

    match_epochs: int = 8000
    match_rate: float = 3e-2
    refit_rate: float = 3e-3
    solve_epochs: int = 150
    solve_rate: float = 1e-5
    last_rate: float = 1e-6
    held: float = 0.25  # shares of the epochs of the first stage
    pruned: float = 0.65
    again: float = 0.9
    relaxed: float = 1e-3  # share of the strength that is left when paths are cut

    def at(self, step: int) -> tuple[float, float]:
        """Return the learning rate of the first stage, and the share of the strength."""
        done = step / self.match_epochs
        if done > self.pruned:
            fallen = (done - self.pruned) / (1 - self.pruned)
            return self.refit_rate * (self.last_rate / self.refit_rate) ** fallen, self.relaxed
        fallen = max(0.0, done - self.held) / (self.pruned - self.held)
        return self.match_rate * (self.last_rate / self.match_rate) ** fallen, self.relaxed**fallen


@dataclass(frozen=True)
class Fitted:
    """A stack of models with gates applied."""

    field: VectorField
    params: Params


def match(
    method: Sparsity, hidden: tuple[int, ...], seeds: Sequence[int], tolerances: Tensor, steps: int, schedule: Schedule
) -> tuple[Params, Params]:
    """Train a stack on the first `steps` steps as a regression of accelerations.

    There is one model for every entry of `tolerances`, seeds running fastest; `method` has a strength for each. Returns
    weights with the method's gates, and masks.
    """
    field, models = method.adapt(Sonode(3, hidden=hidden)), len(tolerances)
    drawn = [field.init(1, torch.Generator().manual_seed(seed), torch.float64) for seed in seeds]
    params = {name: torch.cat([p[name] for p in drawn]) for name in drawn[0]}
    params = {name: p.repeat(models // len(seeds), *[1] * (p.ndim - 1)) for name, p in params.items()}
    gates = method.extra_parameters(field, models, torch.Generator().manual_seed(0))
    params |= {name: value.double() for name, value in gates.items()}
    return _match(field, method, params, tolerances, trajectory()[: steps + 1], schedule)


def evaluated(method: Sparsity, hidden: tuple[int, ...], params: Params, masks: Params) -> Fitted:
    """Return the models with their gates of evaluation."""
    field = method.adapt(Sonode(3, hidden=hidden))
    return Fitted(field, method.finalise(field, params, masks)[0])


def _match(
    field: VectorField,
    method: Sparsity,
    params: Params,
    tolerances: Tensor,
    positions: NDArray[np.float64],
    schedule: Schedule,
) -> tuple[Params, Params]:
    """Fit f([x; v]) to accelerations, and the network of the initial velocity to v(0), both of a spline."""
    spline = make_interp_spline(np.arange(len(positions)) * STEP, positions, k=7)
    at = np.arange(len(positions)) * STEP
    velocity, acceleration = (torch.as_tensor(spline(at, nu), dtype=torch.float64) for nu in (1, 2))
    state = torch.cat([torch.as_tensor(positions, dtype=torch.float64), velocity], dim=1)
    models = len(next(iter(params.values())))
    state, start = state.expand(models, -1, -1), state[:1, :3].expand(models, 1, 3)
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in params.items()}
    adam, generator = StackedAdam(params, moments), torch.Generator().manual_seed(0)
    factors, masks = method.learning_rates(field), field.start_masks(params)
    for step in range(1, schedule.match_epochs + 1):
        rate, share = schedule.at(step)
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        gated = method.gate(field, leaves, generator)
        loss = (field.velocity(gated, state)[..., 3:] - acceleration).square().mean((1, 2))
        loss = loss + (field.lift(gated, start)[:, 0, 3:] - velocity[0]).square().mean(1)
        penalty = method.penalty(Context(field, leaves))
        total = loss if penalty is None else loss + share * penalty
        gradients = torch.autograd.grad(total.sum(), list(leaves.values()), allow_unused=True)
        used = {n: g * masks[n] if n in masks else g for n, g in zip(leaves, gradients, strict=True) if g is not None}
        rates = {name: torch.full((models,), rate * factors.get(name, 1.0), dtype=torch.float64) for name in used}
        adam.step(used, step, rates)
        method.prox(Context(field, params), rate * share)
        if step in (round(part * schedule.match_epochs) for part in (schedule.pruned, schedule.again)):
            final, masks = method.finalise(field, params, masks)
            _, masks = prune_paths(field, final, tolerances, masks)
        for name, mask in masks.items():
            params[name].mul_(mask)
    return params, masks


def solve(
    method: Sparsity, hidden: tuple[int, ...], params: Params, masks: Params, steps: int, schedule: Schedule
) -> Params:
    """Train on under `masks` by solving the ODE from its start and minimising the error of the whole trajectory."""
    left = [strength * schedule.relaxed for strength in method.options.get("lambdas", ())]
    method = method.with_options(lambdas=left) if left else method
    states = torch.as_tensor(trajectory()[: steps + 1])
    whole = Examples(states[:1], (torch.arange(steps + 1, dtype=torch.float64) * STEP)[None], states[1:, None])
    # the validation error chooses nothing here: one step of it is enough
    first = Examples(whole.start, whole.times[:, :2], whole.targets[:1])
    decay = (schedule.last_rate / schedule.solve_rate) ** (1 / schedule.solve_epochs)
    config = TrainConfig(learning_rate=schedule.solve_rate, decay=decay, plateau=None, steps=1)
    problem = Problem(method.adapt(Sonode(3, hidden=hidden)), method, whole, first, config)
    state = start_state(problem, params, masks)
    for _ in range(schedule.solve_epochs):
        run_epoch(problem, state)
    return state.params


def predict(fitted: Fitted) -> Tensor:
    """Return trajectories from the observed start, (201, models, 3)."""
    models = len(next(iter(fitted.params.values())))
    start = torch.as_tensor(START[:3], dtype=torch.float64).expand(models, 1, 3)
    times = torch.arange(END + 1) * STEP
    with torch.no_grad():
        lifted = fitted.field.lift(fitted.params, start)
        path = integrate(fitted.field.bind(fitted.params), lifted, times, steps=2)
        return fitted.field.observe(fitted.params, path)[:, :, 0]
