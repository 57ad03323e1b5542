"""Influence of genes: how far the trajectories of all other genes move when one gene starts from another value.

For K start states x_k, a copy of each in which gene j alone is changed, and times t > 0 (Hossain et al. 2024, B.8)::

    influence_j = mean over k, t > 0 and i != j of |x_i(t) - x_i^j(t)|          in units of the genes' ranges

The signed influence averages sign(change of j) * (x_i^j(t) - x_i(t)): positive where raising j raises the others.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._core.errors import NonFiniteError, NotConvergedError
from scdash._core.parallel import spread
from scdash.networks.dynamics_model import DynamicsModel
from scdash.networks.influences.store import BlockStore, fingerprint
from scdash.networks.solver import Solver, outgoing, scaled
from scdash.solve import converged

STEP = 0.5  # largest step in units of the fastest rate; halved until that changes nothing any more
ACCURACY = 5e-4  # accepted relative change of the pilot's influences when the step is halved; 200 starts leave 5 %
STRONGEST = 0.01  # the same for the strongest gene of a task
ARRAYS = 10  # arrays of the size of the states that a Runge-Kutta step holds at once
# states integrated together, and entries of them: about what stays in a core's cache; sparse products want 64 states
ROWS, FEW, ENTRIES = 400, 64, 2**20
TASK = 32  # chunks to a task, the unit of parallel work and of checkpoints


@dataclass(frozen=True)
class Perturbations:
    """What is compared: start states, the value that each gene takes instead, and when to look."""

    starts: NDArray[np.floating[Any]]  # (K, genes), in the user's units
    values: NDArray[np.floating[Any]]  # (K, genes): gene j of start k becomes values[k, j]
    times: NDArray[np.floating[Any]]  # (T,), increasing; the first is the time of the starts

    def __post_init__(self) -> None:
        if self.starts.ndim != 2 or self.starts.shape != self.values.shape or not len(self.starts):
            raise ValueError(f"starts and values must be (K, genes), found {self.starts.shape}, {self.values.shape}.")
        if not (np.isfinite(self.starts).all() and np.isfinite(self.values).all()):
            raise ValueError("starts and values must be finite. Drop cells with missing expression first.")
        if self.times.ndim != 1 or len(self.times) < 2 or not (np.diff(self.times) > 0).all():
            raise ValueError(f"times must be at least two increasing numbers, found {self.times}.")


@dataclass(frozen=True)
class Influence:
    """Influences of `genes` (columns of the model); rows of genes that reach no other are exactly zero."""

    genes: NDArray[np.int64]  # (J,)
    absolute: NDArray[np.float64]  # (J, T - 1), per time after the first
    signed: NDArray[np.float64]  # (J, T - 1)
    standard_error: NDArray[np.float64]  # (J,), of the absolute influence averaged over time, from the K starts
    shift: NDArray[np.float64]  # (J,), mean absolute change of the gene itself, in units of its range
    steps: int  # rk4 steps between two times


def gene_influence(
    model: DynamicsModel,
    perturbations: Perturbations,
    *,
    genes: NDArray[np.int64] | None = None,
    unit: NDArray[Any] | None = None,
    max_memory: float = 512e6,
    n_jobs: int | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Influence:
    """Return the influence of genes, by one batched solve per block of perturbed states.

    The step is at most half the fastest relaxation time, and halved until halving it changes the influences of a
    sample by less than 0.05 %, and those of the strongest genes by less than 1 %. Genes without any outgoing weight are
    not integrated.

    `genes`: columns of the genes to perturb; None: all. `unit`: what counts as 1 in a gene, (genes,), in the user's units;
    None: the model's own `range`. `max_memory`: bytes that one block of states may take. `checkpoint`: file that keeps
    finished blocks; a run with equal arguments takes them from there. `progress`: called with the number of genes finished.
    """
    genes = np.arange(len(model.genes)) if genes is None else np.asarray(genes, dtype=np.int64)
    own = model.range.double().cpu().numpy()
    unit = own if unit is None else np.asarray(unit, dtype=np.float64)
    if perturbations.starts.shape[1] != len(model.genes):
        raise ValueError(f"starts have {perturbations.starts.shape[1]} genes, the model {len(model.genes)}.")
    perturbations = replace(perturbations, times=perturbations.times / model.time_scale)
    active = genes[outgoing(model, perturbations.starts)[genes]]
    with torch.inference_mode():
        ratio = torch.as_tensor(own / unit, dtype=model.minimum.dtype, device=model.minimum.device)
        compared = _Comparison(model, perturbations, ratio, _rows(len(model.genes), max_memory))
        steps = _checked_steps(compared, active)
        baseline = compared.paths(steps)
    per_task = TASK * max(1, compared.rows // len(perturbations.starts))
    tasks = [active[i : i + per_task] for i in range(0, len(active), per_task)]
    store = None
    if checkpoint is not None:
        block = max(map(len, tasks), default=0)
        store = BlockStore(checkpoint, fingerprint(model, perturbations, active, unit, steps, block))
    done = {} if store is None else store.blocks
    if progress is not None:
        progress(len(genes) - len(active) + sum(len(task) for number, task in enumerate(tasks) if number in done))
    open_tasks = [number for number in range(len(tasks)) if number not in done]
    pieces = [(replace(compared), baseline, tasks[number], steps) for number in open_tasks]
    for place, sums in spread(_run_task, pieces, n_jobs=n_jobs):
        number = open_tasks[place]
        done[number] = sums
        if store is not None:
            store.save(number, sums)
        if progress is not None:
            progress(len(tasks[number]))
    found = np.concatenate([done[number] for number in range(len(tasks))]) if tasks else None
    return compared.collect(genes, active, unit, found, steps)


@dataclass(frozen=True)
class _Comparison:
    """What is compared in one model. Every task has a copy, whose solver is made where the task runs."""

    model: DynamicsModel
    perturbations: Perturbations  # with times in the unit of the field
    ratio: Tensor  # (genes,), from the unit of each gene in the model to that of the result
    rows: int  # states integrated together, at most

    @cached_property
    def solver(self) -> Solver:
        return Solver.of(self.model)

    def paths(self, steps: int) -> Tensor:
        """Return the states (times, starts, genes) of the field without any change."""
        with torch.inference_mode():
            return torch.stack(list(self.solver.path(self.perturbations.starts, self.perturbations.times, steps)))

    def influences(self, unchanged: Tensor, genes: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
        """Return per gene the absolute influence at each time, the signed one, and the standard error, chunk by chunk."""
        n_starts = len(self.perturbations.starts)
        per_chunk, results = max(1, self.rows // n_starts), []
        for first in range(0, len(genes), per_chunk):
            chosen = genes[first : first + per_chunk]
            parts = (slice(k, k + self.rows) for k in range(0, n_starts, self.rows))
            pieces = [self.changes(unchanged, chosen, part, steps) for part in parts]
            absolute, signed = np.concatenate(pieces, axis=2)  # (times, starts, genes)
            with np.errstate(invalid="ignore"):  # diverged genes are named once, in the end
                spread = absolute.mean(0).std(0, ddof=min(1, n_starts - 1))
            error = spread / np.sqrt(n_starts) if n_starts > 1 else np.full(len(chosen), np.inf)
            results.append(np.concatenate([absolute.mean(1).T, signed.mean(1).T, error[:, None]], axis=1))
        return np.concatenate(results)

    def changes(self, unchanged: Tensor, genes: NDArray[np.int64], which: slice, steps: int) -> NDArray[np.float64]:
        """Integrate some genes' changes from some starts; return (absolute or signed, times, starts, genes)."""
        given = self.perturbations
        with torch.inference_mode():
            starts, values = (scaled(self.model, array[which]) for array in (given.starts, given.values))
            k, n = starts.shape
            column = torch.as_tensor(genes, device=starts.device)
            states = starts[:, None].repeat(1, len(genes), 1)
            states.scatter_(2, column[None, :, None].expand(k, -1, 1), values[:, column, None])
            sign = (values - starts)[:, column].sign()
            found = []
            for t, path in enumerate(self.solver.path_of(states.reshape(-1, n), given.times, steps)):
                difference = path.reshape(k, -1, n) - unchanged[t, which, None]
                difference.scatter_(2, column[None, :, None].expand(k, -1, 1), 0.0)  # the gene itself does not count
                difference *= self.ratio
                found.append(torch.stack([difference.abs().sum(2), difference.sum(2) * sign]) / max(n - 1, 1))
            return torch.stack(found, dim=1).double().cpu().numpy()

    def collect(
        self,
        genes: NDArray[np.int64],
        active: NDArray[np.int64],
        unit: NDArray[np.float64],
        found: NDArray[np.float64] | None,
        steps: int,
    ) -> Influence:
        """Put the rows of the active genes, (active, [absolute T-1, signed T-1, error]), among the silent ones."""
        later = len(self.perturbations.times) - 1
        table = np.zeros((len(genes), 2 * later + 1))
        if found is not None:
            bad = ~np.isfinite(found[:, :-1]).all(1)  # the error of a single start is infinite
            if bad.any():
                raise NonFiniteError(
                    f"Trajectories after a change of {self.model.genes[active[bad][0]]} are not finite ({bad.sum()} of "
                    f"{len(active)} genes). Ask for shorter `times` or start states from the data, or fit a sparser model: "
                    "dense ones can diverge outside the range of their data."
                )
            table[np.isin(genes, active)] = found
        change = np.abs(self.perturbations.values - self.perturbations.starts)[:, genes] / unit[genes]
        absolute, signed, error = table[:, :later], table[:, later:-1], table[:, -1]
        return Influence(genes, absolute, signed, error, change.mean(0), steps)


