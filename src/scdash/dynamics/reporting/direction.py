"""Along the trajectory of cells: does the velocity point where cells go, and how far does the model get from the start?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch

from scdash._data import CellHalves, TimeSeries
from scdash.dynamics.comparisons.no_network import NoNetwork
from scdash.dynamics.predictors import Floats, Predictor, relaxation, scaled_about_middle
from scdash.dynamics.problem import FitProblem, Units
from scdash.dynamics.reporting.lineages import covered, lineage_ends
from scdash.fields import Params, VectorField

PARTS = 5  # of a trajectory
UNRELIABLE = "WARNING: model velocity is unreliable"
FURTHEST = 3  # genes named
OTHER_CELLS = "other cells"  # column: the observed change itself, seen in the other half of the cells

Velocity: TypeAlias = Callable[[Floats], Floats]  # (rows, genes) -> (rows, genes), units of the series


@dataclass(frozen=True)
class DirectionTest:
    """How a model and genes without a network follow the trajectory of cells; empty where rows are no cells."""

    directions: pd.DataFrame = field(default_factory=pd.DataFrame)  # see `directions`
    figures: dict[str, float] = field(default_factory=dict)  # fraction of the change that each covers
    furthest: tuple[str, ...] = ()  # "GENE (observed change, predicted change)"

    def lines(self) -> list[str]:
        """Put both into words."""
        if not self.figures:
            return []
        lines = [
            "Simulated from the first state of every trajectory (training states included), the model reproduces "
            f"{self.figures['trajectory_covered']:.0%} of the total expression change "
            f"({self.figures['trajectory_covered_no_network']:.0%} without a network). Largest misses: {', '.join(self.furthest)}."
        ]
        if not len(self.directions):
            return lines
        names = self.directions.columns[2:]
        listed = "; ".join(f"{name} {' '.join(f'{x:.2f}' for x in self.directions[name])}" for name in names)
        lines.append(
            f"Direction of the velocity in each fifth of the trajectory (cosine with the change of other cells): {listed}."
        )
        weak = self.directions[self.directions[names[0]] < self.directions[OTHER_CELLS] / 2]
        if len(weak):
            lines.append(
                f"{UNRELIABLE} at {_windows(weak)} of the trajectory; do not interpret arrows there. Its "
                "cosine with the observed change is less than half of what other cells show."
            )
        return lines


def describe_direction(
    problem: FitProblem, name: str, velocity: Velocity, predict: Predictor, alone: NoNetwork
) -> DirectionTest:
    """Return how a model follows the trajectory, beside genes relaxing `alone`."""
    if problem.halves is None or problem.units is None:
        return DirectionTest()
    series, units = problem.series.originals(), problem.units
    velocities = {name: velocity, "no network": lambda states: alone.rates * (alone.bias - states)}
    observed, simulated = arrivals(series, units, predict)
    relaxed = arrivals(series, units, relaxation(alone.bias, alone.rates))[1]
    return DirectionTest(
        directions(problem.halves, units, velocities),
        {
            "trajectory_covered": covered(observed, simulated),
            "trajectory_covered_no_network": covered(observed, relaxed),
        },
        _furthest(problem, observed, simulated),
    )


def _furthest(problem: FitProblem, observed: Floats, simulated: Floats) -> tuple[str, ...]:
    """Return the genes whose change over a lineage is missed most, (trajectories, genes); named with the lineage if there are several."""
    series = problem.series.originals()
    of_trajectory = problem.lineage_labels
    lineage = np.array([of_trajectory[int(series.trajectory[rows[0]])] for rows in series.rollouts()])
    names = list(dict.fromkeys(lineage.tolist()))
    missed = np.stack([np.abs(observed - simulated)[lineage == name].mean(axis=0) for name in names])
    worst = np.argsort(-missed, axis=None, kind="stable")[:FURTHEST]
    found = []
    for k, gene in zip(*np.unravel_index(worst, missed.shape), strict=True):
        own, where = lineage == names[k], f" in {names[k]}" if len(names) > 1 else ""
        change, made = observed[own, gene].mean(), simulated[own, gene].mean()
        found.append(f"{series.genes[gene]}{where} (observed {change:+.1f}, predicted {made:+.1f})")
    return tuple(found)


def lineage_table(problem: FitProblem, predict: Predictor) -> pd.DataFrame | None:
    """Return how the model's end of each lineage compares with all observed ends; None for a single lineage."""
    if problem.lineage is None or len(np.unique(problem.lineage)) < 2:
        return None
    series = problem.series.originals()
    names, runs = problem.lineage_labels, series.rollouts()
    ends = []
    for rows in runs:
        start, times = series.states[rows[:1]], series.times[rows][None]
        ends.append(predict(start, times, series.trajectory[rows[:1]])[-1, 0])
    labels = [names[int(series.trajectory[rows[0]])] for rows in runs]
    begun, reached = (series.states[[rows[at] for rows in runs]] for at in (0, -1))
    return lineage_ends(labels, begun, reached, np.stack(ends))


