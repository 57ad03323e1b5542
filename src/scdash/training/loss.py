"""What is minimised: the error of predicted states, and optionally distance from the prior's own dynamics."""

from collections.abc import Mapping

import torch
from torch import Tensor

from scdash.fields import VectorField
from scdash.solve import integrate
from scdash.training.config import TrainConfig
from scdash.training.examples import Examples


def predict(
    field: VectorField, params: Mapping[str, Tensor], start: Tensor, times: Tensor, config: TrainConfig
) -> Tensor:
    """Return predicted states (steps, models, batch, genes) at `times` (models, batch, steps + 1) from `start`."""
    path = integrate(
        field.bind(params),
        field.lift(params, start),
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
    return (_squared(predicted, targets) * weight).sum(1) / weight.sum(1).clamp_min(1)


def _squared(predicted: Tensor, targets: Tensor) -> Tensor:
    return (predicted - targets).square().mean(dim=(0, 3))


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
    """Return the mean squared error of every model over its own examples, (models,); NaN where it has none."""
    return evaluate_with_error(field, params, examples, config, size=size)[0]


def evaluate_with_error(
    field: VectorField, params: Mapping[str, Tensor], examples: Examples, config: TrainConfig, *, size: int = 512
) -> tuple[Tensor, Tensor]:
    """Return the mean squared error of every model over its own examples, and its standard error, each (models,).

    NaN where a model has no example; the standard error is 0 where it has one. Batches of `size` bound the memory.
    """
    models = len(next(iter(params.values())))
    device = examples.start.device
    total, squares, count = torch.zeros(3, models, dtype=torch.float64, device=device)
    member = None if examples.member is None else torch.as_tensor(examples.member, device=device)
    with torch.no_grad():
        for first in range(0, len(examples), size):
            rows = torch.arange(first, min(first + size, len(examples)), device=device).expand(models, -1)
            start, times, targets = examples.batch(rows)
            mine = torch.ones(rows.shape, dtype=torch.bool, device=device) if member is None else member[:, rows[0]]
            # not a product with the mask: a model may diverge on examples that are not its own
            error = torch.where(mine, _squared(predict(field, params, start, times, config), targets).double(), 0)
            total, squares, count = total + error.sum(1), squares + error.square().sum(1), count + mine.sum(1)
    mean = total / count
    spread = (squares / count - mean.square()).clamp_min(0) / (count - 1).clamp_min(1)
    return mean.float(), spread.sqrt().float()