def _checked_steps(compared: _Comparison, active: NDArray[np.int64]) -> int:
    """Return rk4 steps per interval: h * rate <= `STEP`, then doubled until the pilot's influences stand still."""
    model, given = compared.model, compared.perturbations
    rates = model.field.rates(dict(model.weights))
    fastest = 1.0 if rates is None else float(rates.detach().max())
    steps = max(1, int(np.ceil(np.diff(given.times).max() * fastest / STEP)))
    if not len(active):
        return steps
    chosen = active[np.linspace(0, len(active) - 1, min(len(active), 16)).astype(int)]
    few = Perturbations(given.starts[:8], given.values[:8], given.times)
    pilot = replace(compared, perturbations=few, ratio=torch.ones_like(model.range))

    def influences(steps: int) -> NDArray[np.float64]:
        return np.asarray(pilot.changes(pilot.paths(steps), chosen, slice(None), steps)[0].mean((0, 1)))

    def change(coarse: NDArray[np.float64], fine: NDArray[np.float64]) -> float:
        # as a whole: a few large influences must not hide behind many small ones
        return float(np.abs(fine - coarse).sum() / max(fine.sum(), 1e-300)) if np.isfinite(fine).all() else np.nan

    def unless_divergent(fine: NDArray[np.float64], text: str) -> None:
        if np.isfinite(fine).all():
            raise NotConvergedError(text)  # else the full run names the gene

    return converged(
        influences,
        steps,
        change=change,
        tolerance=ACCURACY,
        what="The influences, relative to themselves,",
        remedy="Use shorter `times`.",
        otherwise=unless_divergent,
    ).steps