def field_velocity(vector_field: VectorField, params: Params, slope: float) -> Velocity:
    """Return dx/dt of ONE model (leading axis 1) whose field runs in units scaled by `slope`."""
    cpu = {name: value.detach().cpu() for name, value in params.items()}
    dtype = next(iter(cpu.values())).dtype

    def velocity(states: Floats) -> Floats:
        with torch.no_grad():
            x = torch.as_tensor(np.ascontiguousarray(scaled_about_middle(states, slope)), dtype=dtype)[None]
            change = vector_field.observe(cpu, vector_field.velocity(cpu, vector_field.lift(cpu, x)))[0]
        return np.asarray(change.numpy() / slope)

    return velocity


def directions(halves: CellHalves, units: Units, velocities: Mapping[str, Velocity]) -> pd.DataFrame:
    r"""Return how well velocities agree with the observed change, for each fifth of the trajectory.

    .. math:: \cos\Bigl(\sum_{b \in part} v(\bar x^A_b),\; \bar x^B_{last} - \bar x^B_{first}\Bigr)

    with bins :math:`\bar x^A, \bar x^B` of disjoint halves A and B of the cells, both ways round, averaged over the ways
    to deal the cells and over trajectories. With the same cells on both sides noise alone would look like relaxation:
    a part whose last cells happen to be high is pulled down. In units of the data, as embeddings weigh genes.

    Returns
    -------
    One row a part: `start` and `stop` (fraction of the trajectory), a column for each velocity, and `other cells`: the change
    of half A in the velocity's place, which is what noise leaves of a perfect model. Empty where bins are too few.
    """
    a, b = halves.halves  # (draws, trajectories, bins, genes), units of the data
    bins = a.shape[2]
    edges = np.linspace(0, bins, PARTS + 1).round().astype(int)
    columns = [*velocities, OTHER_CELLS]
    if np.diff(edges).min() < 2:
        return pd.DataFrame(columns=["start", "stop", *columns], dtype=float)
    found = np.zeros((PARTS, len(columns)))
    for own, other in ((a, b), (b, a)):
        moved = [_sums(_moved(own, units, velocity), edges) for velocity in velocities.values()]
        observed = _change(other, edges)
        for k, vectors in enumerate((*moved, _change(own, edges))):
            found[:, k] += _cosine(vectors, observed).mean((0, 1)) / 2
    table = pd.DataFrame(found, columns=columns)
    table.insert(0, "start", edges[:-1] / bins)
    table.insert(1, "stop", edges[1:] / bins)
    return table


def arrivals(series: TimeSeries, units: Units, predict: Predictor) -> tuple[Floats, Floats]:
    """Return each trajectory's change from first to last state, observed and simulated, (trajectories, genes)."""
    observed, simulated = [], []
    for rows in series.rollouts():
        start, times = series.states[rows[:1]], series.times[rows][None]
        end = predict(start, times, series.trajectory[rows[:1]])[-1]
        observed.append((series.states[rows[-1]] - start[0]) * units.range)
        simulated.append((end[0] - start[0]) * units.range)
    return np.stack(observed), np.stack(simulated)


def _moved(states: Floats, units: Units, velocity: Velocity) -> Floats:
    scaled = (states.reshape(-1, states.shape[-1]) - units.minimum) / units.range
    return np.asarray(velocity(scaled) * units.range).reshape(states.shape)


def _sums(vectors: Floats, edges: Any) -> Floats:
    """Return sums over each part, (draws, trajectories, parts, genes)."""
    return np.asarray(np.add.reduceat(vectors, edges[:-1], axis=2))


def _change(states: Floats, edges: Any) -> Floats:
    """Return the last bin of each part less its first, (draws, trajectories, parts, genes)."""
    return np.asarray(states[:, :, edges[1:] - 1] - states[:, :, edges[:-1]])


def _cosine(a: Floats, b: Floats) -> Floats:
    size = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    dot = (a * b).sum(-1)
    return np.asarray(np.divide(dot, size, out=np.zeros_like(dot), where=size > 0))


def _windows(parts: pd.DataFrame) -> str:
    """Name parts of the trajectory, neighbours together."""
    joined: list[list[float]] = []
    for start, stop in zip(parts["start"], parts["stop"], strict=True):
        if joined and joined[-1][1] == start:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    return " and ".join(f"{100 * start:.0f}-{100 * stop:.0f} %" for start, stop in joined)
