"""States after some genes have been held at a level, many interventions in one solve."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scdash._core.errors import NonFiniteError, NotConvergedError
from scdash.networks.dynamics_model import DynamicsModel
from scdash.networks.solver import Solver, blocks
from scdash.solve import converged

STEP = 0.25  # largest step in units of the fastest rate
TOLERANCE = 1e-3  # accepted RMS change, in units of the genes' ranges, when the step is halved
ROWS = 2048


def intervene(
    model: DynamicsModel,  # a fitted model
    starts: NDArray[Any],  # start states, (rows, genes)
    duration: float,  # time to integrate, in the user's unit
    held: NDArray[np.bool_],  # which genes are held in which row, (rows, genes); a row without any is unperturbed
    levels: NDArray[Any],  # values of held genes, broadcast to (rows, genes); others are not read
) -> NDArray[np.float64]:
    """Return the states after `duration`, (rows, genes), each row with genes of its own held at a level.

    A held gene is set to its level at the start and stays there (dx_i/dt = 0). Units are the user's.
    """
    if not (np.isfinite(duration) and duration > 0):
        raise ValueError(f"The time to integrate must be positive, found {duration!r}.")
    begun, solver = np.where(held, levels, starts), Solver.of(model)
    rows = [slice(i, i + ROWS) for i in range(0, len(begun), ROWS)]
    return np.concatenate([_converged(solver, begun[part], duration / model.time_scale, held[part]) for part in rows])


def _converged(solver: Solver, starts: NDArray[Any], duration: float, held: NDArray[np.bool_]) -> NDArray[np.float64]:
    model = solver.model
    rates = model.field.rates(dict(model.weights))
    steps = max(1, int(np.ceil(duration * (1.0 if rates is None else float(rates.detach().max())) / STEP)))
    unit = model.range.double().cpu().numpy()

    def require_finite(states: NDArray[np.float64], text: str) -> None:
        if np.isfinite(states).all():
            raise NotConvergedError(text)
        gene = model.genes[int(np.argmax(~np.isfinite(states).all(0)))]
        raise NonFiniteError(
            f"States after an intervention are not finite (first gene: {gene}). Ask for a shorter time or milder levels, "
            "or fit a sparser model: dense ones can diverge outside the range of their data."
        )

    return converged(
        lambda steps: _solve(solver, starts, duration, held, steps),
        steps,
        change=lambda coarse, fine: float(np.sqrt(np.mean(((fine - coarse) / unit) ** 2))),
        tolerance=TOLERANCE,
        what="States after an intervention, in units of the genes' ranges,",
        remedy="Ask for a shorter time or milder levels, or fit a sparser model.",
        otherwise=require_finite,
    ).fine


def _solve(
    solver: Solver, starts: NDArray[Any], duration: float, held: NDArray[np.bool_], steps: int
) -> NDArray[np.float64]:
    model, times = solver.model, np.array([0.0, duration])
    device, dtype = model.minimum.device, model.minimum.dtype
    ends = np.empty(starts.shape)
    with torch.inference_mode():
        for rows in blocks(*starts.shape):
            x = torch.as_tensor(np.asarray(starts[rows]), dtype=dtype, device=device)
            fixed = torch.as_tensor(np.ascontiguousarray(held[rows]), device=device) if held[rows].any() else None
            (end,) = solver.path_of((x - model.minimum) / model.range, times, steps, fixed)
            ends[rows] = (end * model.range + model.minimum).double().cpu().numpy()
    return ends
