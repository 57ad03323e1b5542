"""Fine-tuning of matched networks as ODEs: control is carried to every regime, proximal steps keep edges few."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._errors import NonFiniteError
from scdash._logging import progress_bar
from scdash.fields._base import Params
from scdash.fields._perturbode import PerturbODE
from scdash.sparsity import Prior, Sparsity
from scdash.training._flow import Flow

TUNED = ("A", "bias")  # at rest only A / w and b / w can be told apart, and slopes are not identifiable


@dataclass(frozen=True)
class TuneConfig:
    """Settings of a fine-tuning."""

    steps: int = 200
    every: int = 25  # steps between looks at the held-out regimes; such a round is an epoch to a pruning schedule
    learning_rate: float = 1e-3
    regimes: int = 25  # in one batched solve
    flow: Flow = Flow()


@dataclass(frozen=True)
class TuneData:
    """What the stacked models are trained on and judged by; regimes count the control, states are absolute."""

    control: Tensor  # (genes,)
    observed: Tensor  # (regimes, genes)
    free: Tensor  # (regimes, genes), bool: genes that are no targets
    mask: Tensor  # (regimes, genes), M
    seen_shift: Tensor  # (models, regimes, genes), u with the targets as observed, for training
    told_shift: Tensor  # (models, regimes, genes), u from the training regimes of each model, for judging
    used: Tensor  # (models, regimes), bool: trained on; the others are held out
    sd: Tensor  # (genes,), unit of the residuals
    penalty: Tensor  # (target, regulator), lambda of |A|


@dataclass(frozen=True)
class TuneResult:
    """Weights of all models after every round (the first is the start) and their squared errors."""

    rounds: list[Params]
    held_out: NDArray[np.float64]  # (rounds, models, regimes), NaN where the model was trained on the regime
    train: list[float]


def fine_tune(
    field: PerturbODE,
    params: Params,
    data: TuneData,
    config: TuneConfig,
    *,
    sparsity: Sparsity,
    prior: Prior | None,
    rng: np.random.Generator,
    progress: bool | None = None,
) -> TuneResult:
    """Train A and b of stacked gene-wise fields on the support of A, by proximal Adam on regime means.

    Minimises, for every model over the regimes it may use, the mean of 1/2 |(x(T) - x_r) / sd|^2 over genes that are
    no targets plus sum_ij penalty_ij |A_ij|; the proximal step soft-thresholds by learning rate times penalty.
    """
    params = {name: p.detach().clone() for name, p in params.items()}
    masks = field.start_masks(params)
    masks["A"] = masks["A"] & (params["A"] != 0)
    memory = sparsity.start(field, params, torch.Generator().manual_seed(0))
    learned = [params[name].requires_grad_() for name in TUNED]
    optimiser = torch.optim.Adam(learned, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    rounds, errors, losses = [_detached(params)], [_held_out(field, params, data, config)], [float("nan")]
    with progress_bar(config.steps, "fine-tuning", progress=progress) as bar:
        for step in range(config.steps):
            amount = sparsity.amount(step // config.every) if step % config.every == 0 else 0.0
            if amount > 0:
                pruned, memory = sparsity.prune(field, params, masks, memory, amount, prior)
                masks = dict(pruned)
                _shrink(params, masks, data, 0.0)
            rate = float(optimiser.param_groups[0]["lr"])
            loss = _loss(field, params, data, config, _batch(data, config, rng))
            if not torch.isfinite(loss):
                raise NonFiniteError(f"fine-tuning: the loss is not finite at step {step}; lower its learning_rate.")
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            _shrink(params, masks, data, rate)
            bar.update()
            if (step + 1) % config.every == 0 or step + 1 == config.steps:
                rounds.append(_detached(params))
                errors.append(_held_out(field, params, data, config))
                losses.append(float(loss.detach()))
    return TuneResult(rounds, np.stack(errors), losses)


def _batch(data: TuneData, config: TuneConfig, rng: np.random.Generator) -> Tensor:
    n = len(data.observed)
    return torch.as_tensor(np.sort(rng.choice(n, min(config.regimes, n), replace=False)))


def _residuals(
    field: PerturbODE, params: Params, data: TuneData, config: TuneConfig, rows: Tensor, shift: Tensor
) -> Tensor:
    models = len(params["A"])
    start = data.control.expand(models, len(rows), -1)
    reached = config.flow.carry(field, params, start, data.mask[rows][None], shift[:, rows])
    return (reached - data.observed[rows]) / data.sd * data.free[rows]


def _loss(field: PerturbODE, params: Params, data: TuneData, config: TuneConfig, rows: Tensor) -> Tensor:
    error = 0.5 * _residuals(field, params, data, config, rows, data.seen_shift).square().sum(-1)
    weight = data.used[:, rows].to(error.dtype)
    return ((error * weight).sum(1) / weight.sum(1).clamp_min(1)).sum()


def _held_out(field: PerturbODE, params: Params, data: TuneData, config: TuneConfig) -> NDArray[np.float64]:
    """Return squared errors (models, regimes) where the regime was held out, NaN elsewhere."""
    found = np.full(tuple(data.used.shape), np.nan)
    with torch.no_grad():
        for rows in torch.split(torch.arange(len(data.observed)), config.regimes):
            error = _residuals(field, params, data, config, rows, data.told_shift).square().sum(-1)
            found[:, rows.numpy()] = error.double().numpy()
    found[data.used.numpy()] = np.nan
    return found


def _shrink(params: Params, masks: Params, data: TuneData, rate: float) -> None:
    with torch.no_grad():
        a = params["A"]
        a.copy_(a.sign() * (a.abs() - rate * data.penalty).clamp_min(0) * masks["A"])


def _detached(params: Params) -> Params:
    return {name: p.detach().clone() for name, p in params.items()}
