"""Predicted trajectories of a fitted model, free or with some genes held, with a step that is checked."""

from collections.abc import Mapping

import torch
from torch import Tensor

from scdash._errors import NonFiniteError, NotConvergedError
from scdash.networks._module import DynamicsModel
from scdash.solve import converged, integrate

STEP = 0.25  # largest step in units of the fastest rate: the training step can blow up once genes are perturbed
# accepted RMS difference, in units of the genes' ranges, when the step is halved; as in the errors that a fit reports
TOLERANCE = 1e-6


def rollout(model: DynamicsModel, start: Tensor, times: Tensor, *, held: Mapping[int, Tensor] | None = None) -> Tensor:
    """Integrate from `start` at times[0] and return the states (times, cells, genes), in the user's units.

    Fixed-step rk4 in double precision with steps of at most a quarter of the fastest relaxation time, halved until
    halving changes the result by less than 1e-6 of a gene's range. The states have the dtype of `start`.

    Parameters
    ----------
    model
        The fitted model.
    start
        States (cells, genes).
    times
        Increasing times in the user's unit, (times,); the first is that of the start.
    held
        Interventions: column number -> value of every cell (cells,) in the user's units, set at the start and kept.

    Raises
    ------
    NonFiniteError
        If the trajectory leaves the finite numbers however small the step.
    NotConvergedError
        If it is finite and still depends on the step.
    """
    if len(times) < 2:
        return start[None].clone()
    columns = torch.tensor(sorted(held or {}), dtype=torch.long)
    dtype, start = start.dtype, start.double()  # a copy, unless it is in double precision
    start = start.clone()
    for column, value in (held or {}).items():
        start[:, column] = value
    times = times / model.time_scale

    def require_finite(path: Tensor, text: str) -> None:
        if bool(torch.isfinite(path).all()):
            raise NotConvergedError(text)
        gene = str(model.genes[int((~torch.isfinite(path)).any(0).any(0).nonzero()[0])])
        raise NonFiniteError(
            f"The predicted trajectory is not finite (first gene: {gene}). Ask for shorter `times`, milder changes, or fit "
            "a sparser model: dense ones can diverge outside the range of their data."
        )

    with torch.no_grad():
        return converged(
            lambda steps: _integrate(model, start, times, columns, steps),
            _steps(model, times),
            change=lambda coarse, fine: float(((fine - coarse) / model.range).square().mean().sqrt()),
            tolerance=TOLERANCE,
            what="Predicted trajectories, in units of the genes' ranges,",
            remedy="Ask for shorter `times`, milder changes, or fit a sparser model.",
            otherwise=require_finite,
        ).fine.to(dtype)


def _steps(model: DynamicsModel, times: Tensor) -> int:
    with torch.no_grad():
        rates = model.field.rates(dict(model.weights))
    fastest = 1.0 if rates is None else float(rates.max())
    return max(1, int(torch.ceil(times.diff().max() * fastest / STEP)))


def _integrate(model: DynamicsModel, start: Tensor, times: Tensor, columns: Tensor, steps: int) -> Tensor:
    params = {name: value.detach().to(start.dtype) for name, value in model.weights.items()}
    field = model.field
    velocity = field.bind(params)

    def held_velocity(x: Tensor) -> Tensor:
        rate = velocity(x)
        rate[..., columns] = 0
        return rate

    z = field.lift(params, ((start - model.minimum) / model.range)[None])
    path = integrate(held_velocity if len(columns) else velocity, z, times, solver="rk4", steps=steps)
    return field.observe(params, path)[:, 0] * model.range + model.minimum
