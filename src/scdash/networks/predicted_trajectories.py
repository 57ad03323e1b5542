"""Predicted trajectories of a fitted model, free or with some genes held, with a step that is checked."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._core.errors import NonFiniteError, NotConvergedError
from scdash._core.logging import progress_bar
from scdash.networks.dynamics_model import DynamicsModel
from scdash.networks.solver import Solver, blocks
from scdash.solve import Converged, converged

STEP = 0.25  # largest step in units of the fastest rate: the training step can blow up once genes are perturbed
# accepted RMS difference, in units of the genes' ranges, when the step is halved; as in the errors that a fit reports
TOLERANCE = 1e-6


def rollout(
    model: DynamicsModel,  # the fitted model
    start: Tensor,  # states (cells, genes)
    times: Tensor,  # increasing times in the user's unit, (times,); the first is that of the start
    *,
    held: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """Integrate from `start` at times[0] and return the states (times, cells, genes), in the user's units.

    Fixed-step rk4 in double precision with steps of at most a quarter of the fastest relaxation time, halved until
    halving changes the result by less than 1e-6 of a gene's range, for blocks of starts at a time. The states have the
    dtype of `start`; they lie start by start in memory, so that a table of one row per start and time is a view of them.

    `held`: interventions: column number -> value of every cell (cells,) in the user's units, set at the start and
    kept.

    Raises NonFiniteError if the trajectory leaves the finite numbers however small the step. Raises NotConvergedError
    if it is finite and still depends on the step.
    """
    # one block of starts after the other: only the result has all times of all starts
    found = torch.empty(len(start), len(times), start.shape[1], dtype=start.dtype)
    solver, since, steps = Solver.of(model, torch.float64), (times / model.time_scale).double(), _steps(model, times)
    columns = torch.tensor(sorted(held or {}), dtype=torch.long)
    with torch.no_grad(), progress_bar(len(start), "starts") as bar:
        for rows in blocks(len(start), start.shape[1]):
            begun = start[rows].double()  # a copy, unless it is in double precision
            begun = begun.clone()
            for column, value in (held or {}).items():
                begun[:, column] = value[rows].double()
            found[rows, 0] = begun.to(start.dtype)
            if len(times) > 1:
                result = _converged(solver, begun, since.numpy(), columns, steps)
                found[rows, 1:], steps = result.fine.to(start.dtype), result.steps
            bar.update(len(begun))
    return found.transpose(0, 1)


def _converged(
    solver: Solver, start: Tensor, times: NDArray[np.float64], columns: Tensor, steps: int
) -> Converged[Tensor]:
    """Return the states (starts, later times, genes) with steps that are short enough for this block of starts."""
    genes, unit = solver.model.genes, solver.model.range

    def require_finite(path: Tensor, text: str) -> None:
        if bool(torch.isfinite(path).all()):
            raise NotConvergedError(text)
        gene = str(genes[int((~torch.isfinite(path)).any(0).any(0).nonzero()[0])])
        raise NonFiniteError(
            f"The predicted trajectory is not finite (first gene: {gene}). Ask for shorter `times`, milder changes, or fit "
            "a sparser model: dense ones can diverge outside the range of their data."
        )

    return converged(
        lambda steps: _integrate(solver, start, times, columns, steps),
        steps,
        change=lambda coarse, fine: float(((fine - coarse) / unit).square().mean().sqrt()),
        tolerance=TOLERANCE,
        what="Predicted trajectories, in units of the genes' ranges,",
        remedy="Ask for shorter `times`, milder changes, or fit a sparser model.",
        otherwise=require_finite,
    )


def _integrate(solver: Solver, start: Tensor, times: NDArray[np.float64], columns: Tensor, steps: int) -> Tensor:
    model, held = solver.model, None
    if len(columns):
        held = torch.zeros(start.shape, dtype=torch.bool)
        held[:, columns] = True
    z = (start - model.minimum) / model.range
    path = [part * model.range + model.minimum for part in solver.path_of(z, times, steps, held)]
    return torch.stack(path, dim=1)


def _steps(model: DynamicsModel, times: Tensor) -> int:
    if len(times) < 2:
        return 1
    with torch.no_grad():
        rates = model.field.rates(dict(model.weights))
    fastest = 1.0 if rates is None else float(rates.max())
    return max(1, int(torch.ceil(times.diff().max() / model.time_scale * fastest / STEP)))
