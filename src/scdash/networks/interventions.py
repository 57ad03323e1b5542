"""States after some genes have been held at a level, many interventions in one solve, and how far ends of trajectories move."""

from collections.abc import Mapping
from typing import Any, NamedTuple

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


def held_at(
    states: NDArray[np.float64], levels: Mapping[int, torch.Tensor]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which genes are held, and the states with those genes at their levels, both (cells, genes)."""
    held, target = np.zeros(states.shape, dtype=bool), states.copy()
    for gene, level in levels.items():
        held[:, gene], target[:, gene] = True, level.numpy()
    return held, target


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


class EndShift(NamedTuple):
    """The effect of holding each of some genes, (genes held,) each."""

    distance: NDArray[np.float64]  # by which the end moves, as a fraction of the length of the path
    along: NDArray[np.float64]  # the part of the path by which the end moves; negative: it falls behind


def end_shift(
    model: DynamicsModel,  # a fitted model
    states: NDArray[np.float64],  # first and last observed state, (2, genes), in the units of the data
    duration: float,  # time between them
    held_genes: NDArray[np.int64],
    levels: NDArray[np.float64],
) -> EndShift:
    r"""Hold one gene after the other from the first state on, and compare the ends with the one that nothing changes.

    With :math:`\Delta` the difference between both ends and :math:`d` the observed difference between the last and the
    first state, both in the units of the data and without the gene held, the distance is
    :math:`\lVert\Delta\rVert / \lVert d\rVert` and the part along the path :math:`\Delta \cdot d / \lVert d\rVert^2`.

    `held_genes`, `levels`: numbers of the genes, and the level at which each is held.
    """
    count, genes = len(held_genes), states.shape[1]
    held = np.zeros((count + 1, genes), dtype=bool)  # the last row is the model's own run
    held[np.arange(count), held_genes] = True
    values: NDArray[Any] = np.append(levels, 0.0)[:, None]
    ends = intervene(model, np.repeat(states[:1], count + 1, axis=0), duration, held, values)
    others = ~held[:-1]
    difference, path = (ends[:-1] - ends[-1]) * others, states[1] - states[0]
    squared_length = (others * path**2).sum(axis=1)

    def relative(values: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(values, unit, out=np.zeros(count), where=unit > 0)

    return EndShift(
        relative(np.sqrt((difference**2).sum(axis=1)), np.sqrt(squared_length)),
        relative(difference @ path, squared_length),
    )