def _rows(n: int, max_memory: float) -> int:
    return int(np.clip(max_memory / (4 * ARRAYS * n), 1, min(ROWS, max(FEW, ENTRIES // n))))


def _run_task(compared: _Comparison, baseline: Tensor, genes: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
    """Return the influences of some genes, see `_Comparison.influences`.

    The pilot chose the step by other genes. A step that is too long shows as a large influence, finite or not, so the
    strongest gene of the task is done again with half of it; all of the task, if that makes a difference.
    """
    later = len(compared.perturbations.times) - 1

    def influences(chosen: NDArray[np.int64], steps_now: int) -> NDArray[np.float64]:
        unchanged = baseline if steps_now == steps else compared.paths(steps_now)
        return compared.influences(unchanged, chosen, steps_now)

    def change(coarse: _OfSteps, fine: _OfSteps) -> float:
        size = coarse.every[:, :later].mean(1)
        strongest = int(np.argmax(np.where(np.isfinite(size), size, np.inf)))
        return _relative_change(coarse.every[[strongest], :later], fine.of(strongest)[:, :later])

    return converged(
        lambda steps: _OfSteps(genes, steps, influences),
        steps,
        change=change,
        tolerance=STRONGEST,
        what="The influences of the strongest gene, relative to themselves,",
        remedy="Use shorter `times`.",
    ).coarse.every


@dataclass(frozen=True)
class _OfSteps:
    """Influences with some number of steps, computed when they are asked for: of all genes, or of one."""

    genes: NDArray[np.int64]
    steps: int
    influences: Callable[[NDArray[np.int64], int], NDArray[np.float64]]

    @cached_property
    def every(self) -> NDArray[np.float64]:
        return self.influences(self.genes, self.steps)

    def of(self, place: int) -> NDArray[np.float64]:
        return self.influences(self.genes[[place]], self.steps)


def _relative_change(coarse: NDArray[np.float64], fine: NDArray[np.float64]) -> float:
    """Return the change of influences relative to themselves; 0 if both diverge: the gene is named once, in the end."""
    if np.isfinite(coarse).all() and np.isfinite(fine).all():
        return float(np.abs(fine - coarse).sum() / max(fine.sum(), 1e-300))
    return 0.0 if np.isfinite(coarse).all() == np.isfinite(fine).all() else np.nan
