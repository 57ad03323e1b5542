"""What is minimised: the error of predicted states, and optionally distance from the prior's own dynamics."""

from collections.abc import Mapping

import torch
from torch import Tensor

from scdash.fields import VectorField
from scdash.solve import integrate
from scdash.training._config import TrainConfig
from scdash.training._examples import Examples


def predict(
    field: VectorField, params: Mapping[str, Tensor], start: Tensor, times: Tensor, config: TrainConfig
) -> Tensor:
    """Return predicted states (steps, models, batch, genes) at `times` (models, batch, steps + 1) from `start`."""
    lifted = field.lift(params, start)
    path = integrate(
        field.bind(params),
        lifted,
        times,
        solver=config.solver,
        steps=config.steps,
        adjoint=config.adjoint,
        parameters=params.values(),
    )
    return field.observe(params, path[1:])


def data_loss(predicted: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Return the mean squared error of every model, (models,).

    `predicted` and `targets` are (steps, models, batch, genes), `weight` is (models, batch).
    """
    squared = (predicted - targets).square().mean(dim=(0, 3))
    return (squared * weight).sum(1) / weight.sum(1).clamp_min(1)


def prior_loss(field: VectorField, params: Mapping[str, Tensor], start: Tensor, adjacency: Tensor) -> Tensor:
    r"""Return the mean of :math:`\|A g - g - f(g)\|^2` over the batch for every model (PHOENIX; DASH C.1), (models,).

    `adjacency` is the signed prior A, (target, regulator), dense or sparse.
    """
    flat = start.reshape(-1, start.shape[-1])
    implied = (adjacency @ flat.T).T.reshape(start.shape) - start
    return (
        (implied - field.observe(params, field.velocity(params, field.lift(params, start)))).square().mean(dim=(1, 2))
    )


def example_errors(
    field: VectorField, params: Mapping[str, Tensor], examples: Examples, config: TrainConfig, *, size: int = 512
) -> Tensor:
    """Return the mean squared error of every model on every example, (models, examples)."""
    models, device = len(next(iter(params.values()))), examples.start.device
    found = []
    with torch.no_grad():
        for first in range(0, len(examples), size):
            rows = torch.arange(first, min(first + size, len(examples)), device=device).expand(models, -1)
            start, times, targets = examples.batch(rows)
            found.append((predict(field, params, start, times, config) - targets).square().mean((0, 3)))
    return torch.cat(found, dim=1)


def evaluate(
    field: VectorField, params: Mapping[str, Tensor], examples: Examples, config: TrainConfig, *, size: int = 512
) -> Tensor:
    """Return the mean squared error of every model over its own examples, (models,); NaN where it has none.

    Batches of `size` examples bound the memory.
    """
    models = len(next(iter(params.values())))
    device = examples.start.device
    total, count = torch.zeros(models, device=device), torch.zeros(models, device=device)
    member = None if examples.member is None else torch.as_tensor(examples.member, device=device)
    with torch.no_grad():
        for first in range(0, len(examples), size):
            rows = torch.arange(first, min(first + size, len(examples)), device=device).expand(models, -1)
            start, times, targets = examples.batch(rows)
            weight = torch.ones(rows.shape, device=device) if member is None else member[:, rows[0]].float()
            loss = data_loss(predict(field, params, start, times, config), targets, weight)
            total += torch.where(weight.sum(1) > 0, loss * weight.sum(1), 0)
            count += weight.sum(1)
    return total / count
