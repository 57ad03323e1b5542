"""Cells of a screen as transport sees them: training and validation rows of every perturbation, and the losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._data import as_dense
from scdash._data.screen import Screen

Rows: TypeAlias = list[NDArray[np.int64]]
Evaluated: TypeAlias = tuple[NDArray[np.int64], Tensor, Tensor]  # perturbations, control cells, what these should reach
Distance: TypeAlias = Callable[[Tensor, Tensor], Tensor]
BLOCK = 8_000_000  # numbers of a dense block of cells
LEAST_SD = 0.05  # of a gene among control cells: residuals are divided by it


@dataclass(frozen=True)
class TransportCells:
    """Cells by perturbation; 20 % of those of perturbations of at least 100 cells validate, smaller ones do both."""

    cells: Any  # cells[rows] gives rows (numbers or a slice), dense or sparse, in memory or not
    train: Rows
    validation: Rows
    means: Tensor  # (perturbations, genes), of training cells
    held_means: Tensor  # (perturbations, genes), of validation cells
    sd: Tensor  # (genes,), of training control cells

    @classmethod
    def split(cls, x: Any, screen: Screen, rng: np.random.Generator) -> Self:
        """Return cells x (cells, genes) by perturbation; x is read in blocks, and never whole."""
        train, validation = [], []
        for r in range(screen.n_perturbations):
            rows = rng.permutation(np.flatnonzero(screen.cells == r))
            out = len(rows) // 5 if len(rows) >= 100 else 0
            train.append(rows[out:])
            validation.append(rows[:out] if out else rows)
        means, held = _means(x, screen, train), _means(x, screen, validation)
        control = np.sort(train[0])
        square = sum(
            ((as_dense(x[control[part]], np.float32).astype(np.float64) - means[0]) ** 2).sum(axis=0)
            for part in _parts(len(control), len(screen.genes))
        )
        sd = np.maximum(np.sqrt(square / len(control)), LEAST_SD)
        return cls(x, train, validation, *(torch.as_tensor(part, dtype=torch.float32) for part in (means, held, sd)))

    def draw(self, rows: Rows, perturbations: NDArray[np.int64], n: int, rng: np.random.Generator) -> Tensor:
        """Return `n` random cells of each of `perturbations`, (len(perturbations) * n, genes)."""
        return torch.as_tensor(
            as_dense(self.cells[np.concatenate([rng.choice(rows[r], n) for r in perturbations])], np.float32)
        )

    def evaluated(self, loss: str, most: int, n: int, rng: np.random.Generator) -> Evaluated:
        """Draw validation cells of at most `most` perturbations once, so that evaluations differ by the network alone."""
        perturbed = np.arange(1, len(self.train))
        perturbations = np.sort(rng.choice(perturbed, min(most, len(perturbed)), replace=False))
        start = self.draw(self.validation, np.zeros(len(perturbations), int), n, rng)
        if loss == "mean":
            return perturbations, start, self.held_means[torch.as_tensor(perturbations)][:, None]
        return (
            perturbations,
            start,
            self.draw(self.validation, perturbations, n, rng).reshape(len(perturbations), n, -1),
        )


def _means(x: Any, screen: Screen, members: Rows) -> NDArray[np.float64]:
    """Return the mean of every perturbation's `members`, (perturbations, genes), from one pass in the order of the cells."""
    perturbation = np.full(len(screen.cells), -1)
    for r, rows in enumerate(members):
        perturbation[rows] = r
    total = np.zeros((len(members), len(screen.genes)))
    for part in _parts(len(perturbation), len(screen.genes)):
        own = np.flatnonzero(perturbation[part] >= 0)
        at = (np.ones(len(own)), (perturbation[part][own], own))
        total += sp.csr_matrix(at, shape=(len(members), part.stop - part.start)) @ as_dense(x[part], np.float32)
    counts = np.array([len(rows) for rows in members])
    return np.asarray(total / counts[:, None])


def _parts(rows: int, genes: int) -> list[slice]:
    step = max(1, BLOCK // genes)
    return [slice(first, min(first + step, rows)) for first in range(0, rows, step)]


def distance(loss: str, sd: Tensor) -> Distance:
    """Return distances (perturbations,) between clouds (perturbations, cells, genes), in units of `sd`.

    "mean" is the squared distance of the clouds' means, "w2" half the squared, debiased Sinkhorn W2.
    """
    if loss == "mean":
        return lambda predicted, target: (((predicted.mean(1) - target.mean(1)) / sd) ** 2).sum(-1)
    try:
        from geomloss import SamplesLoss
    except ImportError as error:
        raise ImportError("loss='w2' needs geomloss: pip install 'scdash[ot]', or use loss='mean'.") from error
    sinkhorn = SamplesLoss("sinkhorn", p=2, blur=0.05, backend="tensorized")

    def half_squared(predicted: Tensor, target: Tensor) -> Tensor:
        value: Tensor = sinkhorn((predicted / sd).contiguous(), (target / sd).contiguous())
        return value

    return half_squared
